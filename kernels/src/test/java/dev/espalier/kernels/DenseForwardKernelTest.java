package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEveryOrder;
import static dev.espalier.kernels.Checks.onEveryRow;
import static dev.espalier.kernels.Checks.onEveryShape;
import static dev.espalier.kernels.Checks.result;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class DenseForwardKernelTest {
  private static final float SCALE = 0.25f;

  @ParameterizedTest
  @MethodSource("dev.espalier.kernels.Nonlinearities#all")
  void biasAndActivation(Nonlinearity nonlinearity) {
    onEveryShape((gpu, samples, outputs) -> {
      float[] product = normal(1, (long) samples * outputs);
      float[] bias = normal(2, outputs);
      DeviceMatrix z = gpu.matrix(samples, outputs, product);
      DeviceMatrix a = gpu.matrix(samples, outputs);
      new DenseForwardKernel(gpu).forward(nonlinearity, z, gpu.matrix(1, outputs, bias), a);
      float[] sums = gpu.read(z);
      assertSame("z", sums, i -> product[i] + bias[i % outputs]);
      assertClose("a", gpu.read(a), i -> Nonlinearities.value(nonlinearity, sums[i]), i -> tolerance(sums[i]));
    });
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.kernels.Nonlinearities#all")
  void activationAlone(Nonlinearity nonlinearity) {
    onEveryShape((gpu, samples, outputs) -> {
      float[] z = normal(1, (long) samples * outputs);
      DeviceMatrix preActivation = gpu.matrix(samples, outputs, z);
      DeviceMatrix a = gpu.matrix(samples, outputs);
      new DenseForwardKernel(gpu).activate(nonlinearity, preActivation, a);
      assertSame("z", gpu.read(preActivation), i -> z[i]);
      assertClose("a", gpu.read(a), i -> Nonlinearities.value(nonlinearity, z[i]), i -> tolerance(z[i]));
    });
  }

  /// No NaN and no overflow where powers of e leave float32's range, or squares of z do.
  @ParameterizedTest
  @MethodSource("dev.espalier.kernels.Nonlinearities#all")
  void tailsAreFinite(Nonlinearity nonlinearity) {
    float[] z = {-1e30f, -1e5f, -120, -90, -30, 30, 90, 120, 1e5f, 1e30f};
    float[] ones = new float[z.length];
    Arrays.fill(ones, 1);
    onEveryOrder(gpu -> {
      DeviceMatrix preActivation = gpu.matrix(1, z.length, z);
      DeviceMatrix a = gpu.matrix(1, z.length);
      DeviceMatrix g = gpu.matrix(1, z.length);
      new DenseForwardKernel(gpu).activate(nonlinearity, preActivation, a);
      new DenseForwardKernel(gpu).backward(nonlinearity, preActivation, gpu.matrix(1, z.length, ones), g);
      float[] value = gpu.read(a);
      float[] slope = gpu.read(g);
      boolean wraps = nonlinearity.kind() == Nonlinearity.Kind.SIN; // beyond 10⁵ its argument has no digits
      for (int i = 0; i < z.length; i++) {
        if (wraps && Math.abs(z[i]) > 1e4) {
          assertTrue(Math.abs(value[i]) <= 1.0001f && Math.abs(slope[i]) <= 30.01f, nonlinearity + " at " + z[i]);
          continue;
        }
        double expected = Nonlinearities.value(nonlinearity, z[i]);
        assertEquals(expected, value[i], 8 * UNIT * (1 + Math.abs(expected)), nonlinearity + " at " + z[i]);
        assertEquals(Nonlinearities.derivative(nonlinearity, z[i]), slope[i], 8 * UNIT * steepest(nonlinearity),
            nonlinearity + "' at " + z[i]);
      }
    });
  }

  @Test
  void biasAlone() {
    onEveryShape((gpu, samples, outputs) -> {
      float[] product = normal(1, (long) samples * outputs);
      float[] bias = normal(2, outputs);
      DeviceMatrix z = gpu.matrix(samples, outputs, product);
      new DenseForwardKernel(gpu).addBias(z, gpu.matrix(1, outputs, bias));
      assertSame("z", gpu.read(z), i -> product[i] + bias[i % outputs]);
    });
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.kernels.Nonlinearities#all")
  void derivativeAndSquares(Nonlinearity nonlinearity) {
    int copies = 3;
    onEveryShape((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      float[] z = normal(1, elements);
      float[] u = normal(2, (long) copies * elements);
      float[] before = normal(3, elements);
      DeviceMatrix g = gpu.matrix(copies * samples, outputs);
      DeviceMatrix s = gpu.matrix(samples, outputs, before);
      new DenseForwardKernel(gpu).backwardAddingSquares(nonlinearity, gpu.matrix(samples, outputs, z),
          gpu.matrix(copies * samples, outputs, u), g, s, SCALE);
      float[] gradient = gpu.read(g);
      assertClose("g", gradient, i -> u[i] * Nonlinearities.derivative(nonlinearity, z[i % elements]),
          i -> Math.abs(u[i]) * steepest(nonlinearity) * tolerance(z[i % elements]));
      assertClose("s", gpu.read(s), i -> before[i] + SCALE * squares(gradient, i, elements),
          i -> (copies + 2) * UNIT * (Math.abs(before[i]) + SCALE * squares(gradient, i, elements)));
    });
  }

  @Test
  void gradientMayReplaceUpstream() {
    onEveryOrder(gpu -> {
      float[] u = normal(1, 6 * 20);
      DeviceMatrix upstream = gpu.matrix(6, 20, u);
      float[] z = normal(2, 3 * 20);
      new DenseForwardKernel(gpu).backward(Nonlinearity.RELU, gpu.matrix(3, 20, z), upstream, upstream);
      assertSame("g", gpu.read(upstream), i -> u[i] * (z[i % 60] > 0 ? 1f : 0f));
    });
  }

  @Test
  void squaresAlone() {
    onEveryShape((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      float[] gradient = normal(1, 2L * elements);
      float[] before = normal(2, elements);
      DeviceMatrix s = gpu.matrix(samples, outputs, before);
      new DenseForwardKernel(gpu).addSquares(SCALE, gpu.matrix(2 * samples, outputs, gradient), s);
      assertClose("s", gpu.read(s), i -> before[i] + SCALE * squares(gradient, i, elements),
          i -> 4 * UNIT * (Math.abs(before[i]) + SCALE * squares(gradient, i, elements)));
    });
  }

  @Test
  void softmax() {
    onEveryRow((gpu, samples, outputs) -> {
      float[] product = normal(1, (long) samples * outputs);
      float[] bias = normal(2, outputs);
      DeviceMatrix z = gpu.matrix(samples, outputs, product);
      DeviceMatrix a = result(gpu, samples, outputs);
      new DenseForwardKernel(gpu).softmaxForward(z, gpu.matrix(1, outputs, bias), a);
      float[] sums = gpu.read(z);
      assertSame("z", sums, i -> product[i] + bias[i % outputs]);
      double[] p = Nonlinearities.softmax(sums, outputs);
      assertClose("a", gpu.read(a), i -> p[i], i -> (outputs + 20) * UNIT * p[i]);
    });
  }

  @Test
  void softmaxAlone() {
    onEveryRow((gpu, samples, outputs) -> {
      float[] z = normal(1, (long) samples * outputs);
      DeviceMatrix preActivation = gpu.matrix(samples, outputs, z);
      DeviceMatrix a = result(gpu, samples, outputs);
      new DenseForwardKernel(gpu).softmax(preActivation, a);
      assertSame("z", gpu.read(preActivation), i -> z[i]);
      double[] p = Nonlinearities.softmax(z, outputs);
      assertClose("a", gpu.read(a), i -> p[i], i -> (outputs + 20) * UNIT * p[i]);
    });
  }

  @Test
  void softmaxOfLargeNumbers() {
    onEveryOrder(gpu -> {
      DeviceMatrix a = gpu.matrix(1, 3);
      new DenseForwardKernel(gpu).softmaxForward(gpu.matrix(1, 3, 500, 500, -500), gpu.matrix(1, 3, 0, 0, 0), a);
      assertSame("a", gpu.read(a), i -> i == 2 ? 0 : 0.5);
    });
  }

  @Test
  void softmaxJacobianAndSquares() {
    int copies = 2;
    onEveryRow((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      double[] exact = Nonlinearities.softmax(normal(1, elements), outputs);
      float[] p = new float[elements];
      for (int i = 0; i < elements; i++) {
        p[i] = (float) exact[i];
      }
      float[] u = normal(2, (long) copies * elements);
      float[] before = normal(3, elements);
      DeviceMatrix g = gpu.matrixAt(samples % 2, copies * samples, outputs);
      DeviceMatrix s = gpu.matrix(samples, outputs, before);
      new DenseForwardKernel(gpu).softmaxBackwardAddingSquares(gpu.matrix(samples, outputs, p),
          gpu.matrix(copies * samples, outputs, u), g, s, SCALE);
      float[] gradient = gpu.read(g);
      assertClose("g", gradient, i -> p[i % elements] * (u[i] - mean(p, u, i, outputs, elements)),
          i -> (outputs + 4) * UNIT * p[i % elements] * (Math.abs(u[i]) + 4));
      assertClose("s", gpu.read(s), i -> before[i] + SCALE * squares(gradient, i, elements),
          i -> 5 * UNIT * (Math.abs(before[i]) + SCALE * squares(gradient, i, elements)));
    });
  }

  /// ln Σ exp(z) is off by the roundings of its terms, and the difference by its own.
  @Test
  void logSoftmax() {
    onEveryRow((gpu, samples, outputs) -> {
      float[] product = normal(1, (long) samples * outputs);
      float[] bias = normal(2, outputs);
      DeviceMatrix z = gpu.matrix(samples, outputs, product);
      DeviceMatrix a = result(gpu, samples, outputs);
      new DenseForwardKernel(gpu).logSoftmaxForward(z, gpu.matrix(1, outputs, bias), a);
      float[] sums = gpu.read(z);
      double[] p = Nonlinearities.softmax(sums, outputs);
      assertClose("a", gpu.read(a), i -> Math.log(p[i]), i -> (outputs + 20) * UNIT * (1 + Math.abs(Math.log(p[i]))));
      DeviceMatrix alone = result(gpu, samples, outputs);
      new DenseForwardKernel(gpu).logSoftmax(gpu.matrix(samples, outputs, sums), alone);
      float[] expected = gpu.read(a);
      assertSame("alone", gpu.read(alone), i -> expected[i]);
    });
  }

  /// Their probabilities are zero in float32.
  @Test
  void logSoftmaxOfLargeNumbers() {
    onEveryOrder(gpu -> {
      DeviceMatrix a = gpu.matrix(1, 3);
      new DenseForwardKernel(gpu).logSoftmax(gpu.matrix(1, 3, 500, -500, -1500), a);
      assertSame("a", gpu.read(a), i -> i * -1000);
    });
  }

  @Test
  void logSoftmaxJacobians() {
    int copies = 2;
    onEveryRow((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      double[] exact = Nonlinearities.softmax(normal(1, elements), outputs);
      float[] logs = new float[elements];
      float[] p = new float[elements];
      float[] ones = new float[elements];
      for (int i = 0; i < elements; i++) {
        logs[i] = (float) Math.log(exact[i]);
        p[i] = (float) Math.exp(logs[i]);
        ones[i] = 1;
      }
      float[] u = normal(2, (long) copies * elements);
      DeviceMatrix a = gpu.matrix(samples, outputs, logs);
      DeviceMatrix upstream = gpu.matrix(copies * samples, outputs, u);
      DeviceMatrix g = gpu.matrixAt(samples % 2, copies * samples, outputs);
      new DenseForwardKernel(gpu).logSoftmaxBackward(a, upstream, g);
      assertClose("g", gpu.read(g), i -> u[i] - p[i % elements] * mean(ones, u, i, outputs, elements),
          i -> (outputs + 8) * UNIT * (Math.abs(u[i]) + p[i % elements] * 4 * outputs));
      new DenseForwardKernel(gpu).logSoftmaxTangent(a, upstream, g);
      assertClose("t", gpu.read(g), i -> u[i] - mean(p, u, i, outputs, elements),
          i -> (outputs + 8) * UNIT * (Math.abs(u[i]) + 4));
    });
  }

  @Test
  void nanStaysNan() {
    onEveryOrder(gpu -> {
      DeviceMatrix a = gpu.matrix(1, 1);
      for (Nonlinearity nonlinearity : Nonlinearities.all().toList()) {
        new DenseForwardKernel(gpu).forward(nonlinearity, gpu.matrix(1, 1, Float.NaN), gpu.matrix(1, 1, 0), a);
        assertEquals(Float.NaN, gpu.read(a)[0], nonlinearity.toString());
      }
    });
  }

  @Test
  void refusesOtherShapes() {
    try (TestGpu gpu = TestGpu.open()) {
      DenseForwardKernel kernel = new DenseForwardKernel(gpu);
      DeviceMatrix z = gpu.matrix(4, 3);
      var bias = assertThrows(IllegalArgumentException.class,
          () -> kernel.forward(Nonlinearity.RELU, z, gpu.matrix(1, 4), gpu.matrix(4, 3)));
      assertEquals("bias is 1×4, not 1×3", bias.getMessage());
      var overlap = assertThrows(IllegalArgumentException.class,
          () -> kernel.forward(Nonlinearity.RELU, z, gpu.matrix(1, 3), z));
      assertEquals("activated overlaps preActivation", overlap.getMessage());
      assertEquals("bias is 1×4, not 1×3",
          assertThrows(IllegalArgumentException.class, () -> kernel.addBias(z, gpu.matrix(1, 4))).getMessage());
      assertThrows(IllegalArgumentException.class, () -> kernel.activate(Nonlinearity.RELU, z, z));
      assertThrows(IllegalArgumentException.class, () -> kernel.softmax(z, gpu.matrix(3, 4)));
      var copies = assertThrows(IllegalArgumentException.class,
          () -> kernel.backward(Nonlinearity.RELU, z, gpu.matrix(6, 3), gpu.matrix(6, 3)));
      assertEquals("6 stacked rows of 4 samples", copies.getMessage());
    }
  }

  private static double squares(float[] gradient, int element, int elements) {
    double sum = 0;
    for (int i = element; i < gradient.length; i += elements) {
      sum += (double) gradient[i] * gradient[i];
    }
    return sum;
  }

  private static double mean(float[] p, float[] u, int element, int outputs, int elements) {
    int row = element - element % outputs;
    double sum = 0;
    for (int k = row; k < row + outputs; k++) {
      sum += (double) p[k % elements] * u[k];
    }
    return sum;
  }

  /// The largest |φ′|, roughly.
  private static double steepest(Nonlinearity nonlinearity) {
    return nonlinearity.kind() == Nonlinearity.Kind.SIN ? nonlinearity.parameter() : 1;
  }

  /// The exponential and error functions are right to a few units; their arguments are off by one.
  private static double tolerance(double z) {
    return 8 * UNIT * (1 + Math.abs(z)) * (1 + Math.abs(z));
  }
}
