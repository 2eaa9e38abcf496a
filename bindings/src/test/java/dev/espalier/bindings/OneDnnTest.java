package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class OneDnnTest {
  /// Unit roundoff of float32 and of bfloat16.
  private static final double FLOAT = 0x1p-24;
  private static final double BFLOAT16 = 0x1p-8;
  private static final String SYSTEM = System.getProperty("os.name");
  private static final String PROCESSOR = System.getProperty("os.arch");

  @BeforeAll
  static void load() {
    assertTrue(OneDnn.load().contains("libdnnl"), OneDnn.load());
    assertTrue(OneDnn.version().startsWith("3."), OneDnn.version());
  }

  /// Whole numbers, whose sums are exact: rows of any number of values, none in the first.
  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 9, 8", "31, 33, 65", "300, 40, 16", "64, 20, 64"})
  void multipliesCompressedRowsAndTransposes(int m, int k, int n) {
    try (Arena arena = Arena.ofConfined()) {
      Random random = new Random(1);
      float[] values = new float[m * k];
      int[] columns = new int[m * k];
      int[] first = new int[m + 1];
      float[] dense = new float[m * k];
      int count = 0;
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < k; j++) {
          if ((m == 1 || i > 0) && random.nextInt(m) <= i) {
            dense[i * k + j] = 1 + random.nextInt(9);
            columns[count] = j;
            values[count++] = dense[i * k + j];
          }
        }
        first[i + 1] = count;
      }
      float[] samples = new float[n * k];
      for (int i = 0; i < samples.length; i++) {
        samples[i] = random.nextInt(-9, 10);
      }
      MemorySegment b = arena.allocate(4L * k * n, 64);
      MemorySegment c = arena.allocate(4L * m * n, 64);
      MemorySegment result = arena.allocate(4L * n * m, 64);
      OneDnnSparseMatmul.Rows rows = new OneDnnSparseMatmul.Rows(m, k,
          arena.allocateFrom(ValueLayout.JAVA_FLOAT, Arrays.copyOf(values, count)),
          arena.allocateFrom(ValueLayout.JAVA_INT, Arrays.copyOf(columns, count)),
          arena.allocateFrom(ValueLayout.JAVA_INT, first));
      try (OneDnnTransposition gather = new OneDnnTransposition(n, k);
          OneDnnTransposition spread = new OneDnnTransposition(m, n);
          OneDnnSparseMatmul product = new OneDnnSparseMatmul(rows, n, b, c)) {
        gather.transpose(arena.allocateFrom(ValueLayout.JAVA_FLOAT, samples), b);
        product.multiply();
        product.multiply(); // overwrites
        spread.transpose(c, result);
      }
      assertTrue(OneDnnSparseMatmul.isAvailable());
      for (int sample = 0; sample < n; sample++) {
        for (int i = 0; i < m; i++) {
          float expected = 0;
          for (int j = 0; j < k; j++) {
            expected += dense[i * k + j] * samples[sample * k + j];
          }
          assertEquals(expected, result.getAtIndex(ValueLayout.JAVA_FLOAT, (long) sample * m + i));
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 9, 8", "31, 33, 65", "1, 300, 40", "64, 1, 9"})
  void multipliesWithEveryTranspose(int m, int n, int k) {
    try (Arena arena = Arena.ofConfined()) {
      Product product = new Product(arena, m, n, k);
      for (int transposes = 0; transposes < 4; transposes++) {
        boolean transposeA = (transposes & 1) != 0;
        boolean transposeB = (transposes & 2) != 0;
        Floats a = transposeA ? product.a.transposed : product.a.plain;
        Floats b = transposeB ? product.b.transposed : product.b.plain;
        Floats c = product.before.copy(arena);
        OneDnn.sgemm(transposeA, transposeB, m, n, k, 0.5f, a.segment(), a.columns(), b.segment(), b.columns(), 2,
            c.segment(), n);
        product.check(0.5, 2, c, FLOAT * (k + 3));

        boolean add = transposeA;
        Floats d = product.before.copy(arena);
        try (OneDnnMatmul matmul = new OneDnnMatmul(
            new OneDnnMatmul.Shape(transposeA, transposeB, m, n, k, a.columns(), b.columns(), n, add))) {
          matmul.multiply(a.segment(), b.segment(), d.segment());
        }
        product.check(1, add ? 1 : 0, d, FLOAT * (k + 3));
      }
    }
  }

  /// Twice, with the second A and C `m` + 2 rows after the first ones.
  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 9, 8", "31, 33, 65", "65, 130, 301", "64, 10, 9"})
  void multipliesInBfloat16WhereTheProcessorDoes(int m, int n, int k) {
    assumeTrue(OneDnn.multipliesBfloat16(), "this CPU has no bfloat16 instructions");
    try (Arena arena = Arena.ofConfined()) {
      Product product = new Product(arena, m, n, k);
      try (OneDnnPacking packing = new OneDnnPacking(new OneDnnPacking.Shape(k, n, n))) {
        MemorySegment packed = arena.allocate(packing.packedBytes(), 64);
        packing.pack(product.b.plain.segment(), arena.allocate(packing.roundedBytes(), 64), packed);
        for (int kind = 0; kind < 4; kind++) {
          boolean transposed = (kind & 1) != 0;
          boolean add = (kind & 2) != 0;
          Floats a = transposed ? product.a.transposed : product.a.plain;
          int rowsA = a.rows() + 2;
          Floats both = Floats.allocate(arena, rowsA + a.rows(), a.columns());
          both.segment().copyFrom(a.segment());
          both.segment().asSlice((long) rowsA * a.columns() * Float.BYTES).copyFrom(a.segment());
          Floats results = Floats.allocate(arena, 2 * m + 2, n);
          MemorySegment second = results.segment().asSlice((m + 2L) * n * Float.BYTES);
          results.segment().copyFrom(product.before.segment());
          second.copyFrom(product.before.segment());
          try (OneDnnBfloat16Matmul matmul = new OneDnnBfloat16Matmul(new OneDnnBfloat16Matmul.Shape(transposed, 2, m,
              packing.shape(), a.columns(), (long) rowsA * a.columns(), n, (m + 2L) * n, add), packing)) {
            matmul.multiply(both.segment(), arena.allocate(matmul.roundedBytes(), 64), packed, results.segment());
          }
          double unit = 2 * BFLOAT16 + BFLOAT16 * BFLOAT16 + (k + 3) * FLOAT;
          product.check(1, add ? 1 : 0, new Floats(results.segment().asSlice(0, (long) m * n * Float.BYTES), m, n),
              unit);
          product.check(1, add ? 1 : 0, new Floats(second, m, n), unit);
          for (int i = 0; i < 2 * n; i++) {
            assertEquals(0, results.segment().getAtIndex(ValueLayout.JAVA_FLOAT, (long) m * n + i),
                "between the results");
          }
        }
      }
    }
  }

  /// A row-major matrix of float32.
  private record Floats(MemorySegment segment, int rows, int columns) {
    static Floats allocate(Arena arena, int rows, int columns) {
      return new Floats(arena.allocate(ValueLayout.JAVA_FLOAT, (long) rows * columns), rows, columns);
    }

    Floats copy(Arena arena) {
      Floats copy = allocate(arena, rows, columns);
      copy.segment.copyFrom(segment);
      return copy;
    }

    float get(int row, int column) {
      return segment.getAtIndex(ValueLayout.JAVA_FLOAT, (long) row * columns + column);
    }

    void set(int row, int column, float value) {
      segment.setAtIndex(ValueLayout.JAVA_FLOAT, (long) row * columns + column, value);
    }
  }

  /// op(A) and op(B) both ways round, and C before the product.
  private static final class Product {
    private record Factor(Floats plain, Floats transposed) {
      static Factor random(Arena arena, Random random, int rows, int columns) {
        Factor factor = new Factor(Floats.allocate(arena, rows, columns), Floats.allocate(arena, columns, rows));
        for (int i = 0; i < rows; i++) {
          for (int j = 0; j < columns; j++) {
            factor.plain.set(i, j, (float) random.nextGaussian());
            factor.transposed.set(j, i, factor.plain.get(i, j));
          }
        }
        return factor;
      }
    }

    private final Factor a;
    private final Factor b;
    private final Floats before;

    Product(Arena arena, int m, int n, int k) {
      Random random = new Random(m + 31L * n + 961L * k);
      a = Factor.random(arena, random, m, k);
      b = Factor.random(arena, random, k, n);
      before = Factor.random(arena, random, m, n).plain;
    }

    /// Compares with α A·B + β C, with an error of `unit` times the sum of the terms' magnitudes.
    void check(double alpha, double beta, Floats actual, double unit) {
      for (int i = 0; i < actual.rows(); i++) {
        for (int j = 0; j < actual.columns(); j++) {
          double sum = beta * before.get(i, j);
          double magnitude = Math.abs(sum);
          for (int l = 0; l < a.plain.columns(); l++) {
            double term = alpha * a.plain.get(i, l) * b.plain.get(l, j);
            sum += term;
            magnitude += Math.abs(term);
          }
          assertEquals(sum, actual.get(i, j), unit * magnitude, "row " + i + ", column " + j);
        }
      }
    }
  }

  @Test
  void threadsAreTheCallers() {
    int before = OneDnn.setThreads(3);
    assertEquals(3, OneDnn.setThreads(before));
  }

  @Test
  void saysWhyALibraryDoesNotLoad(@TempDir Path folder) throws IOException {
    Path missing = folder.resolve("none.so");
    assertEquals("oneDNN: ESPALIER_ONEDNN names " + missing + ", which is no file: correct or unset it",
        refusal(folder, missing.toString(), PROCESSOR));
    Path garbage = Files.writeString(folder.resolve("garbage.so"), "garbage");
    String refusal = refusal(folder, garbage.toString(), PROCESSOR);
    assertTrue(refusal.startsWith("oneDNN: " + garbage + ": "), refusal);
    assertTrue(refusal.endsWith("; install what it lacks or name another library with ESPALIER_ONEDNN"), refusal);
    assertEquals(1, refusal.lines().count(), refusal);
  }

  /// The build takes oneDNN for its own platform alone.
  @Test
  @EnabledOnOs(OS.LINUX)
  void saysThatItIsLeftOut(@TempDir Path folder) {
    boolean arm = PROCESSOR.equals("aarch64");
    assertEquals(
        "oneDNN: left out of this installation: no org.bytedeco:dnnl for %s is on the class or module path;"
            .formatted(arm ? "linux-x86_64" : "linux-arm64")
            + " take the archive or the build that has it, or name a library with ESPALIER_ONEDNN",
        refusal(folder, null, arm ? "amd64" : "aarch64"));
  }

  private static String refusal(Path folder, String override, String processor) {
    LibraryCache cache = new LibraryCache(folder.resolve("cache"));
    return assertThrows(NativeLibraryException.class, () -> OneDnnLibrary.load(override, cache, SYSTEM, processor))
        .getMessage();
  }

  @Test
  void unpacksTheArtifact(@TempDir Path folder) {
    assertTrue(
        Files.isRegularFile(OneDnnLibrary.load(null, new LibraryCache(folder.resolve("cache")), SYSTEM, PROCESSOR)));
  }

  @Test
  void processesThatStartTogetherUnpackTheSame(@TempDir Path folder) throws IOException, InterruptedException {
    List<Process> processes = new ArrayList<>();
    for (int p = 0; p < 2; p++) {
      ProcessBuilder start = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
          "--enable-native-access=ALL-UNNAMED", "-cp",
          System.getProperty("java.class.path") + ":" + System.getProperty("jdk.module.path", ""),
          Loader.class.getName()).redirectErrorStream(true);
      start.environment().put("XDG_CACHE_HOME", folder.toString());
      start.environment().remove(OneDnnLibrary.OVERRIDE);
      processes.add(start.start());
    }
    for (Process process : processes) {
      assertEquals("ready\n", new String(process.getInputStream().readNBytes(6), StandardCharsets.UTF_8));
    }
    for (Process process : processes) {
      process.getOutputStream().close();
    }
    for (Process process : processes) {
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(0, process.waitFor(), output);
      assertTrue(output.startsWith(folder.toString()) && output.endsWith(" 3\n"), output);
    }
    try (Stream<Path> files = Files.walk(folder)) {
      assertEquals(2, files.filter(Files::isRegularFile).count(), "oneDNN and OpenMP");
    }
  }

  /// Loads oneDNN when its input ends, and uses it.
  static final class Loader {
    private Loader() {}

    public static void main(String... arguments) throws IOException {
      System.out.println("ready");
      while (System.in.read() >= 0) {
        // nothing is sent
      }
      String location = OneDnn.load();
      int before = OneDnn.setThreads(3);
      System.out.println(location + " " + OneDnn.setThreads(before));
    }
  }
}
