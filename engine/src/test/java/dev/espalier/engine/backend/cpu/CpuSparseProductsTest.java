package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class CpuSparseProductsTest {
  private final RandomGenerator random = TestNetworks.random(7);

  @BeforeAll
  static void requireVectorApi() {
    assumeTrue(CpuBackend.skipsDeadUnits(), "no Vector API, or vectors of less than 8 float32");
  }

  /// Every number of copies from one to more than two tiles, widths at and beside multiples of vectors and panels, and
  /// more terms than are added at a time.
  @ParameterizedTest
  @CsvSource({"1, 1, 1, 1", "3, 2, 7, 5", "4, 3, 16, 63", "2, 4, 33, 64", "5, 5, 64, 65", "3, 6, 129, 128",
      "2, 7, 40, 200", "1, 8, 31, 16", "2, 9, 15, 33", "3, 10, 100, 130", "2, 11, 17, 70", "1, 16, 50, 64",
      "2, 3, 2048, 20", "2, 5, 2049, 20", "3, 4, 4200, 70"})
  void multipliesWhatIsNotZero(int rows, int copies, int k, int n) {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView a = gradients(arena, rows, copies, k, 0.4);
      MatrixView b = TestNetworks.normal(arena, random, k, n, 1, 0);
      for (boolean add : new boolean[]{false, true}) {
        MatrixView c = TestNetworks.normal(arena, random, copies * rows, n, 1, 0);
        float[] before = c.toArray();
        multiply(arena, a, b, add, c, rows, copies);
        for (int i = 0; i < c.rows(); i++) {
          for (int j = 0; j < n; j++) {
            double expected = add ? before[i * n + j] : 0;
            double magnitude = Math.abs(expected);
            for (int p = 0; p < k; p++) {
              double term = (double) a.get(i, p) * b.get(p, j);
              expected += term;
              magnitude += Math.abs(term);
            }
            assertEquals(expected, c.get(i, j), (k + 1) * 0x1p-24 * magnitude, "at [%d, %d]".formatted(i, j));
          }
        }
      }
    }
  }

  /// A part is some rows of the result, and its copies lie closer together than those of the gradients.
  @Test
  void writesItsPartOnly() {
    try (Arena arena = Arena.ofConfined()) {
      int samples = 6;
      MatrixView a = gradients(arena, samples, 3, 20, 0.5);
      MatrixView b = TestNetworks.normal(arena, random, 20, 70, 1, 0);
      MatrixView whole = MatrixView.allocate(arena, 3 * samples, 70);
      multiply(arena, a, b, false, whole, samples, 3);
      MatrixView part = TestNetworks.normal(arena, random, 3 * 2 + 1, 75, 1, 0);
      float[] before = part.toArray();
      CpuSparseProducts products = new CpuSparseProducts();
      products.second(Factor.of(b.segment(), 70), 20, 70, memory(arena, products, 20, 70))
          .multiply(Factor.of(a.segment(), 20).from(4, 0), false, part.segment(), 75, 2, 3, samples, 2);
      for (int i = 0; i < part.rows(); i++) {
        for (int j = 0; j < 75; j++) {
          float expected = i < 6 && j < 70 ? whole.get(i / 2 * samples + 4 + i % 2, j) : before[i * 75 + j];
          assertEquals(expected, part.get(i, j), "at [%d, %d]".formatted(i, j));
        }
      }
    }
  }

  @Test
  void readsNoRowsOfDeadUnits() {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView a = gradients(arena, 3, 5, 90, 0.5);
      MatrixView b = TestNetworks.normal(arena, random, 90, 70, 1, 0);
      MatrixView c = MatrixView.allocate(arena, 1, 70);
      for (int k = 0; k < 90; k++) {
        for (int j = 0; a.get(1, k) == 0 && j < 70; j++) {
          b.set(k, j, Float.NaN);
        }
      }
      MatrixView second = MatrixView.allocate(arena, 1, 90);
      second.segment().copyFrom(a.segment().asSlice(90 * Float.BYTES, 90 * Float.BYTES));
      multiply(arena, second, b, false, c, 1, 1);
      assertEquals(-1, c.firstNonFinite());
    }
  }

  @Test
  void doesNotSkipNaN() {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView a = MatrixView.allocate(arena, 4, 40);
      a.set(2, 39, Float.NaN);
      MatrixView c = MatrixView.allocate(arena, 4, 3);
      multiply(arena, a, TestNetworks.normal(arena, random, 40, 3, 1, 0), false, c, 1, 4);
      for (int i = 0; i < 4; i++) {
        assertEquals(i == 2, Float.isNaN(c.get(i, 1)), "row " + i);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 10, 16})
  void paysWhereSamplesLeaveEnoughUnitsDead(int copies) {
    CpuSparseProducts products = new CpuSparseProducts();
    try (Arena arena = Arena.ofConfined()) {
      Factor half = Factor.of(gradients(arena, 20, copies, 600, 0.4).segment(), 600);
      Factor most = Factor.of(gradients(arena, 20, copies, 600, 0.8).segment(), 600);
      assertTrue(products.pays(half, 20, copies, 600, 600));
      assertTrue(!products.pays(half, 20, copies, 600, 100), "a small product");
      assertTrue(!products.pays(most, 20, copies, 600, 600), "few zeros");
      // It fills a quarter of a tile.
      assertTrue(!products.pays(half, 20, 1, 600, 600), "one copy");
    }
  }

  /// Normal numbers, and in each sample the same zeros in all copies.
  private MatrixView gradients(Arena arena, int samples, int copies, int columns, double active) {
    MatrixView a = TestNetworks.normal(arena, random, copies * samples, columns, 1, 0);
    for (int sample = 0; sample < samples; sample++) {
      for (int j = 0; j < columns; j++) {
        boolean dead = random.nextDouble() >= active;
        for (int copy = 0; dead && copy < copies; copy++) {
          a.set(copy * samples + sample, j, copy % 2 == 0 ? 0 : -0f);
        }
      }
    }
    return a;
  }

  private static void multiply(Arena arena, MatrixView a, MatrixView b, boolean add, MatrixView c, int rows,
      int copies) {
    CpuSparseProducts products = new CpuSparseProducts();
    products
        .second(Factor.of(b.segment(), b.columns()), b.rows(), b.columns(),
            memory(arena, products, b.rows(), b.columns()))
        .multiply(Factor.of(a.segment(), a.columns()), add, c.segment(), c.columns(), rows, copies, rows, rows);
  }

  private static MemorySegment memory(Arena arena, CpuSparseProducts products, int k, int n) {
    return MatrixView.allocate(arena, 1, (int) products.preparedElements(n, k, n)).segment();
  }
}
