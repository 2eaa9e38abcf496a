package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEverySchedule;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.kernels.EmulatedGpu.Schedule;
import dev.espalier.kernels.SparseProductKernel.Tile;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SparseProductKernelTest {
  record Shape(int samples, int outputs, int inputs, int parts) {}

  /// They straddle blocks, tiles, steps and vectors; to some parts of the last two falls nothing, or less than a step.
  private static final List<Shape> SHAPES = List.of(new Shape(1, 1, 1, 1), new Shape(1, 36, 260, 1),
      new Shape(7, 33, 31, 1), new Shape(9, 70, 129, 2), new Shape(8, 64, 1028, 3), new Shape(33, 31, 300, 1),
      new Shape(131, 257, 70, 2), new Shape(17, 260, 40, 3));
  /// More tiles of outputs than blocks go before they turn to the next samples.
  private static final Shape TALL = new Shape(9, 300, 5, 1);

  record Case(Tile tile, Shape shape) {
    @Override
    public String toString() {
      return tile.name() + " " + shape;
    }

    void run(TestGpu gpu, DeviceMatrix x, SparseWeights weights, DeviceMatrix c) {
      long workspace = SparseProductKernel.workspace(tile, shape.parts(), shape.samples(), shape.outputs(),
          shape.inputs());
      new SparseProductKernel(gpu).multiply(tile, shape.parts(), x, weights, c, gpu.buffer(workspace, -1));
    }

    /// Where rows of four floats need not be aligned they are not, except where all are.
    DeviceMatrix x(TestGpu gpu, float[] values) {
      DeviceMatrix x = gpu.matrixAt(tile.vector() == 4 ? 0 : 1, shape.samples(), shape.inputs());
      gpu.write(x, values);
      return x;
    }

    /// The product in double precision, and the sums of its terms' magnitudes, which bound its error.
    double[][] reference(float[] x, float[] weights) {
      double[][] sums = new double[2][shape.samples() * shape.outputs()];
      for (int s = 0; s < shape.samples(); s++) {
        for (int o = 0; o < shape.outputs(); o++) {
          for (int i = 0; i < shape.inputs(); i++) {
            double term = bfloat16(x[s * shape.inputs() + i]) * bfloat16(weights[o * shape.inputs() + i]);
            sums[0][s * shape.outputs() + o] += term;
            sums[1][s * shape.outputs() + o] += Math.abs(term);
          }
        }
      }
      return sums;
    }
  }

  /// To the nearest number of 8 significant bits, by division and not by bits; ties to even.
  private static double bfloat16(float x) {
    double unit = Math.scalb(1.0, Math.getExponent(x) - 7);
    return Math.rint(x / unit) * unit;
  }

  /// Keeps two of each four, or fewer.
  private static float[] twoOfFour(long seed, int inputs, float[] weights) {
    Random random = new Random(seed);
    for (int row = 0; row < weights.length; row += inputs) {
      for (int column = 0; column < inputs; column += 4) {
        int four = Math.min(4, inputs - column);
        int first = random.nextInt(four);
        int second = random.nextInt(four);
        for (int k = 0; k < four; k++) {
          if (k != first && k != second) {
            weights[row + column + k] = 0;
          }
        }
      }
    }
    return weights;
  }

  private static SparseWeights pack(TestGpu gpu, int outputs, int inputs, float[] weights) {
    byte[] packed = new byte[Math.toIntExact(SparseWeights.bytes(outputs, inputs))];
    SparseWeights.pack("layer", outputs, inputs, MemorySegment.ofArray(weights), MemorySegment.ofArray(packed));
    DeviceBuffer buffer = gpu.buffer(packed.length, -1);
    gpu.copyIn(MemorySegment.ofArray(packed), buffer.address());
    return new SparseWeights(buffer, outputs, inputs);
  }

  static Stream<Case> cases() {
    List<Shape> shapes = Checks.BRIEF ? List.of(SHAPES.get(3), SHAPES.get(7)) : SHAPES;
    return SparseProductKernel.TILES.stream().flatMap(
        tile -> Stream.concat(shapes.stream(), Stream.of(TALL).filter(_ -> !Checks.BRIEF && tile.outputs() < 64))
            .filter(shape -> tile.vector() != 4 || shape.inputs() % 4 == 0).map(shape -> new Case(tile, shape)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void exactOnIntegers(Case product) {
    Shape shape = product.shape();
    float[] x = integers(1, (long) shape.samples() * shape.inputs(), 5);
    float[] weights = twoOfFour(3, shape.inputs(), integers(2, (long) shape.outputs() * shape.inputs(), 5));
    double[] expected = product.reference(x, weights)[0];
    onEverySchedule(Schedule.LATE_COPIES, gpu -> {
      DeviceMatrix c = Checks.result(gpu, shape.samples(), shape.outputs());
      product.run(gpu, product.x(gpu, x), pack(gpu, shape.outputs(), shape.inputs(), weights), c);
      assertSame("c", gpu.read(c), i -> expected[i]);
    });
  }

  @ParameterizedTest
  @MethodSource("cases")
  void closeOnRealNumbersAndTheSameEveryTime(Case product) {
    Shape shape = product.shape();
    float[] x = normal(1, (long) shape.samples() * shape.inputs());
    float[] weights = twoOfFour(3, shape.inputs(), normal(2, (long) shape.outputs() * shape.inputs()));
    double[][] expected = product.reference(x, weights);
    float[][] before = new float[1][];
    Checks.onEveryOrder(gpu -> {
      DeviceMatrix c = Checks.result(gpu, shape.samples(), shape.outputs());
      product.run(gpu, product.x(gpu, x), pack(gpu, shape.outputs(), shape.inputs(), weights), c);
      float[] values = gpu.read(c);
      // Products of bfloat16 are exact; so are the zeros that fill the tile.
      double bound = (shape.inputs() + shape.parts() + product.tile().inputs() / 32) * gpu.tensorCoreUnit();
      assertClose("c", values, i -> expected[0][i], i -> bound * expected[1][i]);
      assertTrue(before[0] == null || Arrays.equals(before[0], values));
      before[0] = values;
    });
  }

  @Test
  void roundsTiesToEven() {
    // Between two numbers of 8 significant bits: the lower one, the upper one, and more than halfway.
    float[] x = {0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, -0x1.01p0f};
    for (Tile tile : SparseProductKernel.TILES) {
      Checks.onEveryOrder(gpu -> {
        DeviceMatrix c = gpu.matrix(4, 1);
        new Case(tile, new Shape(4, 1, 4, 1)).run(gpu, gpu.matrix(4, 4, spread(x)),
            pack(gpu, 1, 4, new float[]{0, 0, 0x1.03p0f, 0}), c);
        double[] rounded = {1, 0x1.04p0, 0x1.02p0, -1};
        assertSame(tile.name(), gpu.read(c), i -> rounded[i] * 0x1.04p0);
      });
    }
  }

  private static float[] spread(float[] x) {
    float[] spread = new float[16];
    for (int i = 0; i < 4; i++) {
      spread[4 * i + 2] = x[i];
    }
    return spread;
  }

  @Test
  void picksAKernelThatAdmitsTheMatrices() {
    for (Shape shape : List.of(new Shape(1, 40, 4100, 0), new Shape(5, 9, 30, 0), new Shape(20, 33, 4, 0),
        new Shape(40, 70, 9, 0), new Shape(260, 260, 8, 0))) {
      float[] x = integers(1, (long) shape.samples() * shape.inputs(), 3);
      float[] weights = twoOfFour(3, shape.inputs(), integers(2, (long) shape.outputs() * shape.inputs(), 3));
      double[] expected = new Case(SparseProductKernel.FEW, shape).reference(x, weights)[0];
      for (int computeCapability : new int[]{80, 86, 90, 100, 120}) {
        try (TestGpu gpu = TestGpu.open(computeCapability)) {
          SparseProductKernel kernel = new SparseProductKernel(gpu);
          DeviceMatrix c = gpu.matrix(shape.samples(), shape.outputs());
          kernel.multiply(gpu.matrix(shape.samples(), shape.inputs(), x),
              pack(gpu, shape.outputs(), shape.inputs(), weights), c,
              gpu.buffer(kernel.workspace(shape.samples(), shape.outputs(), shape.inputs()), -1));
          assertSame("c", gpu.read(c), i -> expected[i]);
        }
      }
    }
  }

  @Test
  void tilesBySamples() {
    try (TestGpu gpu = TestGpu.open()) {
      SparseProductKernel kernel = new SparseProductKernel(gpu);
      assertEquals(SparseProductKernel.FEW, kernel.choose(8, 4096, 4096, true));
      assertEquals(SparseProductKernel.FEW_UNALIGNED, kernel.choose(1, 4096, 4096, false));
      assertEquals(SparseProductKernel.SMALL, kernel.choose(32, 4096, 4096, true));
      assertEquals(SparseProductKernel.MEDIUM, kernel.choose(33, 10, 64, true));
      assertEquals(SparseProductKernel.LARGE, kernel.choose(32_768, 4096, 4096, true));
    }
  }

  /// Fours without weights have places 0 and 3, as nibble 0xC.
  @Test
  void metadataLiesAsTensorCoresTakeIt() {
    float[] weights = new float[6 * 20];
    weights[1] = 1; // output 0 is row 0 of the first operand; its first four is lane 0's first nibble
    weights[2] = -2;
    weights[5 * 20 + 18] = 3; // output 5 is row 1 + 8 of it; its five is lane 5's first nibble of the upper half
    weights[5 * 20 + 19] = 4;
    weights[2 * 20 + 7] = 5; // output 2 is row 0 of the second operand, whose metadata lanes 2 and 3 have
    byte[] packed = new byte[1152];
    SparseWeights.pack("layer", 6, 20, MemorySegment.ofArray(weights), MemorySegment.ofArray(packed));
    int[] words = MemorySegment.ofArray(packed).toArray(ValueLayout.JAVA_INT_UNALIGNED);
    int[] expected = new int[288];
    Arrays.fill(expected, 256, 288, 0xCCCCCCCC);
    expected[0] = 0xC0003F80;
    expected[256] = 0xCCCCCCC9;
    expected[4 * 4 + 3] = 0x40804040;
    expected[256 + 5] = 0xCCCECCCC;
    expected[128 + 4] = 0x40A00000;
    assertEquals(Arrays.toString(expected), Arrays.toString(words));
  }

  @Test
  void refusesWhatDoesNotFit() {
    try (TestGpu gpu = TestGpu.open()) {
      SparseWeights weights = pack(gpu, 8, 8, new float[64]);
      DeviceMatrix x = gpu.matrix(3, 8);
      DeviceMatrix c = gpu.matrix(3, 8);
      refuses("x is 3×8, not 3×7", gpu, x, new SparseWeights(weights.packed(), 8, 7), c);
      refuses("c is 3×8, not 3×9", gpu, x, new SparseWeights(weights.packed(), 9, 8), c);
      refuses("c overlaps x", gpu, x, weights, x);
      var e = assertThrows(IllegalArgumentException.class,
          () -> new SparseProductKernel(gpu).multiply(SparseProductKernel.SMALL, 2, x, weights, c, gpu.buffer(512, 0)));
      assertEquals("workspace has 512 bytes, 704 are needed", e.getMessage());
      DeviceMatrix odd = gpu.matrixAt(1, 3, 8);
      e = assertThrows(IllegalArgumentException.class,
          () -> new SparseProductKernel(gpu).multiply(SparseProductKernel.FEW, 1, odd, weights, c, gpu.buffer(16, 0)));
      assertTrue(e.getMessage().startsWith("sparse_product_32x8x256x4_v4 does not admit x 3×8 at 0x"), e.getMessage());
      e = assertThrows(IllegalArgumentException.class, () -> new SparseWeights(weights.packed(), 33, 8));
      assertEquals("packed has 1152 bytes, 2304 are needed", e.getMessage());
    }
    try (TestGpu gpu = TestGpu.open(75)) {
      assertFalse(SparseProductKernel.runsOn(gpu));
      var e = assertThrows(IllegalArgumentException.class, () -> new SparseProductKernel(gpu));
      assertEquals("2:4 needs compute capability 8.0 or later, not 7.5", e.getMessage());
    }
  }

  private static void refuses(String message, TestGpu gpu, DeviceMatrix x, SparseWeights weights, DeviceMatrix c) {
    var e = assertThrows(IllegalArgumentException.class,
        () -> new SparseProductKernel(gpu).multiply(x, weights, c, gpu.buffer(1 << 12, 0)));
    assertEquals(message, e.getMessage());
  }

  @Test
  void refusesWeightsThatAreNotTwoOfFour() {
    float[] weights = new float[3 * 10];
    Arrays.fill(weights, 6, 10, 1); // columns 6 and 7, and 8 and 9
    MemorySegment segment = MemorySegment.ofArray(weights);
    assertTrue(SparseWeights.admits(3, 10, segment));
    weights[25] = weights[26] = weights[27] = 1;
    weights[24] = -0f;
    assertFalse(SparseWeights.admits(3, 10, segment));
    var e = assertThrows(IllegalArgumentException.class,
        () -> SparseWeights.pack("hidden", 3, 10, segment, MemorySegment.ofArray(new byte[1152])));
    assertEquals("hidden: row 2, column 7 is the third weight of its four that is not zero: 2:4 admits two",
        e.getMessage());
  }
}
