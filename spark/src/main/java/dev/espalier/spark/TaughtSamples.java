package dev.espalier.spark;

import dev.espalier.engine.data.ForwardingSamples;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Iterator;
import java.util.stream.IntStream;

/// Samples of a partition, and what the dense network made of them.
///
/// @param source samples × inputs
/// @param outputs samples × outputs
/// @param first the position of the partition's first sample among all
record TaughtSamples(SampleSource source, MatrixView outputs, long first) implements ForwardingSamples {
  /// Elements of a piece, unless a sample has more.
  private static final int PIECE = 1 << 18;

  /// Samples and outputs as executors keep them: each piece has some samples, and behind them their outputs.
  static Iterator<float[]> pieces(MatrixView x, MatrixView y) {
    int step = Math.max(1, PIECE / (x.columns() + y.columns()));
    return IntStream.range(0, Math.ceilDiv(x.rows(), step)).mapToObj(i -> {
      int count = Math.min(step, x.rows() - i * step);
      float[] piece = new float[count * (x.columns() + y.columns())];
      System.arraycopy(x.slice(i * step, count).toArray(), 0, piece, 0, count * x.columns());
      System.arraycopy(y.slice(i * step, count).toArray(), 0, piece, count * x.columns(), count * y.columns());
      return piece;
    }).iterator();
  }

  /// Of all pieces of a partition.
  ///
  /// @param arena takes their memory
  static TaughtSamples of(Iterator<float[]> pieces, String name, int samples, int inputs, int outputs, long first,
      Arena arena) {
    MatrixView x = MatrixView.allocate(arena, samples, inputs);
    MatrixView y = MatrixView.allocate(arena, samples, outputs);
    long row = 0;
    while (pieces.hasNext()) {
      float[] piece = pieces.next();
      int count = piece.length / (inputs + outputs);
      for (int i = 0; i < count; i++, row++) {
        for (int j = 0; j < inputs; j++) {
          x.segment().setAtIndex(MatrixView.ELEMENT, row * inputs + j, piece[i * inputs + j]);
        }
        for (int k = 0; k < outputs; k++) {
          y.segment().setAtIndex(MatrixView.ELEMENT, row * outputs + k, piece[count * inputs + i * outputs + k]);
        }
      }
    }
    return new TaughtSamples(new MatrixSamples(name, x), y, first);
  }

  @Override
  public Pass open() throws IOException {
    return source.open();
  }
}
