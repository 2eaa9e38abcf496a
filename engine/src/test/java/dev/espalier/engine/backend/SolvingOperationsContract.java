package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.TestBackend.FLOAT_ROUNDOFF;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.TestBackend.ExpectedSums;
import org.junit.jupiter.api.Test;

/// [SolvingOperations], each against loops in double written here.
public interface SolvingOperationsContract {
  /// The backend of a test.
  TestBackend on();

  private SolvingOperations solving() {
    return on().backend().solving();
  }

  @ForShapes
  default void subtractsARow(int rows, int columns, int unused) {
    float[] x = on().normal(rows * columns);
    float[] c = on().normal(columns);
    Matrix matrix = on().upload(rows, columns, x);
    Matrix row = on().upload(1, columns, c);
    Matrix difference = on().zeros(rows, columns);
    ExpectedSums expected = on().sums(x.length);
    for (int i = 0; i < x.length; i++) {
      expected.add(i, x[i]);
      expected.add(i, -c[i % columns]);
    }
    solving().subtractRow(matrix, row, difference);
    expected.check("difference", difference);
    solving().subtractRow(matrix, row, matrix);
    expected.check("difference in place", matrix);
  }

  /// Terms of very different sizes: sum and carry together hold what a sum in double holds.
  @ForShapes
  default void carriesWhatRoundingDrops(int rows, int columns, int unused) {
    Matrix sum = on().zeros(rows, columns);
    Matrix carry = on().zeros(rows, columns);
    double[] exact = new double[rows * columns];
    double[] magnitude = new double[rows * columns];
    for (int k = 0; k < 200; k++) {
      float[] x = on().normal(rows * columns);
      for (int i = 0; i < x.length; i++) {
        x[i] *= k % 20 == 0 ? 1e4f : 1e-3f;
        exact[i] += x[i];
        magnitude[i] += Math.abs(x[i]);
      }
      Matrix term = on().upload(rows, columns, x);
      solving().addCarrying(term, sum, carry);
      term.close();
    }
    float[] sums = on().download(sum);
    float[] carries = on().download(carry);
    for (int i = 0; i < exact.length; i++) {
      double tolerance = on().unitRoundoff() > 0x1p-40
          ? 200 * 200 * FLOAT_ROUNDOFF * FLOAT_ROUNDOFF * magnitude[i]
          : FLOAT_ROUNDOFF * Math.abs(exact[i]); // downloaded as float32
      assertEquals(exact[i], (double) sums[i] + carries[i], tolerance, "element " + i);
    }
  }

  @ForShapes
  default void takesTheDiagonal(int unused, int columns, int alsoUnused) {
    float[] h = on().normal(columns * columns);
    Matrix diagonal = on().zeros(1, columns);
    solving().diagonal(on().upload(columns, columns, h), diagonal);
    float[] found = on().download(diagonal);
    for (int j = 0; j < columns; j++) {
      assertEquals(h[j * columns + j], found[j]);
    }
  }

  @Test
  default void addsWhereSomethingIsLeftAndLeavesItThere() {
    Matrix y = on().upload(1, 6, 0, -0f, 1, -2, 3, -4);
    solving().addWhereNonzero(on().upload(1, 6, 5, 5, 5, 2, -3, 1), y);
    assertArrayEquals(new float[]{0, 0, 6, -Float.MIN_NORMAL, Float.MIN_NORMAL, -3}, on().download(y), 0f);
  }

  @ForShapes
  default void multipliesAndAddsUp(int rows, int columns, int unused) {
    float[] x = on().normal(rows * columns);
    float[] y = on().normal(rows * columns);
    float[] z = on().normal(rows * columns);
    double sum = 0;
    double magnitude = 0;
    ExpectedSums expected = on().sums(x.length);
    for (int i = 0; i < x.length; i++) {
      sum += (double) x[i] * y[i];
      magnitude += Math.abs((double) x[i] * y[i]);
      expected.add(i, z[i]);
      expected.add(i, 2, -0.75 * x[i] * y[i]);
    }
    Matrix left = on().upload(rows, columns, x);
    Matrix right = on().upload(rows, columns, y);
    Matrix to = on().upload(rows, columns, z);
    assertEquals(sum, solving().dot(left, right), x.length * 0x1p-52 * magnitude);
    solving().addProduct(-0.75, left, right, to);
    expected.check("z + αxy", to);
  }

