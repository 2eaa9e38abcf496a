package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bindings.MathMode;
import dev.espalier.kernels.DualMomentsKernelTest.Batch;
import dev.espalier.kernels.DualMomentsKernelTest.Reference;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// With our own products in the place of a library's. They round nothing: what is rounded to TF32 was so before.
class MomentsByProductsTest {
  static Stream<Arguments> batches() {
    List<Batch> batches = Checks.BRIEF
        ? List.of(new Batch(33, 40, 36, 1))
        : List.of(new Batch(1, 1, 1, 1), new Batch(33, 31, 7, 1), new Batch(70, 36, 132, 1),
            new Batch(129, 140, 65, 1));
    return batches.stream()
        .flatMap(batch -> Stream.of(MathMode.FP32, MathMode.TF32).map(mode -> Arguments.of(mode, batch)));
  }

  /// M0, M1 and M2 of a batch, twice added to 1000 if `twice`.
  private static float[][] moments(TestGpu gpu, MathMode mode, Batch b, float[] s, float[] a, float[] c,
      boolean twice) {
    ProductKernel kernel = new ProductKernel(gpu);
    MatrixProducts products = new KernelProducts(kernel, MathMode.FP32,
        gpu.buffer(kernel.largestWorkspace(MathMode.FP32), -1));
    MomentsByProducts moments = new MomentsByProducts(gpu, products, mode);
    DeviceMatrix[] sums = {filled(gpu, 1, b.outputs(), twice), filled(gpu, b.outputs(), b.inputs(), twice),
        filled(gpu, b.outputs(), b.inputs(), twice)};
    DeviceMatrix sensitivity = gpu.matrix(b.samples(), b.outputs(), s);
    DeviceMatrix activation = gpu.matrix(b.samples(), b.inputs(), a);
    DeviceMatrix pilot = gpu.matrix(1, b.inputs(), c);
    DeviceBuffer workspace = gpu.buffer(moments.workspace(b.samples(), b.outputs(), b.inputs()), -1);
    for (int i = 0; i < (twice ? 2 : 1); i++) {
      moments.addMoments(sensitivity, activation, pilot, sums[0], sums[1], sums[2], workspace);
    }
    assertTrue(Arrays.equals(s, gpu.read(sensitivity)) && Arrays.equals(a, gpu.read(activation)), "the batch stays");
    return new float[][]{gpu.read(sums[0]), gpu.read(sums[1]), gpu.read(sums[2])};
  }

  private static DeviceMatrix filled(TestGpu gpu, int rows, int columns, boolean withThousands) {
    float[] values = new float[rows * columns];
    Arrays.fill(values, withThousands ? 1000 : 0);
    return gpu.matrix(rows, columns, values);
  }

  @ParameterizedTest
  @MethodSource("batches")
  void exactOnIntegers(MathMode mode, Batch b) {
    float[] s = integers(1, (long) b.samples() * b.outputs(), 3);
    float[] a = integers(2, (long) b.samples() * b.inputs(), 5);
    float[] c = integers(3, b.inputs(), 2);
    Reference expected = Reference.of(b, s, a, c, false);
    Checks.onEveryOrder(gpu -> {
      float[][] found = moments(gpu, mode, b, s, a, c, true);
      assertSame("m0", found[0], i -> 1000 + 2 * expected.m0[i]);
      assertSame("m1", found[1], i -> 1000 + 2 * expected.m1[i]);
      assertSame("m2", found[2], i -> 1000 + 2 * expected.m2[i]);
    });
  }

  @ParameterizedTest
  @MethodSource("batches")
  void closeOnRealNumbers(MathMode mode, Batch b) {
    float[] s = normal(1, (long) b.samples() * b.outputs());
    float[] a = normal(2, (long) b.samples() * b.inputs());
    float[] c = normal(3, b.inputs());
    Reference expected = Reference.of(b, s, a, c, mode == MathMode.TF32);
    Checks.onEveryOrder(gpu -> {
      float[][] found = moments(gpu, mode, b, s, a, c, false);
      double bound = (b.samples() + 8) * UNIT;
      assertClose("m1", found[1], i -> expected.m1[i], i -> bound * expected.terms1[i]);
      assertClose("m2", found[2], i -> expected.m2[i], i -> bound * expected.terms2[i]);
    });
  }

  /// What a chip of the same major number and the next lower minor one takes, but for lines of its own.
  @ParameterizedTest
  @CsvSource({"81, 80", "87, 86", "88, 86", "95, 90", "103, 100", "109, 100", "121, 120"})
  void chipsTakeTheLinesOfTheNearestLowerOnes(int computeCapability, int line) {
    for (MathMode mode : MathMode.values()) {
      assertEquals(MomentsByProducts.leastWidth(line, mode), MomentsByProducts.leastWidth(computeCapability, mode),
          mode.name());
    }
    assertTrue(MomentsByProducts.leastWidth(computeCapability, MathMode.FP32).isPresent());
  }

  /// 11.0 is another major number than 10.0, and nothing is known of it.
  @ParameterizedTest
  @ValueSource(ints = {70, 75, 79, 110, 130})
  void chipsOfOtherMajorNumbersTakeOnePass(int computeCapability) {
    for (MathMode mode : MathMode.values()) {
      assertEquals(OptionalInt.empty(), MomentsByProducts.leastWidth(computeCapability, mode), mode.name());
    }
  }

  @Test
  void isFasterWhereTheTableSaysSo() {
    assertEquals(OptionalInt.empty(), MomentsByProducts.leastWidth(90, MathMode.TF32));
    int width = MomentsByProducts.leastWidth(80, MathMode.TF32).orElseThrow();
    try (TestGpu gpu = TestGpu.open(80)) {
      ProductKernel kernel = new ProductKernel(gpu);
      MatrixProducts products = new KernelProducts(kernel, MathMode.TF32,
          gpu.buffer(kernel.largestWorkspace(MathMode.TF32), -1));
      MomentsByProducts moments = new MomentsByProducts(gpu, products, MathMode.TF32);
      assertTrue(moments.isFaster(width, width + 1) && moments.isFaster(2 * width, width));
      assertFalse(moments.isFaster(width - 1, 2 * width) || moments.isFaster(2 * width, width - 1));
      assertEquals("moments in bfloat16",
          assertThrows(IllegalArgumentException.class, () -> new MomentsByProducts(gpu, products, MathMode.BF16))
              .getMessage());
    }
  }
}
