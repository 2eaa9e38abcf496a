package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEveryShape;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.kernels.ApplyKernel.Cut;
import org.junit.jupiter.api.Test;

class ApplyKernelTest {
  /// What a cut removes, by its definition.
  private static boolean[] removed(float[] scores, float threshold, long ties) {
    boolean[] removed = new boolean[scores.length];
    long left = ties;
    for (int i = 0; i < scores.length; i++) {
      removed[i] = scores[i] < threshold || (scores[i] == threshold && left-- > 0);
    }
    return removed;
  }

  private static long ties(float[] scores, float threshold) {
    long ties = 0;
    for (float score : scores) {
      ties += score == threshold ? 1 : 0;
    }
    return ties;
  }

  @Test
  void removesAndCompensates() {
    float threshold = 1;
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = normal(1, elements);
      float[] s = integers(2, elements, 3); // −1 among them: removed, and not in the sum
      float[] d = normal(3, elements);
      float[] b = normal(4, outputs);
      for (long ties : new long[]{0, 1, ties(s, threshold) / 2, ties(s, threshold)}) {
        boolean[] removed = removed(s, threshold, ties);
        DeviceMatrix weights = gpu.matrix(outputs, inputs, w);
        DeviceMatrix bias = gpu.matrix(1, outputs, b);
        DeviceBuffer result = gpu.buffer(ApplyKernel.REMOVED_BYTES, -1);
        Cut cut = new Cut(gpu.matrix(outputs, inputs, s), threshold, ties,
            gpu.buffer(ApplyKernel.workspace(outputs), -1));
        new ApplyKernel(gpu).remove(cut, weights, result, bias, gpu.matrix(outputs, inputs, d));
        check(gpu, "ties " + ties, removed, weights, w, s, result);
        checkBias(gpu, bias, b, d, removed, inputs);
      }
    });
  }

  @Test
  void removesWithoutCompensation() {
    float threshold = 0;
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = normal(1, elements);
      float[] s = integers(2, elements, 1);
      long ties = ties(s, threshold) / 2;
      boolean[] removed = removed(s, threshold, ties);
      ApplyKernel kernel = new ApplyKernel(gpu);
      DeviceMatrix weights = gpu.matrix(outputs, inputs, w);
      DeviceBuffer result = gpu.buffer(ApplyKernel.REMOVED_BYTES, -1);
      Cut cut = new Cut(gpu.matrix(outputs, inputs, s), threshold, ties,
          gpu.buffer(ApplyKernel.workspace(outputs), -1));
      kernel.remove(cut, weights, result);
      check(gpu, "weights", removed, weights, w, s, result);
      kernel.remove(cut, weights, result);
      check(gpu, "again", removed, weights, w, s, result);
    });
  }

  @Test
  void moreRowsThanAScanTakesAtOnce() {
    int outputs = 2500;
    int inputs = 3;
    Checks.onEveryOrder(gpu -> {
      float[] w = normal(1, (long) outputs * inputs);
      float[] s = integers(2, (long) outputs * inputs, 1);
      long ties = ties(s, 0) - 5;
      DeviceMatrix weights = gpu.matrix(outputs, inputs, w);
      DeviceBuffer result = gpu.buffer(ApplyKernel.REMOVED_BYTES, -1);
      Cut cut = new Cut(gpu.matrix(outputs, inputs, s), 0, ties, gpu.buffer(ApplyKernel.workspace(outputs), -1));
      new ApplyKernel(gpu).remove(cut, weights, result);
      check(gpu, "weights", removed(s, 0, ties), weights, w, s, result);
    });
  }

  @Test
  void refusesNanAndOtherShapes() {
    try (TestGpu gpu = TestGpu.open()) {
      DeviceMatrix m = gpu.matrix(2, 2);
      DeviceBuffer workspace = gpu.buffer(64, 0);
      var nan = assertThrows(IllegalArgumentException.class, () -> new Cut(m, Float.NaN, 0, workspace));
      assertEquals("threshold=NaN, ties=0", nan.getMessage());
      ApplyKernel kernel = new ApplyKernel(gpu);
      Cut cut = new Cut(m, 0, 0, workspace);
      var room = assertThrows(IllegalArgumentException.class, () -> kernel.remove(cut, m, gpu.buffer(8, 0)));
      assertEquals("removed has 8 bytes, 16 are needed", room.getMessage());
      var bias = assertThrows(IllegalArgumentException.class,
          () -> kernel.remove(cut, m, gpu.buffer(16, 0), gpu.matrix(1, 3), m));
      assertEquals("bias is 1×3, not 1×2", bias.getMessage());
    }
  }

  private static void check(TestGpu gpu, String what, boolean[] removed, DeviceMatrix weights, float[] before,
      float[] scores, DeviceBuffer result) {
    assertSame(what, gpu.read(weights), i -> removed[i] ? 0 : before[i]);
    double expectedSum = 0;
    long expectedCount = 0;
    for (int i = 0; i < removed.length; i++) {
      expectedSum += removed[i] ? Math.max(0, scores[i]) : 0;
      expectedCount += removed[i] ? 1 : 0;
    }
    assertEquals(expectedCount, gpu.readLong(result, 0), what);
    assertEquals(expectedSum, gpu.readDouble(result, 1), what);
  }

  private static void checkBias(TestGpu gpu, DeviceMatrix bias, float[] before, float[] compensation, boolean[] removed,
      int inputs) {
    assertClose("bias", gpu.read(bias), i -> before[i] + sum(compensation, removed, i, inputs, false),
        i -> (inputs + 1) * UNIT * (Math.abs(before[i]) + sum(compensation, removed, i, inputs, true)));
  }

  private static double sum(float[] values, boolean[] chosen, int row, int columns, boolean magnitudes) {
    double sum = 0;
    for (int i = row * columns; i < (row + 1) * columns; i++) {
      sum += chosen[i] ? magnitudes ? Math.abs(values[i]) : values[i] : 0;
    }
    return sum;
  }
}