  @ForShapes
  default void dividesByADiagonalWhereWeightsAreLeft(int rows, int columns, int unused) {
    float[] w = on().normal(rows * columns);
    float[] r = on().normal(rows * columns);
    float[] d = on().positive(rows * columns);
    ExpectedSums expected = on().sums(r.length);
    for (int i = 0; i < r.length; i++) {
      w[i] = i % 3 == 0 ? 0 : w[i];
      expected.add(i, 4, w[i] == 0 ? 0 : r[i] / (1.5 * d[i] + 0.25));
    }
    Matrix quotient = on().upload(rows, columns, on().normal(r.length));
    solving().dividedByDiagonal(on().upload(rows, columns, w), on().upload(rows, columns, r),
        on().upload(rows, columns, d), 1.5, 0.25, quotient);
    expected.check("r / (αd + β)", quotient);
  }

  /// As many steps as unknowns solve a system, whatever rows lack: some weights, all of them, or a right-hand side. Ten
  /// times as many do no harm.
  @Test
  default void solvesRowsOfTheirOwnByConjugateGradients() {
    int rows = 9;
    int columns = 37;
    double damping = 0.5;
    float[] w = on().normal(rows * columns);
    float[] c = on().normal(rows * columns);
    float[] a = on().normal(2 * columns * columns);
    double[][] h = new double[columns][columns];
    float[] gram = new float[columns * columns];
    float[] diagonal = new float[columns];
    for (int j = 0; j < columns; j++) {
      for (int k = 0; k < columns; k++) {
        for (int n = 0; n < 2 * columns; n++) {
          h[j][k] += a[n * columns + j] * (double) a[n * columns + k] / columns;
        }
        gram[j * columns + k] = (float) h[j][k];
      }
      diagonal[j] = gram[j * columns + j];
    }
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        w[i * columns + j] = i == 1 || (i > 2 && (i + j) % i == 1) ? 0 : w[i * columns + j];
        c[i * columns + j] = i == 2 ? 0 : c[i * columns + j];
      }
    }
    Matrix weights = on().upload(rows, columns, w);
    Matrix d = on().upload(1, columns, diagonal);
    Matrix residual = on().upload(rows, columns, c);
    Matrix direction = on().upload(rows, columns, on().normal(rows * columns));
    Matrix product = on().zeros(rows, columns);
    Matrix solution = on().zeros(rows, columns);
    Matrix norms = on().zeros(rows, 2);
    Matrix matrix = on().upload(columns, columns, gram);
    solving().startConjugateGradients(weights, d, damping, residual, direction, norms);
    for (int step = 0; step < 10 * columns; step++) {
      on().backend().network().product(1, direction, false, matrix, false, 0, product);
      solving().conjugateGradientStep(weights, d, damping, product, residual, direction, solution, norms);
    }
    float[] found = on().download(solution);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        int at = i * columns + j;
        if (w[at] == 0) {
          assertEquals(0, found[at], "removed weight " + at);
          continue;
        }
        double left = c[at] - damping * found[at];
        double magnitude = Math.abs(c[at]);
        for (int k = 0; k < columns; k++) {
          left -= h[j][k] * found[i * columns + k];
          magnitude += Math.abs(h[j][k] * found[i * columns + k]);
        }
        double roundoff = Math.max(on().unitRoundoff(), FLOAT_ROUNDOFF);
        assertTrue(Math.abs(left) <= 8 * columns * roundoff * magnitude, "residual %s at %d".formatted(left, at));
      }
    }
  }
}
