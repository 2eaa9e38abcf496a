package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEverySchedule;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.MathMode;
import dev.espalier.kernels.DualMomentsKernel.Tile;
import dev.espalier.kernels.EmulatedGpu.Schedule;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;

class DualMomentsKernelTest {
  static final List<Tile> TILES = DualMomentsKernel.TILES;

  record Batch(int samples, int outputs, int inputs, int parts) {}

  /// All of them straddle tiles; 0 samples fall to some parts of three.
  private static final List<Batch> BATCHES = List.of(new Batch(1, 1, 1, 1), new Batch(7, 31, 7, 1),
      new Batch(31, 33, 32, 1), new Batch(33, 7, 129, 2), new Batch(127, 129, 31, 3), new Batch(129, 127, 33, 1),
      new Batch(300, 140, 196, 2), new Batch(300, 140, 196, 1), new Batch(65, 4, 132, 5), new Batch(5, 68, 4, 3),
      new Batch(600, 70, 36, 12), new Batch(290, 132, 68, 1), new Batch(500, 132, 8, 3), new Batch(2200, 4, 8, 70));

  /// The moments of a batch in double precision, of operands as the kernel rounds them, and the sums of the
  /// terms' magnitudes that bound its error.
  static final class Reference {
    final double[] m0;
    final double[] terms0;
    final double[] m1;
    final double[] m2;
    final double[] terms1;
    final double[] terms2;

    private Reference(int outputs, int elements) {
      m0 = new double[outputs];
      terms0 = new double[outputs];
      m1 = new double[elements];
      m2 = new double[elements];
      terms1 = new double[elements];
      terms2 = new double[elements];
    }

    static Reference of(Batch b, float[] s, float[] a, float[] c, boolean tf32) {
      Reference r = new Reference(b.outputs(), b.outputs() * b.inputs());
      for (int n = 0; n < b.samples(); n++) {
        for (int i = 0; i < b.outputs(); i++) {
          double weight = rounded(s[n * b.outputs() + i], tf32);
          r.m0[i] += weight;
          r.terms0[i] += Math.abs(weight);
          for (int j = 0; j < b.inputs(); j++) {
            float x = a[n * b.inputs() + j] - c[j];
            int at = i * b.inputs() + j;
            double first = weight * rounded(x, tf32);
            double second = weight * rounded(x * x, tf32);
            r.m1[at] += first;
            r.m2[at] += second;
            r.terms1[at] += Math.abs(first);
            r.terms2[at] += Math.abs(second);
          }
        }
      }
      return r;
    }

    private static float rounded(float x, boolean tf32) {
      return tf32 ? Tf32.round(x) : x;
    }
  }

  static Stream<Arguments> batches() {
    List<Batch> batches = Checks.BRIEF ? List.of(BATCHES.get(4), BATCHES.get(8)) : BATCHES;
    return TILES.stream()
        .flatMap(tile -> batches.stream().filter(b -> admits(tile, b)).map(b -> Arguments.of(tile, b)));
  }

  private static boolean admits(Tile tile, Batch b) {
    return switch (tile) {
      case DualMomentsKernel.Fma _ -> true;
      case DualMomentsKernel.Mma mma -> b.inputs() % mma.vector() == 0 && b.outputs() % mma.vector() == 0;
      case DualMomentsKernel.Wgmma _ -> b.inputs() % 4 == 0;
      case DualMomentsKernel.Transposing _ -> b.inputs() % 4 == 0 && b.outputs() % 4 == 0;
    };
  }

  /// The asynchronous mechanisms that a kernel uses.
  private static int mechanisms(Tile tile) {
    return switch (tile) {
      case DualMomentsKernel.Fma _ -> 0;
      case DualMomentsKernel.Mma _ -> Schedule.LATE_COPIES;
      case DualMomentsKernel.Wgmma _,DualMomentsKernel.Transposing _ ->
        Schedule.LATE_TENSOR_COPIES | Schedule.LATE_WGMMA;
    };
  }

  @ParameterizedTest
  @MethodSource("batches")
  void exactOnIntegers(Tile tile, Batch b) {
    float[] s = integers(1, (long) b.samples() * b.outputs(), 3);
    float[] a = integers(2, (long) b.samples() * b.inputs(), 5);
    float[] c = integers(3, b.inputs(), 2);
    Reference expected = Reference.of(b, s, a, c, false);
    onEverySchedule(mechanisms(tile), gpu -> {
      Moments moments = Moments.of(gpu, b, 1000);
      moments.add(tile, s, a, c);
      assertSame("m0", gpu.read(moments.m0), i -> 1000 + expected.m0[i]);
      assertSame("m1", gpu.read(moments.m1), i -> 1000 + expected.m1[i]);
      assertSame("m2", gpu.read(moments.m2), i -> 1000 + expected.m2[i]);
    });
  }

