package dev.espalier.engine.data;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.matrix.MatrixView;

/// Rows, and after them copies of all, each plus a multiple of the difference of two rows that are drawn for it. The same
/// seed gives the same numbers in every pass.
///
/// @param name what messages call it
/// @param rows at least 2 × any
/// @param copies of each row
/// @param factor of the differences
record NoisyCopies(String name, MatrixView rows, long copies, float factor, long seed) implements SampleSource {
  @Override
  public long samples() {
    return Math.multiplyExact(rows.rows(), copies + 1);
  }

  @Override
  public int width() {
    return rows.columns();
  }

  @Override
  public boolean isThreadConfined() {
    return rows.isThreadConfined();
  }

  @Override
  public Pass open() {
    return new Pass() {
      private long next;

      @Override
      public int read(MatrixView target) {
        int count = (int) Math.min(target.rows(), samples() - next);
        for (int n = 0; n < count; n++) {
          copy(next++, target.slice(n, 1));
        }
        return count;
      }

      @Override
      public void close() {
        // Holds nothing.
      }
    };
  }

  private void copy(long number, MatrixView target) {
    int row = (int) (number % rows.rows());
    if (number < rows.rows() || factor == 0) {
      target.segment().copyFrom(rows.slice(row, 1).segment());
      return;
    }
    int plus = CounterRandom.below(rows.rows(), seed, CounterRandom.NOISE, 2 * number);
    int minus = (plus + 1 + CounterRandom.below(rows.rows() - 1, seed, CounterRandom.NOISE, 2 * number + 1))
        % rows.rows();
    for (int j = 0; j < rows.columns(); j++) {
      target.set(0, j, rows.get(row, j) + factor * (rows.get(plus, j) - rows.get(minus, j)));
    }
  }
}
