package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Against a library that multiplies in host memory.
class CublasTest {
  /// What one rounding to float32 may change, relatively.
  private static final double UNIT = 0x1p-24;
  private static final float UNTOUCHED = -77;

  @TempDir
  private static Path folder;
  private static StubLibrary stub;
  private static String description;

  private Cublas cublas;

  /// The library that comes first does not load; the second is linked to one beside it, which no path leads to.
  @BeforeAll
  static void load() throws IOException, InterruptedException {
    Path library = folder.resolve("cuda", "lib64");
    StubLibrary.compile(library, "libcublasLt.so.12", "cublas_lt.c");
    Path file = StubLibrary.compile(library, "libcublas.so.12", "cublas.c",
        library.resolve("libcublasLt.so.12").toString());
    Files.writeString(library.resolve("libcublas.so.13"), "not a library");
    description = Cublas.load(library());
    assertEquals("cuBLAS 12.8.4, " + file, description);
    stub = StubLibrary.load(file);
  }

  private static CublasLibrary library() {
    return new CublasLibrary(Map.of(), folder, _ -> Optional.empty(), Integer.MAX_VALUE);
  }

  @BeforeEach
  void open() {
    cublas = new Cublas(description);
  }

  @AfterEach
  void close() throws Throwable {
    stub.set("stub_fail", 0);
    cublas.close();
    cublas.close();
    assertTrue(stub.text("stub_calls").endsWith("destroy\n"));
  }

  /// A row-major matrix with room behind each row.
  private record Matrix(MemorySegment elements, int leading, boolean transposed) {
    static Matrix random(Arena arena, Random random, int rows, int columns, int gap, boolean transposed) {
      int lines = transposed ? columns : rows;
      int length = transposed ? rows : columns;
      Matrix matrix = new Matrix(arena.allocate(ValueLayout.JAVA_FLOAT, (long) lines * (length + gap)), length + gap,
          transposed);
      for (long i = 0; i < (long) lines * matrix.leading; i++) {
        boolean inside = i % matrix.leading < length;
        matrix.elements.setAtIndex(ValueLayout.JAVA_FLOAT, i, inside ? (float) random.nextGaussian() : UNTOUCHED);
      }
      return matrix;
    }

