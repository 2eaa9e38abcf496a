package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEveryOrder;
import static dev.espalier.kernels.Checks.onEveryShape;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SelectKernelTest {
  @Test
  void zerosRankFirst() {
    onEveryShape((gpu, outputs, inputs) -> {
      int elements = outputs * inputs;
      float[] w = integers(1, elements, 2);
      float[] s = normal(2, elements);
      for (int i = 0; i < elements; i++) {
        s[i] = i % 3 == 0 ? -0f : Math.abs(s[i]);
      }
      DeviceMatrix scores = gpu.matrix(outputs, inputs, s);
      DeviceBuffer first = gpu.buffer(Long.BYTES, -1);
      new SelectKernel(gpu).rankZerosFirst(gpu.matrix(outputs, inputs, w), scores, first);
      assertEquals(-1, gpu.readLong(first, 0));
      assertSame("scores", gpu.read(scores), i -> w[i] == 0 ? -1 : s[i] + 0f);
    });
  }

  @Test
  void reportsTheFirstThatIsNotFinite() {
    onEveryOrder(gpu -> {
      float[] s = normal(1, 33 * 40);
      s[1000] = Float.NaN;
      s[417] = Float.NEGATIVE_INFINITY;
      DeviceBuffer first = gpu.buffer(Long.BYTES, -1);
      new SelectKernel(gpu).rankZerosFirst(gpu.matrix(33, 40, s), gpu.matrix(33, 40, s), first);
      assertEquals(417, gpu.readLong(first, 0));
    });
  }

  @Test
  void kthSmallestOverLayers() {
    float[] large = normal(1, 300 * 140);
    float[] small = integers(2, 33 * 7, 1); // many ties
    float[] one = {Float.POSITIVE_INFINITY};
    float[] sorted = concatenate(large, small, one);
    Arrays.sort(sorted);
    onEveryOrder(gpu -> {
      DeviceMatrix unaligned = gpu.matrixAt(1, 33, 7);
      gpu.write(unaligned, small);
      List<DeviceMatrix> layers = List.of(gpu.matrix(300, 140, large), unaligned, gpu.matrix(1, 1, one));
      SelectKernel kernel = new SelectKernel(gpu);
      DeviceBuffer state = gpu.buffer(SelectKernel.STATE_BYTES, -1);
      for (int count : Checks.BRIEF
          ? new int[]{21_000}
          : new int[]{1, 2, 1000, 10_000, 21_000, 21_116, 40_000, sorted.length - 1, sorted.length}) {
        kernel.select(layers, count, state);
        float threshold = SelectKernel.threshold(gpu.readInt(state, 0));
        assertEquals(sorted[count - 1] + 0f, threshold + 0f, "count " + count);
        for (int l = 0; l < layers.size(); l++) {
          float[] values = List.of(large, small, one).get(l);
          DeviceBuffer counts = gpu.buffer(SelectKernel.COUNTS_BYTES, 0);
          kernel.count(layers.get(l), state, counts);
          assertEquals(count(values, threshold, -1), gpu.readLong(counts, 0), "below in layer " + l);
          assertEquals(count(values, threshold, 0), gpu.readLong(counts, 1), "equal in layer " + l);
        }
      }
    });
  }

  @Test
  void anyElementCount() {
    onEveryShape((gpu, rows, columns) -> {
      float[] values = integers(1, (long) rows * columns, 20);
      float[] sorted = values.clone();
      Arrays.sort(sorted);
      int count = (sorted.length + 1) / 2;
      DeviceBuffer state = gpu.buffer(SelectKernel.STATE_BYTES, -1);
      new SelectKernel(gpu).select(List.of(gpu.matrix(rows, columns, values)), count, state);
      assertEquals(sorted[count - 1], SelectKernel.threshold(gpu.readInt(state, 0)));
    });
  }

  @Test
  void groupsKeepTheirLargest() {
    int[] widths = Checks.BRIEF ? new int[]{4, 140} : new int[]{1, 2, 4, 5, 31, 32, 33, 140};
    for (int width : widths) {
      for (double removed : new double[]{0, 0.5, 0.75 * width, width}) {
        if (removed <= width) {
          groups(9, 140, width, removed);
        }
      }
    }
    groups(3, 300, 300, 150);
    groups(2, 4100, 4100, 1000); // more than a block holds at once, by vectors of four and by elements
    groups(1, 4099, 4099, 1000);
    groups(2, 1000, 700, 350);
    groups(2, 1, 1, 0.5);
  }

  private static void groups(int rows, int columns, int width, double perGroup) {
    float[] s = integers(width, (long) rows * columns, 6); // ties in every group
    float[] expected = s.clone();
    long left = 0;
    long group = 0;
    for (int row = 0; row < rows; row++) {
      for (int start = 0; start < columns; start += width) {
        int here = Math.min(width, columns - start);
        long quota = Math.round((group + 1.0) * perGroup) - Math.round((double) group * perGroup);
        long kept = Math.min(here, width - quota);
        int first = row * columns + start;
        IntStream.range(first, first + here).boxed().sorted(Comparator.comparingDouble(i -> s[i])).skip(here - kept)
            .forEach(i -> expected[i] = Float.POSITIVE_INFINITY);
        left += here - kept;
        group++;
      }
    }
    long expectedLeft = left;
    onEveryOrder(gpu -> {
      String what = "groups of %d, %s removed".formatted(width, perGroup);
      DeviceMatrix scores = gpu.matrix(rows, columns, s);
      DeviceMatrix marked = gpu.matrix(rows, columns);
      SelectKernel kernel = new SelectKernel(gpu);
      assertEquals(expectedLeft, kernel.keepPerGroup(scores, marked, width, perGroup));
      assertSame(what, gpu.read(marked), i -> expected[i]);
      assertSame(what + ", scores", gpu.read(scores), i -> s[i]);
      kernel.keepPerGroup(scores, scores, width, perGroup);
      assertSame(what + ", in place", gpu.read(scores), i -> expected[i]);
    });
  }

  @Test
  void refusesCountsOutOfRange() {
    try (TestGpu gpu = TestGpu.open()) {
      SelectKernel kernel = new SelectKernel(gpu);
      List<DeviceMatrix> scores = List.of(gpu.matrix(2, 3), gpu.matrix(1, 1));
      DeviceBuffer state = gpu.buffer(SelectKernel.STATE_BYTES, 0);
      var e = assertThrows(IllegalArgumentException.class, () -> kernel.select(scores, 8, state));
      assertEquals("count=8 of 7 scores", e.getMessage());
      DeviceMatrix six = scores.getFirst();
      var groups = assertThrows(IllegalArgumentException.class, () -> kernel.keepPerGroup(six, six, 4, 2));
      assertEquals("groups of 4 in 2×3, removing 2.0", groups.getMessage());
      var shape = assertThrows(IllegalArgumentException.class, () -> kernel.keepPerGroup(six, gpu.matrix(3, 2), 3, 1));
      assertEquals("marked is 3×2, not 2×3", shape.getMessage());
      var overlap = assertThrows(IllegalArgumentException.class,
          () -> kernel.keepPerGroup(six.slice(0, 1), new DeviceMatrix(six.address() + 4, 1, 3), 3, 1));
      assertEquals("marked overlaps another matrix", overlap.getMessage());
    }
  }

  private static long count(float[] values, float threshold, int sign) {
    long count = 0;
    for (float value : values) {
      count += (value < threshold ? -1 : value > threshold ? 1 : 0) == sign ? 1 : 0;
    }
    return count;
  }

  private static float[] concatenate(float[]... parts) {
    float[] all = new float[Arrays.stream(parts).mapToInt(p -> p.length).sum()];
    int at = 0;
    for (float[] part : parts) {
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    return all;
  }
}
