package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.TestBackend.ACTIVATION_ULPS;
import static dev.espalier.engine.backend.TestBackend.FLOAT_ROUNDOFF;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.espalier.engine.backend.TestBackend.ExpectedSums;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// [TrainingOperations], each against loops in double written here.
public interface TrainingOperationsContract {
  /// The backend of a test.
  TestBackend on();

  private TrainingOperations training() {
    return on().backend().training();
  }

  @ForShapes
  default void computesCrossEntropy(int samples, int outputs, int unused) {
    float[] z = on().normal(samples * outputs);
    z[z.length / 2] = 100; // e¹⁰⁰ overflows float32 unless the largest is subtracted first
    float[] t = on().positive(samples * outputs);
    Matrix gradient = on().zeros(samples, outputs);
    Matrix losses = on().zeros(samples, 1);
    training().crossEntropy(on().upload(samples, outputs, z), on().upload(samples, outputs, t), gradient, losses);
    ExpectedSums expectedLosses = on().sums(samples);
    ExpectedSums expectedGradient = on().sums(samples * outputs);
    for (int n = 0; n < samples; n++) {
      int row = n * outputs;
      double max = IntStream.range(0, outputs).mapToDouble(k -> z[row + k]).max().orElseThrow();
      double sum = IntStream.range(0, outputs).mapToDouble(k -> Math.exp(z[row + k] - max)).sum();
      double mass = IntStream.range(0, outputs).mapToDouble(k -> t[row + k]).sum();
      for (int k = 0; k < outputs; k++) {
        expectedLosses.add(n, t[row + k] * (max + Math.log(sum) - z[row + k]));
        expectedLosses.allow(n, t[row + k] * (Math.abs(max) + Math.abs(z[row + k])));
        double p = Math.exp(z[row + k] - max) / sum;
        expectedGradient.add(row + k, ACTIVATION_ULPS * (1 + Math.abs(z[row + k] - max)), mass * p);
        expectedGradient.allow(row + k, outputs * mass * p); // the sums of exponentials and targets
        expectedGradient.add(row + k, -t[row + k]);
      }
    }
    expectedLosses.check("losses", losses);
    expectedGradient.check("gradient", gradient);
  }

  @ForShapes
  default void computesBinaryCrossEntropy(int samples, int outputs, int unused) {
    float[] z = on().normal(samples * outputs);
    z[0] = 200; // e²⁰⁰ and e⁻²⁰⁰ are beyond float32
    z[z.length - 1] = -200;
    float[] t = new float[z.length];
    for (int i = 0; i < t.length; i++) {
      t[i] = i % 3 == 1 ? 1 : 0;
    }
    Matrix gradient = on().zeros(samples, outputs);
    Matrix losses = on().zeros(samples, 1);
    training().binaryCrossEntropy(on().upload(samples, outputs, z), on().upload(samples, outputs, t), gradient, losses);
    ExpectedSums expectedLosses = on().sums(samples);
    ExpectedSums expectedGradient = on().sums(samples * outputs);
    for (int i = 0; i < z.length; i++) {
      double sign = t[i] == 1 ? -z[i] : z[i];
      // −ln σ(z) or −ln(1 − σ(z)), for which e²⁰⁰ is small enough in double
      expectedLosses.add(i / outputs, ACTIVATION_ULPS, Math.log1p(Math.exp(sign)) / outputs);
      expectedLosses.allow(i / outputs, (1 + 2 * Math.abs(z[i])) / outputs);
      expectedGradient.add(i, ACTIVATION_ULPS, 1 / (1 + Math.exp(-z[i])) / outputs);
      expectedGradient.add(i, -t[i] / (double) outputs);
    }
    expectedLosses.check("losses", losses);
    expectedGradient.check("gradient", gradient);
  }

  @ForShapes
  default void computesSquaredError(int samples, int outputs, int unused) {
    float[] a = on().normal(samples * outputs);
    float[] t = on().normal(samples * outputs);
    Matrix gradient = on().zeros(samples, outputs);
    Matrix losses = on().zeros(samples, 1);
    training().squaredError(on().upload(samples, outputs, a), on().upload(samples, outputs, t), gradient, losses);
    ExpectedSums expectedLosses = on().sums(samples);
    ExpectedSums expectedGradient = on().sums(samples * outputs);
    for (int i = 0; i < a.length; i++) {
      double difference = (double) a[i] - t[i];
      expectedLosses.add(i / outputs, 2, difference * difference / outputs);
      expectedGradient.add(i, 2 * difference / outputs);
    }
    expectedLosses.check("losses", losses);
    expectedGradient.check("gradient", gradient);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  default void stepsAdam(boolean keepZeros) {
    int rows = 33;
    int columns = 31;
    float[] p = on().normal(rows * columns);
    float[] g = on().normal(rows * columns);
    for (int i = 0; i < p.length; i += 5) {
      p[i] = 0;
      g[i + 1] = 0;
    }
    Matrix parameter = on().upload(rows, columns, p);
    Matrix gradient = on().upload(rows, columns, g);
    Matrix first = on().zeros(rows, columns);
    Matrix second = on().zeros(rows, columns);
    double[] expected = IntStream.range(0, p.length).mapToDouble(i -> p[i]).toArray();
    double[] m = new double[p.length];
    double[] v = new double[p.length];
    for (int step = 1; step <= 3; step++) {
      training().adamStep(parameter, gradient, first, second, Adam.of(0.01), step, keepZeros);
      for (int i = 0; i < p.length; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
        double change = 0.01 * m[i] / (1 - Math.pow(0.9, step))
            / (Math.sqrt(v[i] / (1 - Math.pow(0.999, step))) + 1e-8);
        expected[i] -= keepZeros && expected[i] == 0 ? 0 : change;
      }
    }
    float[] found = on().download(parameter);
    for (int i = 0; i < p.length; i++) {
      double tolerance = 64 * (FLOAT_ROUNDOFF + on().unitRoundoff()) * (Math.abs(expected[i]) + 0.03);
      assertEquals(expected[i], found[i], tolerance, "element " + i);
      if (p[i] == 0 && keepZeros) {
        assertEquals(0, found[i], "element " + i);
      } else if (g[i] != 0) {
        assertNotEquals(p[i], found[i], "element " + i);
      }
    }
  }
}