  @ParameterizedTest
  @MethodSource("batches")
  void closeOnRealNumbersAndTheSameEveryTime(Tile tile, Batch b) {
    float[] s = normal(1, (long) b.samples() * b.outputs());
    float[] a = normal(2, (long) b.samples() * b.inputs());
    float[] c = normal(3, b.inputs());
    Reference expected = Reference.of(b, s, a, c, !(tile instanceof DualMomentsKernel.Fma));
    float[][] before = new float[2][];
    Checks.onEveryOrder(gpu -> {
      Moments moments = Moments.of(gpu, b, 0);
      moments.add(tile, s, a, c);
      float[] m1 = gpu.read(moments.m1);
      float[] m2 = gpu.read(moments.m2);
      double bound = (b.samples() + b.parts() + 2)
          * (tile instanceof DualMomentsKernel.Fma ? UNIT : gpu.tensorCoreUnit());
      double ofSums = (b.samples() + b.parts() + 2) * UNIT;
      assertClose("m0", gpu.read(moments.m0), i -> expected.m0[i], i -> ofSums * expected.terms0[i]);
      assertClose("m1", m1, i -> expected.m1[i], i -> bound * expected.terms1[i]);
      assertClose("m2", m2, i -> expected.m2[i], i -> bound * expected.terms2[i]);
      assertTrue(before[0] == null || (Arrays.equals(before[0], m1) && Arrays.equals(before[1], m2)));
      before[0] = m1;
      before[1] = m2;
    });
  }

  @ParameterizedTest
  @FieldSource("TILES")
  void sumsOfSeveralBatches(Tile tile) {
    Batch b = new Batch(40, 36, 68, 1);
    float[] s = integers(1, (long) b.samples() * b.outputs(), 3);
    float[] a = integers(2, (long) b.samples() * b.inputs(), 5);
    float[] c = new float[b.inputs()];
    Reference expected = Reference.of(b, s, a, c, false);
    Checks.onEveryOrder(gpu -> {
      Moments moments = Moments.of(gpu, b, 0);
      moments.add(tile, s, a, c);
      moments.add(tile, s, a, c);
      assertSame("m0", gpu.read(moments.m0), i -> 2 * expected.m0[i]);
      assertSame("m2", gpu.read(moments.m2), i -> 2 * expected.m2[i]);
    });
  }

  /// What lies in a tile outside the matrix must not reach a result, not even as 0 · NaN.
  @ParameterizedTest
  @FieldSource("TILES")
  void staysWithinItsRows(Tile tile) {
    Batch b = new Batch(33, 36, 36, 1);
    float[] c = new float[b.inputs()];
    onEverySchedule(mechanisms(tile), gpu -> {
      DeviceMatrix s = gpu.matrix(b.samples() + 2, b.outputs());
      DeviceMatrix a = gpu.matrix(b.samples() + 2, b.inputs());
      gpu.write(s.slice(0, b.samples()), integers(1, (long) b.samples() * b.outputs(), 3));
      gpu.write(a.slice(0, b.samples()), integers(2, (long) b.samples() * b.inputs(), 3));
      Moments moments = Moments.of(gpu, b, 0);
      moments.add(tile, s.slice(0, b.samples()), a.slice(0, b.samples()), c);
      for (float m : gpu.read(moments.m2)) {
        assertTrue(Float.isFinite(m));
      }
    });
  }

  /// Rounding to TF32 must not make numbers of them, nor touch the other inputs.
  @ParameterizedTest
  @FieldSource("TILES")
  void notANumberAndInfinityStayInTheirColumns(Tile tile) {
    Batch b = new Batch(40, 36, 68, 1);
    float[] s = integers(1, (long) b.samples() * b.outputs(), 3);
    float[] a = integers(2, (long) b.samples() * b.inputs(), 5);
    float[] c = new float[b.inputs()];
    Reference expected = Reference.of(b, s, a, c, false);
    a[17 * b.inputs() + 9] = Float.NaN;
    a[22 * b.inputs() + 34] = Float.POSITIVE_INFINITY;
    a[39 * b.inputs() + 67] = Float.NEGATIVE_INFINITY;
    Checks.onEveryOrder(gpu -> {
      Moments moments = Moments.of(gpu, b, 0);
      moments.add(tile, s, a, c);
      float[] m1 = gpu.read(moments.m1);
      float[] m2 = gpu.read(moments.m2);
      for (int at = 0; at < m1.length; at++) {
        int input = at % b.inputs();
        if (input == 9) {
          assertTrue(Float.isNaN(m1[at]) && Float.isNaN(m2[at]), "element " + at);
        } else if (input == 34 || input == 67) {
          assertTrue(!Float.isFinite(m1[at]) && !Float.isFinite(m2[at]), "element " + at);
        } else {
          assertTrue(m1[at] == expected.m1[at] && m2[at] == expected.m2[at], "element " + at);
        }
      }
    });
  }