    float get(int row, int column) {
      return elements.getAtIndex(ValueLayout.JAVA_FLOAT,
          transposed ? (long) column * leading + row : (long) row * leading + column);
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1, 0", "2, 3, 4, 0", "7, 9, 8, 3", "31, 33, 65, 5", "1, 30, 40, 1", "64, 1, 9, 2"})
  void multipliesWithEveryTranspose(int m, int n, int k, int gap) {
    for (int transposes = 0; transposes < 4; transposes++) {
      for (float beta : new float[]{0, 2}) {
        try (Arena arena = Arena.ofConfined()) {
          check(arena, m, n, k, gap, (transposes & 1) != 0, (transposes & 2) != 0, beta);
        }
      }
    }
  }

  private void check(Arena arena, int m, int n, int k, int gap, boolean transposeA, boolean transposeB, float beta) {
    Random random = new Random(m + 31L * n + 961L * k);
    Matrix a = Matrix.random(arena, random, m, k, gap, transposeA);
    Matrix b = Matrix.random(arena, random, k, n, 2 * gap, transposeB);
    Matrix c = Matrix.random(arena, random, m, n, 3 * gap, false);
    double[][] expected = new double[m][n];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        for (int l = 0; l < k; l++) {
          expected[i][j] += 0.5 * a.get(i, l) * b.get(l, j);
        }
        expected[i][j] += beta * c.get(i, j);
      }
    }
    if (beta == 0) {
      c = new Matrix(arena.allocate(c.elements.byteSize(), Float.BYTES), c.leading, false);
      c.elements.fill((byte) 0xff); // NaN
    }
    cublas.multiply(MathMode.FP32, m, n, k, 0.5f, a.elements.address(), a.leading, transposeA, b.elements.address(),
        b.leading, transposeB, beta, c.elements.address(), c.leading);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < c.leading && (beta != 0 || j < n); j++) {
        double want = j < n ? expected[i][j] : UNTOUCHED;
        // The stand-in sums in double: only the order of its sums and one rounding differ.
        assertEquals(want, c.get(i, j), UNIT * Math.abs(want) + 1e-13,
            "row %d, column %d, transposes %s %s".formatted(i, j, transposeA, transposeB));
      }
    }
  }

  @Test
  void saysWhichArithmeticToUse() throws Throwable {
    try (Arena arena = Arena.ofConfined()) {
      long element = arena.allocate(ValueLayout.JAVA_FLOAT).address();
      for (MathMode math : MathMode.values()) {
        cublas.multiply(math, 1, 1, 1, 1, element, 1, false, element, 1, false, 0, element, 1);
      }
    }
    // CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_16BF; CUBLAS_GEMM_DEFAULT
    assertEquals("gemm 68 -1\ngemm 77 -1\ngemm 75 -1\n", stub.text("stub_calls"));
  }

  @Test
  void multipliesFactorsThatAreBfloat16InMemory() throws Throwable {
    try (Arena arena = Arena.ofConfined()) {
      // 1, 2, 3 and 0.5, -1, 4; the product of the first with the transpose of the second
      MemorySegment a = arena.allocateFrom(ValueLayout.JAVA_SHORT, (short) 0x3f80, (short) 0x4000, (short) 0x4040);
      MemorySegment b = arena.allocateFrom(ValueLayout.JAVA_SHORT, (short) 0x3f00, (short) 0xbf80, (short) 0x4080);
      MemorySegment c = arena.allocate(ValueLayout.JAVA_FLOAT);
      cublas.multiplyBfloat16(1, 1, 3, 2, a.address(), 3, false, b.address(), 3, true, 0, c.address(), 1);
      assertEquals(21, c.get(ValueLayout.JAVA_FLOAT, 0));
    }
    assertEquals("gemm 68 -1\n", stub.text("stub_calls"));
  }

  @Test
  void keepsTheWorkspaceWhenTheStreamChanges() throws Throwable {
    cublas.setStream(0xa0);
    cublas.setWorkspace(0x700, 4096);
    cublas.setStream(0xb0);
    assertEquals("stream a0\nworkspace 700 4096\nstream b0\nworkspace 700 4096\n", stub.text("stub_calls"));
  }

  @Test
  void refusesWorkspacesThatCublasWouldNotTake() {
    assertEquals("workspace of 4096 bytes at 0x710: needs at least 1, at a multiple of 256",
        assertThrows(IllegalArgumentException.class, () -> cublas.setWorkspace(0x710, 4096)).getMessage());
    assertThrows(IllegalArgumentException.class, () -> cublas.setWorkspace(0, 4096));
    assertThrows(IllegalArgumentException.class, () -> cublas.setWorkspace(0x700, 0));
  }

  /// m, n, k = 2, 3, 4 with one leading dimension too short at a time.
  @ParameterizedTest
  @CsvSource({"false, false, 3, 3, 3", "true, false, 1, 3, 3", "false, false, 4, 2, 3", "false, true, 4, 3, 3",
      "true, true, 2, 4, 2"})
  void refusesLeadingDimensionsShorterThanARow(boolean transposeA, boolean transposeB, int lda, int ldb, int ldc) {
    String message = assertThrows(IllegalArgumentException.class,
        () -> cublas.multiply(MathMode.FP32, 2, 3, 4, 1, 0, lda, transposeA, 0, ldb, transposeB, 0, 0, ldc))
        .getMessage();
    assertEquals("m=2, n=3, k=4, A%s lda=%d, B%s ldb=%d, ldc=%d: empty, or rows overlap"
        .formatted(transposeA ? "ᵀ" : "", lda, transposeB ? "ᵀ" : "", ldb, ldc), message);
  }

  @Test
  void refusesEmptyMatrices() {
    assertThrows(IllegalArgumentException.class,
        () -> cublas.multiply(MathMode.FP32, 1, 1, 0, 1, 0, 1, false, 0, 1, false, 0, 0, 1));
  }

  @Test
  void failuresHaveTheNameOfTheStatus() throws Throwable {
    stub.set("stub_fail", 13);
    assertEquals(
        "cublasGemmEx returned 13 (CUBLAS_STATUS_EXECUTION_FAILED, the function failed to launch on the GPU) for TF32, "
            + "m=1, n=2, k=3, A lda=3, Bᵀ ldb=3, ldc=2",
        assertThrows(NativeCallException.class,
            () -> cublas.multiply(MathMode.TF32, 1, 2, 3, 1, 0, 3, false, 0, 3, true, 0, 0, 2)).getMessage());
    assertEquals(
        "cublasSetStream_v2 returned 13 (CUBLAS_STATUS_EXECUTION_FAILED, the function failed to launch on the GPU)",
        assertThrows(NativeCallException.class, () -> cublas.setStream(1)).getMessage());
    stub.set("stub_fail", 1);
    assertEquals(
        description + " does not start: cublasCreate_v2 returned 1 (CUBLAS_STATUS_NOT_INITIALIZED, not initialized): "
            + "name another one with ESPALIER_CUBLAS",
        assertThrows(NativeLibraryException.class, () -> new Cublas(description)).getMessage());
    assertEquals(
        description.replaceFirst(".*, ", "cuBLAS: ") + ": cublasGetProperty returned 1 (CUBLAS_STATUS_NOT_INITIALIZED, "
            + "not initialized): name another one with ESPALIER_CUBLAS",
        assertThrows(NativeLibraryException.class, () -> Cublas.load(library())).getMessage());
  }

  @Test
  void closesThoughCublasFails() throws Throwable {
    stub.set("stub_fail", 13);
    assertEquals("cublasDestroy_v2", assertThrows(NativeCallException.class, cublas::close).function());
    cublas.close();
    stub.set("stub_fail", 0);
    cublas = new Cublas(description);
  }
}
