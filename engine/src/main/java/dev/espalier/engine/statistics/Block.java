package dev.espalier.engine.statistics;

import dev.espalier.engine.matrix.MatrixView;
import java.io.Serializable;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Neighbouring neurons and inputs of a layer. The sums of a block are those of a layer of its shape: they merge with sums
/// of the same block over other samples, without the rest of the layer.
///
/// @param firstOutput the number of the first neuron
/// @param outputs how many neurons
/// @param firstInput the number of the first input
/// @param inputs how many inputs
public record Block(int firstOutput, int outputs, int firstInput, int inputs) implements Serializable {
  /// @throws IllegalArgumentException if the block is empty, or begins before the layer
  public Block {
    if (firstOutput < 0 || outputs < 1 || firstInput < 0 || inputs < 1) {
      throw new IllegalArgumentException(
          "outputs %s + %s, inputs %s + %s".formatted(firstOutput, outputs, firstInput, inputs));
    }
  }

  /// Divides the sums of a layer, neurons first.
  ///
  /// @param side most neurons and most inputs of a block; a statistic that tells neurons not apart is divided by inputs
  ///             only
  public static List<Block> grid(Statistic statistic, int outputs, int inputs, int side) {
    boolean byOutputs = statistic.arrays(outputs, inputs).stream()
        .anyMatch(array -> array.extent() != Statistic.Extent.INPUTS);
    int rows = byOutputs ? Math.min(side, outputs) : outputs;
    List<Block> blocks = new ArrayList<>();
    for (int i = 0; i < outputs; i += rows) {
      for (int j = 0; j < inputs; j += side) {
        blocks.add(new Block(i, Math.min(rows, outputs - i), j, Math.min(side, inputs - j)));
      }
    }
    return blocks;
  }

  /// Where a row of the block's array lies in the layer's.
  MemorySegment row(Statistic.Array array, MatrixView layer, int row) {
    long first = switch (array.extent()) {
      case INPUTS -> firstInput;
      case OUTPUTS -> firstOutput;
      case WEIGHTS -> (long) (firstOutput + row) * layer.columns() + firstInput;
    };
    return layer.segment().asSlice(first * Float.BYTES, (long) array.columns() * Float.BYTES);
  }
}