  @Test
  void picksAKernelThatAdmitsTheMatrices() {
    for (int computeCapability : new int[]{75, 80, 86, 90, 100, 120}) {
      for (MathMode mode : MathMode.values()) {
        for (Batch b : List.of(new Batch(600, 4, 7, 1), new Batch(600, 4, 8, 1), new Batch(600, 6, 8, 1))) {
          try (TestGpu gpu = TestGpu.open(computeCapability)) {
            DualMomentsKernel kernel = new DualMomentsKernel(gpu);
            Moments moments = Moments.of(gpu, b, 0);
            float[] s = integers(1, (long) b.samples() * b.outputs(), 3);
            float[] a = integers(2, (long) b.samples() * b.inputs(), 3);
            float[] c = new float[b.inputs()];
            kernel.addMoments(mode, gpu.matrix(b.samples(), b.outputs(), s), gpu.matrix(b.samples(), b.inputs(), a),
                gpu.matrix(1, b.inputs(), c), moments.m0, moments.m1, moments.m2,
                gpu.buffer(kernel.workspace(mode, b.samples(), b.outputs(), b.inputs()), -1));
            Reference expected = Reference.of(b, s, a, c, false);
            assertSame("m2", gpu.read(moments.m2), i -> expected.m2[i]);
          }
        }
      }
    }
  }

  @Test
  void transposesAgainForFewInputsAlone() {
    try (TestGpu gpu = TestGpu.open()) {
      assertEquals(DualMomentsKernel.WGMMA_TRANSPOSING, chosen(gpu, 4096, 512));
      assertEquals(DualMomentsKernel.WGMMA, chosen(gpu, 8, 516));
      assertEquals(DualMomentsKernel.WGMMA, chosen(gpu, 6, 512)); // does not admit these rows of S
      assertEquals(DualMomentsKernel.MMA_UNALIGNED, chosen(gpu, 8, 510));
    }
  }

  @Test
  void chipsOfLessSharedMemoryTakeShorterSteps() {
    try (TestGpu gpu = TestGpu.open(89)) {
      assertEquals(DualMomentsKernel.MMA_SMALL_SHORT, chosen(gpu, 4096, 508));
      assertEquals(DualMomentsKernel.MMA_UNALIGNED_SHORT, chosen(gpu, 8, 510));
      assertEquals(DualMomentsKernel.MMA_LARGE, chosen(gpu, 512, 512));
    }
  }

  private static Tile chosen(TestGpu gpu, int outputs, int inputs) {
    DeviceMatrix moment = new DeviceMatrix(256, outputs, inputs);
    return new DualMomentsKernel(gpu).choose(MathMode.TF32, new DeviceMatrix(256, 64, outputs),
        new DeviceMatrix(256, 64, inputs), moment, moment);
  }

  @Test
  void refusesWhatTheTileDoesNotAdmit() {
    try (TestGpu gpu = TestGpu.open()) {
      Batch b = new Batch(8, 4, 7, 1);
      Moments moments = Moments.of(gpu, b, 0);
      var e = assertThrows(IllegalArgumentException.class,
          () -> moments.add(DualMomentsKernel.WGMMA, new float[32], new float[56], new float[7]));
      assertTrue(e.getMessage().startsWith("dual_moments_wgmma_128x128x32x5 does not admit s 8×4 at 0x"),
          e.getMessage());
    }
  }

  private record Moments(TestGpu gpu, Batch batch, DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2) {
    static Moments of(TestGpu gpu, Batch b, float start) {
      return new Moments(gpu, b, filled(gpu, 1, b.outputs(), start), filled(gpu, b.outputs(), b.inputs(), start),
          filled(gpu, b.outputs(), b.inputs(), start));
    }

    private static DeviceMatrix filled(TestGpu gpu, int rows, int columns, float value) {
      float[] values = new float[rows * columns];
      Arrays.fill(values, value);
      return gpu.matrix(rows, columns, values);
    }

    void add(Tile tile, float[] s, float[] a, float[] c) {
      add(tile, gpu.matrix(batch.samples(), batch.outputs(), s), gpu.matrix(batch.samples(), batch.inputs(), a), c);
    }

    void add(Tile tile, DeviceMatrix s, DeviceMatrix a, float[] c) {
      assumeTrue(!tile.name().contains("wgmma") || gpu.computeCapability() == 90,
          "only compute capability 9.0 has wgmma");
      DualMomentsKernel kernel = new DualMomentsKernel(gpu);
      long workspace = kernel.workspace(tile, batch.parts(), batch.samples(), batch.outputs(), batch.inputs());
      kernel.addMoments(tile, batch.parts(), s, a, gpu.matrix(1, batch.inputs(), c), m0, m1, m2,
          gpu.buffer(workspace, -1));
    }
  }
}
