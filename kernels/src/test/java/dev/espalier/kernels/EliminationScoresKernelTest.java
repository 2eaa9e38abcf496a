package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEveryOrder;
import static dev.espalier.kernels.Checks.onEveryShape;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class EliminationScoresKernelTest {
  private static final int SAMPLES = 50;

  @Test
  void importanceAndCompensation() {
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = normal(1, elements);
      float[] c = normal(2, inputs);
      float[] m0 = new float[outputs];
      float[] m1 = normal(4, elements);
      float[] m2 = normal(5, elements);
      for (int i = 0; i < outputs; i++) {
        m0[i] = i % 5 == 3 ? 0 : i + 1; // some dead neurons
      }
      for (int i = 0; i < elements; i++) {
        boolean dead = m0[i / inputs] == 0;
        m1[i] = dead ? 0 : m1[i];
        m2[i] = dead ? 0 : Math.abs(m2[i]); // sometimes below m1²/m0: clamped
      }
      DeviceMatrix first = gpu.matrix(outputs, inputs, m1);
      DeviceMatrix second = gpu.matrix(outputs, inputs, m2);
      new EliminationScoresKernel(gpu).scores(gpu.matrix(outputs, inputs, w), gpu.matrix(1, outputs, m0), first, second,
          gpu.matrix(1, inputs, c), SAMPLES);
      assertClose("importance", gpu.read(second), i -> {
        double total = m0[i / inputs];
        double variance = total == 0 ? 0 : m2[i] - (double) m1[i] * m1[i] / total;
        return (double) w[i] * w[i] * Math.max(0, variance) / SAMPLES;
      }, i -> 6 * UNIT * w[i] * w[i] * (m2[i] + m1[i] * m1[i]) / SAMPLES);
      assertClose("compensation", gpu.read(first), i -> {
        double total = m0[i / inputs];
        return total == 0 ? 0 : w[i] * (c[i % inputs] + m1[i] / total);
      }, i -> 4 * UNIT * Math.abs(w[i]) * (Math.abs(c[i % inputs]) + Math.abs(m1[i])));
    });
  }

  @Test
  void exactOnIntegers() {
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = integers(1, elements, 8);
      float[] m1 = integers(2, elements, 64);
      float[] m2 = integers(3, elements, 4096);
      DeviceMatrix first = gpu.matrix(outputs, inputs, m1);
      DeviceMatrix second = gpu.matrix(outputs, inputs, m2);
      float[] m0 = new float[outputs];
      java.util.Arrays.fill(m0, 16);
      new EliminationScoresKernel(gpu).scores(gpu.matrix(outputs, inputs, w), gpu.matrix(1, outputs, m0), first, second,
          gpu.matrix(1, inputs, new float[inputs]), 64);
      assertSame("importance", gpu.read(second),
          i -> w[i] * w[i] * Math.max(0, m2[i] - (double) m1[i] * m1[i] / 16) / 64);
      assertSame("compensation", gpu.read(first), i -> w[i] * m1[i] / 16);
    });
  }

  @Test
  void whatIsNotFiniteStaysSo() {
    onEveryOrder(gpu -> {
      DeviceMatrix m1 = gpu.matrix(1, 5, 1, 1, Float.NaN, Float.NEGATIVE_INFINITY, 1);
      DeviceMatrix m2 = gpu.matrix(1, 5, Float.NaN, Float.POSITIVE_INFINITY, 4, 4, 4);
      new EliminationScoresKernel(gpu).scores(gpu.matrix(1, 5, 1, 1, 1, 1, 1), gpu.matrix(1, 1, 1), m1, m2,
          gpu.matrix(1, 5, new float[5]), 1);
      assertArrayEquals(new float[]{Float.NaN, Float.POSITIVE_INFINITY, Float.NaN, 0, 3}, gpu.read(m2));
      assertArrayEquals(new float[]{1, 1, Float.NaN, Float.NEGATIVE_INFINITY, 1}, gpu.read(m1));
    });
  }

  @Test
  void cancelled() {
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = integers(1, elements, 8);
      float[] m0 = new float[outputs];
      float[] m1 = integers(2, elements, 64);
      float[] m2 = new float[elements];
      double[] expected = new double[inputs];
      for (int i = 0; i < elements; i++) {
        int row = i / inputs;
        m0[row] = row % 5 == 3 ? 0 : 4; // some dead neurons
        float mean = m1[i] / 4;
        m2[i] = m1[i] * mean + i % 3; // variances of 0, 1 and 2
        boolean small = m0[row] > 0 && i % 3 < 0.125f * m2[i];
        expected[i % inputs] = Math.max(expected[i % inputs], small ? (double) w[i] * w[i] * m2[i] : 0);
      }
      DeviceMatrix largest = gpu.matrix(1, inputs);
      new EliminationScoresKernel(gpu).cancelled(gpu.matrix(outputs, inputs, w), gpu.matrix(1, outputs, m0),
          gpu.matrix(outputs, inputs, m1), gpu.matrix(outputs, inputs, m2), 0.125, largest);
      assertSame("largest", gpu.read(largest), j -> expected[j]);
    });
  }

  @Test
  void absoluteProduct() {
    onEveryShape((gpu, outputs, inputs) -> {
      float[] w = normal(1, (long) outputs * inputs);
      float[] f = normal(2, (long) outputs * inputs);
      DeviceMatrix weights = gpu.matrix(outputs, inputs, w);
      DeviceMatrix scores = gpu.matrix(outputs, inputs);
      EliminationScoresKernel kernel = new EliminationScoresKernel(gpu);
      kernel.absoluteProduct(1, weights, gpu.matrix(outputs, inputs, f), scores);
      assertSame("by element", gpu.read(scores), i -> Math.abs(w[i] * f[i]));
      kernel.absoluteProduct(1.0 / 3, weights, gpu.matrix(outputs, inputs, f), scores);
      assertSame("scaled", gpu.read(scores), i -> Math.abs(w[i] * ((float) (1.0 / 3) * f[i])));
      kernel.absoluteProduct(1, weights, gpu.matrix(1, inputs, java.util.Arrays.copyOf(f, inputs)), scores);
      assertSame("by column", gpu.read(scores), i -> Math.abs(w[i] * f[i % inputs]));
    });
  }

  @Test
  void addsAnOuterProduct() {
    onEveryShape((gpu, outputs, inputs) -> {
      float[] s = normal(1, (long) outputs * inputs);
      float[] u = normal(2, outputs);
      float[] v = normal(3, inputs);
      DeviceMatrix sums = gpu.matrix(outputs, inputs, s);
      new EliminationScoresKernel(gpu).addOuterProduct(0.75, sums, 0.1, gpu.matrix(1, outputs, u),
          gpu.matrix(1, inputs, v));
      assertSame("sums", gpu.read(sums), i -> Math.fma(0.75f, s[i], 0.1f * u[i / inputs] * v[i % inputs]));
    });
  }

  @Test
  void refusesOtherShapes() {
    try (TestGpu gpu = TestGpu.open()) {
      EliminationScoresKernel kernel = new EliminationScoresKernel(gpu);
      DeviceMatrix m = gpu.matrix(4, 3);
      var overlap = assertThrows(IllegalArgumentException.class,
          () -> kernel.scores(gpu.matrix(4, 3), gpu.matrix(1, 4), m, m, gpu.matrix(1, 3), 1));
      assertEquals("m1 overlaps m2", overlap.getMessage());
      var samples = assertThrows(IllegalArgumentException.class,
          () -> kernel.scores(m, gpu.matrix(1, 4), gpu.matrix(4, 3), gpu.matrix(4, 3), gpu.matrix(1, 3), 0));
      assertEquals("samples=0", samples.getMessage());
    }
  }
}
