package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEverySchedule;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bindings.MathMode;
import dev.espalier.kernels.EmulatedGpu.Schedule;
import dev.espalier.kernels.ProductKernel.Tile;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ProductKernelTest {
  record Shape(int rows, int columns, int inner, int parts) {}

  /// They straddle tiles, steps and vectors; to some parts of the last three falls nothing, or less than a step.
  private static final List<Shape> SHAPES = List.of(new Shape(1, 1, 1, 1), new Shape(7, 31, 5, 1),
      new Shape(33, 7, 129, 2), new Shape(127, 129, 31, 1), new Shape(300, 140, 196, 2), new Shape(129, 65, 70, 3),
      new Shape(66, 260, 40, 5), new Shape(3, 70, 9, 3));
  /// More tiles down than blocks go before they turn to the next column of tiles.
  private static final Shape TALL = new Shape(1160, 130, 5, 1);

  /// A product by one kernel, with the operands' rows apart as the kernel admits them: what lies between is NaN.
  record Case(Tile tile, boolean transposeA, boolean transposeB, Shape shape) {
    @Override
    public String toString() {
      return tile.name(transposeA, transposeB) + " " + shape;
    }

    void run(TestGpu gpu, double alpha, MatrixBlock a, MatrixBlock b, double beta, MatrixBlock c) {
      long workspace = ProductKernel.workspace(shape.parts(), shape.rows(), shape.columns());
      new ProductKernel(gpu).multiply(tile, shape.parts(), alpha, a, transposeA, b, transposeB, beta, c,
          gpu.buffer(workspace, -1));
    }

    MatrixBlock a(TestGpu gpu, float[] values) {
      return operand(gpu, shape.rows(), shape.inner(), transposeA, values);
    }

    MatrixBlock b(TestGpu gpu, float[] values) {
      return operand(gpu, shape.inner(), shape.columns(), transposeB, values);
    }

    private MatrixBlock operand(TestGpu gpu, int rows, int columns, boolean transposed, float[] values) {
      MatrixBlock block = transposed
          ? apart(gpu, columns, rows, tile.vector())
          : apart(gpu, rows, columns, tile.vector());
      write(gpu, block, transposed ? transpose(values, rows, columns) : values);
      return block;
    }

    /// The product in double precision, of operands as the kernel rounds them, and the sums of its terms'
    /// magnitudes, which bound its error.
    double[][] reference(float[] a, float[] b, boolean round) {
      boolean tf32 = round && tile instanceof ProductKernel.Mma;
      double[][] sums = new double[2][shape.rows() * shape.columns()];
      for (int i = 0; i < shape.rows(); i++) {
        for (int k = 0; k < shape.inner(); k++) {
          double left = rounded(a[i * shape.inner() + k], tf32);
          for (int j = 0; j < shape.columns(); j++) {
            double term = left * rounded(b[k * shape.columns() + j], tf32);
            sums[0][i * shape.columns() + j] += term;
            sums[1][i * shape.columns() + j] += Math.abs(term);
          }
        }
      }
      return sums;
    }

    private static float rounded(float x, boolean tf32) {
      return tf32 ? Tf32.round(x) : x;
    }
  }

  static Stream<Case> cases() {
    List<Shape> shapes = Checks.BRIEF ? List.of(SHAPES.get(5), SHAPES.get(6)) : SHAPES;
    return ProductKernel.TILES.stream()
        .flatMap(tile -> Stream.concat(Stream.of(new Case(tile, false, false, TALL)).filter(_ -> !Checks.BRIEF),
            shapes.stream()
                .flatMap(shape -> Stream.of(new Case(tile, false, false, shape), new Case(tile, false, true, shape),
                    new Case(tile, true, false, shape), new Case(tile, true, true, shape)))));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void exactOnIntegers(Case product) {
    Shape shape = product.shape();
    float[] a = integers(1, (long) shape.rows() * shape.inner(), 5);
    float[] b = integers(2, (long) shape.inner() * shape.columns(), 5);
    double[] expected = product.reference(a, b, false)[0];
    int mechanisms = product.tile() instanceof ProductKernel.Mma ? Schedule.LATE_COPIES : 0;
    onEverySchedule(mechanisms, gpu -> {
      MatrixBlock left = product.a(gpu, a);
      MatrixBlock right = product.b(gpu, b);
      MatrixBlock c = apart(gpu, shape.rows(), shape.columns(), 1);
      product.run(gpu, 1, left, right, 0, c);
      assertSame("c", read(gpu, c), i -> expected[i]);
      product.run(gpu, 2, left, right, 3, c);
      assertSame("2 ab + 3 c", read(gpu, c), i -> 5 * expected[i]);
    });
  }

  @ParameterizedTest
  @MethodSource("cases")
  void closeOnRealNumbersAndTheSameEveryTime(Case product) {
    Shape shape = product.shape();
    float[] a = normal(1, (long) shape.rows() * shape.inner());
    float[] b = normal(2, (long) shape.inner() * shape.columns());
    double[][] expected = product.reference(a, b, true);
    float alpha = 0.7f;
    float[][] before = new float[1][];
    Checks.onEveryOrder(gpu -> {
      MatrixBlock c = apart(gpu, shape.rows(), shape.columns(), 1);
      product.run(gpu, alpha, product.a(gpu, a), product.b(gpu, b), 0, c);
      float[] values = read(gpu, c);
      double unit = product.tile() instanceof ProductKernel.Fma ? UNIT : gpu.tensorCoreUnit();
      double bound = (shape.inner() + shape.parts() + 3) * unit * alpha;
      assertClose("c", values, i -> alpha * expected[0][i], i -> bound * expected[1][i]);
      assertTrue(before[0] == null || Arrays.equals(before[0], values));
      before[0] = values;
    });
  }

  @Test
  void picksAKernelThatAdmitsTheMatrices() {
    // Small and large, aligned and not, long enough to be split.
    for (Shape shape : List.of(new Shape(8, 12, 2100, 0), new Shape(260, 260, 8, 0), new Shape(5, 200, 7, 0))) {
      float[] a = integers(1, (long) shape.rows() * shape.inner(), 3);
      float[] b = integers(2, (long) shape.inner() * shape.columns(), 3);
      for (int computeCapability : new int[]{75, 80, 86, 90, 100, 120}) {
        for (MathMode mode : MathMode.values()) {
          try (TestGpu gpu = TestGpu.open(computeCapability)) {
            ProductKernel kernel = new ProductKernel(gpu);
            MatrixProducts products = new KernelProducts(kernel, mode, gpu.buffer(kernel.largestWorkspace(mode), -1));
            DeviceMatrix c = gpu.matrix(shape.rows(), shape.columns());
            products.multiply(1, MatrixBlock.of(gpu.matrix(shape.rows(), shape.inner(), a)), false,
                MatrixBlock.of(gpu.matrix(shape.inner(), shape.columns(), b)), false, 0, MatrixBlock.of(c));
            double[] expected = new Case(ProductKernel.FMA_SMALL, false, false, shape).reference(a, b, false)[0];
            assertSame("c", gpu.read(c), i -> expected[i]);
            assertEquals(mode != MathMode.FP32 && gpu.computeCapability() >= 80,
                products.description().contains("TF32"));
          }
        }
      }
    }
  }

  @Test
  void theLargestWorkspaceIsEnoughForAnyShape() {
    try (TestGpu gpu = TestGpu.open()) {
      ProductKernel kernel = new ProductKernel(gpu);
      for (MathMode mode : MathMode.values()) {
        long largest = kernel.largestWorkspace(mode);
        for (int rows = 1; rows < 1000; rows += 37) {
          for (int columns = 1; columns < 1000; columns += 41) {
            assertTrue(kernel.workspace(mode, rows, columns, 1_000_000) <= largest);
          }
        }
      }
    }
  }

  @Test
  void refusesWhatDoesNotFit() {
    try (TestGpu gpu = TestGpu.open()) {
      MatrixBlock a = MatrixBlock.of(gpu.matrix(8, 7));
      MatrixBlock b = MatrixBlock.of(gpu.matrix(7, 9));
      MatrixBlock c = MatrixBlock.of(gpu.matrix(8, 9));
      refuses("op(b) is the transpose of 7×9, not 7×9", gpu, a, b, true, c);
      refuses("op(a) is all of 8×7, not 7×7", gpu, a, b, false, c.rows(0, 7));
      refuses("c overlaps a or b", gpu, a, b, false, new MatrixBlock(a.address(), 8, 9, 9));
      var e = assertThrows(IllegalArgumentException.class, () -> new ProductKernel(gpu)
          .multiply(ProductKernel.MMA_SMALL, 1, 1, a, false, b, false, 0, c, gpu.buffer(16, 0)));
      assertTrue(e.getMessage().startsWith("product_mma_64x64x32x3_nn_v4 does not admit a 8×7 at 0x"), e.getMessage());
      e = assertThrows(IllegalArgumentException.class, () -> new ProductKernel(gpu).multiply(ProductKernel.FMA_SMALL, 2,
          1, a, false, b, false, 0, c, gpu.buffer(16, 0)));
      assertEquals("workspace has 16 bytes, 576 are needed", e.getMessage());
    }
  }

  private static void refuses(String message, TestGpu gpu, MatrixBlock a, MatrixBlock b, boolean transposeB,
      MatrixBlock c) {
    var e = assertThrows(IllegalArgumentException.class,
        () -> new ProductKernel(gpu).multiply(MathMode.FP32, 1, a, false, b, transposeB, 0, c, gpu.buffer(1 << 16, 0)));
    assertEquals(message, e.getMessage());
  }

  @Test
  void blocksOfAMatrix() {
    MatrixBlock whole = new MatrixBlock(0x1000, 10, 8, 8);
    MatrixBlock block = whole.rows(2, 5).columns(4, 3);
    assertEquals(new MatrixBlock(0x1000 + (2 * 8 + 4) * 4, 5, 3, 8), block);
    assertTrue(whole.overlaps(block) && block.overlaps(whole));
    assertFalse(block.overlaps(whole.columns(0, 4)) || whole.columns(0, 4).overlaps(block));
    assertFalse(block.overlaps(whole.columns(7, 1)) || whole.columns(7, 1).overlaps(block));
    assertTrue(block.overlaps(whole.columns(6, 2)));
    assertFalse(block.overlaps(whole.rows(0, 2)) || block.overlaps(whole.rows(7, 3)));
    assertTrue(block.overlaps(new MatrixBlock(block.address() + 4, 1, 1, 1)));
    assertThrows(IndexOutOfBoundsException.class, () -> whole.columns(6, 3));
    assertThrows(IndexOutOfBoundsException.class, () -> whole.rows(-1, 3));
    assertThrows(IllegalArgumentException.class, () -> new MatrixBlock(0x1000, 10, 8, 7));
  }

  /// A block in the middle of a matrix of NaN; rows start at multiples of `vector` elements.
  private static MatrixBlock apart(TestGpu gpu, int rows, int columns, int vector) {
    int stride = Math.ceilDiv(vector + columns + 1, vector) * vector;
    return MatrixBlock.of(gpu.matrix(rows, stride)).columns(vector, columns);
  }

  /// All from the first element of a block to its last: one copy, where a copy a row would take most of a device's time.
  private static DeviceMatrix span(MatrixBlock block) {
    return new DeviceMatrix(block.address(), 1, (block.rows() - 1) * block.stride() + block.columns());
  }

  /// Leaves NaN between the rows.
  private static void write(TestGpu gpu, MatrixBlock block, float[] values) {
    float[] all = new float[span(block).columns()];
    Arrays.fill(all, Float.NaN);
    for (int r = 0; r < block.rows(); r++) {
      System.arraycopy(values, r * block.columns(), all, r * block.stride(), block.columns());
    }
    gpu.write(span(block), all);
  }

  /// Fails unless NaN is still between the rows of a block from [#apart].
  private static float[] read(TestGpu gpu, MatrixBlock block) {
    float[] all = gpu.read(span(block));
    float[] values = new float[(int) block.elements()];
    for (int r = 0; r < block.rows(); r++) {
      int first = r * block.stride();
      System.arraycopy(all, first, values, r * block.columns(), block.columns());
      for (int i = first + block.columns(); i < Math.min(first + block.stride(), all.length); i++) {
        assertTrue(Float.isNaN(all[i]), "behind row " + r);
      }
    }
    return values;
  }

  private static float[] transpose(float[] values, int rows, int columns) {
    float[] transposed = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      transposed[i % columns * rows + i / columns] = values[i];
    }
    return transposed;
  }
}
