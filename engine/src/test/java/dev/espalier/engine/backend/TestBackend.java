package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.fail;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;

/// A backend under test: random numbers for it, and what it may return. Tolerances are derived: n terms summed at unit
/// roundoff u may be off by n·u·Σ|term|, and a result is rounded to float32 when it is downloaded.
public final class TestBackend implements AutoCloseable {
  static final double FLOAT_ROUNDOFF = 0x1p-24;

  /// Bound on the relative error of an activation or its derivative beyond a unit in the last place of its argument.
  static final double ACTIVATION_ULPS = 8;

  private final RandomGenerator random = TestNetworks.random(7);
  private final Arena arena = Arena.ofConfined();
  private final Resources matrices = new Resources();
  private final Backend backend;
  private final double unitRoundoff;

  /// @param backend is closed with this
  /// @param unitRoundoff u of its arithmetic
  public TestBackend(Backend backend, double unitRoundoff) {
    this.backend = backend;
    this.unitRoundoff = unitRoundoff;
  }

  Backend backend() {
    return backend;
  }

  double unitRoundoff() {
    return unitRoundoff;
  }

  // ---- matrices, closed with this ----

  Matrix zeros(int rows, int columns) {
    return own(backend.allocate(rows, columns));
  }

  Matrix upload(int rows, int columns, float... values) {
    Matrix matrix = zeros(rows, columns);
    upload(matrix, values);
    return matrix;
  }

  void upload(Matrix matrix, float... values) {
    backend.upload(view(matrix.rows(), matrix.columns(), values), matrix);
  }

  <T extends Resource> T own(T resource) {
    return matrices.own(resource);
  }

  float[] download(Matrix matrix) {
    return backend.download(matrix, arena).toArray();
  }

  /// A host matrix that is open as long as this.
  MatrixView view(int rows, int columns, float... values) {
    return MatrixView.of(arena, rows, columns, values);
  }

  @Override
  public void close() {
    matrices.close();
    backend.close();
    arena.close();
  }

  // ---- numbers ----

  float[] normal(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  float[] positive(int length) {
    float[] values = normal(length);
    for (int i = 0; i < length; i++) {
      values[i] = Math.abs(values[i]) + 0.01f;
    }
    return values;
  }

  /// Ranked scores of few distinct values: −1, as of weights that are zero, to 3.
  float[] ties(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = random.nextInt(-1, 4);
    }
    return values;
  }

  static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  static float[] transpose(float[] matrix, int rows, int columns) {
    float[] transposed = new float[matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      transposed[i % columns * rows + i / columns] = matrix[i];
    }
    return transposed;
  }

  // ---- expectations ----

  ExpectedSums sums(int length) {
    return new ExpectedSums(length);
  }

  /// Expected sums in double, with what rounding each term may cost.
  final class ExpectedSums {
    private final double[] values;
    private final double[] magnitudes;
    private final int[] terms;

    private ExpectedSums(int length) {
      values = new double[length];
      magnitudes = new double[length];
      terms = new int[length];
    }

    void add(int at, double term) {
      values[at] += term;
      magnitudes[at] += Math.abs(term);
      terms[at]++;
    }

    /// A term that is itself off by up to `ulps` roundings.
    void add(int at, double ulps, double term) {
      add(at, term);
      magnitudes[at] += ulps * Math.abs(term);
    }

    /// Terms that are each off by up to `ulps` roundings.
    ///
    /// @param term by its number, from 0
    void add(int at, double ulps, int count, IntToDoubleFunction term) {
      double sum = 0;
      double magnitude = 0;
      for (int i = 0; i < count; i++) {
        double value = term.applyAsDouble(i);
        sum += value;
        magnitude += Math.abs(value);
      }
      values[at] += sum;
      magnitudes[at] += (1 + ulps) * magnitude;
      terms[at] += count;
    }

    /// Allows one rounding of something as large as `magnitude` that is not a term.
    void allow(int at, double magnitude) {
      magnitudes[at] += Math.abs(magnitude);
    }

    void check(String what, Matrix actual) {
      float[] found = download(actual);
      for (int i = 0; i < values.length; i++) {
        if (!(Math.abs(found[i] - values[i]) <= tolerance(i))) {
          fail("%s, %d × %d, index %d: expected %s ± %s, found %s".formatted(what, actual.rows(), actual.columns(), i,
              values[i], tolerance(i), found[i]));
        }
      }
    }

    double value(int at) {
      return values[at];
    }

    double tolerance(int at) {
      return (terms[at] + 4) * unitRoundoff * magnitudes[at] + FLOAT_ROUNDOFF * Math.abs(values[at]) + 1e-44;
    }
  }
}
