package dev.espalier.engine.network;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;

/// A chain of layers without its removable neurons, which computes the same outputs. A neuron is removable if nothing that varies
/// reaches it, so that its activation is a constant c, or if nothing reads it. The next layer takes the constants into
/// its bias: `b[i] + Σ w[i][j]·c[j]` over the removed neurons j, summed in double and rounded once.
///
/// @param network the smaller network, of the same inputs, outputs and activations
/// @param layers  what stays of each layer; of the last, all
public record Compaction(DenseNetwork network, List<Kept> layers) {
  /// What stays of a layer.
  ///
  /// @param width    the number of neurons before
  /// @param neurons  the numbers of those that stay, ascending: they are the inputs of the next layer
  /// @param constant how many of them are constant, and stay because the next layer has no bias to take the constant
  /// @param padding  how many of them are removable, and stay as zeros that fill the width up
  public record Kept(int width, List<Integer> neurons, int constant, int padding) {
    /// Copies the list.
    public Kept {
      neurons = List.copyOf(neurons);
    }
  }

  /// Copies the list.
  public Compaction {
    layers = List.copyOf(layers);
  }

  /// Removes the removable neurons. A layer keeps at least one neuron.
  ///
  /// @param multiple a layer that loses neurons gets a width that is a multiple of it, or else loses none; at least 1
  /// @param arena    of the layers that become smaller; the others are shared with `chain`
  /// @throws MismatchException if the network is no chain of layers
  /// @throws dev.espalier.engine.NonFiniteException if a bias becomes larger than a float32 can be
  public static Compaction of(DenseNetwork chain, int multiple, Arena arena) {
    List<DenseLayer> layers = chain.layers();
    if (!chain.graph().isChain()) {
      throw new MismatchException("only a chain of layers can lose neurons, and this network is none");
    }
    List<double[]> constants = constants(layers);
    List<Neurons> stay = stay(layers, constants, multiple);
    List<DenseLayer> smaller = new ArrayList<>();
    List<Kept> kept = new ArrayList<>();
    Neurons inputs = Neurons.all(chain.inputs());
    for (int l = 0; l < layers.size(); l++) {
      DenseLayer layer = layers.get(l);
      Neurons outputs = stay.get(l);
      double[] values = constants.get(l);
      smaller.add(outputs.areAll(layer.outputs()) && inputs.areAll(layer.inputs())
          ? layer
          : smaller(layer, outputs, inputs, l == 0 ? new double[0] : constants.get(l - 1), arena));
      boolean isHeld = l < layers.size() - 1 && !layers.get(l + 1).hasBias();
      kept.add(new Kept(layer.outputs(), outputs.numbers,
          isHeld ? (int) outputs.live.stream().filter(i -> !Double.isNaN(values[i])).count() : 0,
          outputs.numbers.size() - outputs.live.cardinality()));
      inputs = outputs;
    }
    return new Compaction(new DenseNetwork(smaller), kept);
  }

  /// Whether all neurons stay.
  public boolean isUnchanged() {
    return layers.stream().allMatch(layer -> layer.neurons.size() == layer.width);
  }

  /// Neurons that stay.
  ///
  /// @param live    without those that are padding
  /// @param numbers with them
  private record Neurons(BitSet live, List<Integer> numbers) {
    static Neurons all(int count) {
      BitSet all = new BitSet(count);
      all.set(0, count);
      return new Neurons(all, all.stream().boxed().toList());
    }

    /// Fills up with the first of `count` neurons that are removable.
    static Neurons of(BitSet live, int count, int multiple) {
      long width = Math.ceilDiv((long) Math.max(1, live.cardinality()), multiple) * multiple;
      if (width >= count) {
        return all(count);
      }
      BitSet filled = (BitSet) live.clone();
      while (filled.cardinality() < width) {
        filled.set(filled.nextClearBit(0));
      }
      return new Neurons(live, filled.stream().boxed().toList());
    }

    boolean areAll(int count) {
      return live.cardinality() == count;
    }
  }

  /// The activations of each layer that do not depend on the input; NaN where they do.
  private static List<double[]> constants(List<DenseLayer> layers) {
    List<double[]> constants = new ArrayList<>();
    double[] inputs = new double[layers.getFirst().inputs()];
    Arrays.fill(inputs, Double.NaN);
    for (DenseLayer layer : layers) {
      double[] values = new double[layer.outputs()];
      Arrays.fill(values, Double.NaN);
      for (int i = 0; i < values.length && layer.activation().isElementwise(); i++) {
        double z = bias(layer, i);
        for (int j = 0; j < inputs.length && !Double.isNaN(z); j++) {
          float w = layer.weights().get(i, j);
          z += w == 0 ? 0 : w * inputs[j];
        }
        values[i] = Double.isNaN(z) ? z : layer.activation().value(z);
      }
      constants.add(values);
      inputs = values;
    }
    return constants;
  }

  private static double bias(DenseLayer layer, int i) {
    return layer.bias().isPresent() ? layer.bias().get().get(0, i) : 0;
  }

  /// Of each layer the neurons that a live neuron of the next layer reads and cannot take into its bias.
  private static List<Neurons> stay(List<DenseLayer> layers, List<double[]> constants, int multiple) {
    List<Neurons> stay = new ArrayList<>(List.of(Neurons.all(layers.getLast().outputs())));
    for (int l = layers.size() - 1; l > 0; l--) {
      DenseLayer reader = layers.get(l);
      double[] values = constants.get(l - 1);
      BitSet read = new BitSet(reader.inputs());
      stay.getFirst().live.stream().forEach(i -> {
        for (int j = 0; j < values.length; j++) {
          boolean isTaken = !Double.isNaN(values[j]) && (reader.hasBias() || values[j] == 0);
          if (reader.weights().get(i, j) != 0 && !isTaken) {
            read.set(j);
          }
        }
      });
      stay.addFirst(Neurons.of(read, reader.inputs(), multiple));
    }
    return stay;
  }

  /// The rows and columns of a layer that stay, those of padding as zeros.
  private static DenseLayer smaller(DenseLayer layer, Neurons rows, Neurons columns, double[] constants, Arena arena) {
    MatrixView weights = MatrixView.allocate(arena, rows.numbers.size(), columns.numbers.size());
    Optional<MatrixView> biases = layer.bias().map(_ -> MatrixView.allocate(arena, 1, weights.rows()));
    for (int r = 0; r < weights.rows(); r++) {
      int i = rows.numbers.get(r);
      if (!rows.live.get(i)) {
        continue;
      }
      for (int c = 0; c < weights.columns(); c++) {
        int j = columns.numbers.get(c);
        weights.set(r, c, columns.live.get(j) ? layer.weights().get(i, j) : 0);
      }
      if (biases.isPresent()) {
        double bias = bias(layer, i);
        for (int j = columns.live.nextClearBit(0); j < layer.inputs(); j = columns.live.nextClearBit(j + 1)) {
          float w = layer.weights().get(i, j);
          bias += w == 0 ? 0 : w * constants[j];
        }
        biases.get().set(0, r, (float) bias);
      }
    }
    return new DenseLayer(layer.name(), weights, biases, layer.activation());
  }
}
