package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.kernels.DualMomentsKernel.Tile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// What nvcc made of the kernels: their names, block sizes, registers and shared memory. Skipped
/// without nvcc.
class PtxTest {
  private static final Path REPORTS = Path.of(System.getProperty("espalier.kernels.ptx"));
  static final List<String> FAMILIES = List.of("apply", "dense_forward", "dual_moments", "elimination_scores", "losses",
      "normalization", "product", "random", "reductions", "select", "solving", "updates");
  /// Registers of a multiprocessor, from compute capability 8.0 on.
  private static final int REGISTERS = 65_536;
  /// How often an epilogue may load after it has stored.
  static final int MOST_BATCHES = 16;
  /// Static shared memory that any kernel may use.
  private static final int STATIC_SHARED = 48 << 10;

  private static final Pattern ENTRY = Pattern
      .compile("\\.entry (\\w+)\\((.*?)\\)\\s*\\.maxntid (\\d+)(?:, (\\d+), (\\d+))?", Pattern.DOTALL);
  private static final Pattern COMPILED = Pattern.compile(
      "Compiling entry function '(\\w+)' for '(\\w+)'\\n.*?\\n\\s*(\\d+) bytes stack frame, (\\d+) bytes spill stores, "
          + "(\\d+) bytes spill loads\\n.*?Used (\\d+) registers(?:[^\\n]*?(\\d+) bytes smem)?",
      Pattern.DOTALL);

  /// A kernel on a chip, by the assembler's report.
  private record Compiled(String kernel, String chip, int stack, int spills, int registers, int shared) {}

  @BeforeEach
  void skipWithoutNvcc() {
    assumeTrue(Files.exists(REPORTS), "no nvcc when this was built: there are no GPU kernels to check");
  }

  @Test
  void everyFamilyHasAResource() {
    for (String family : FAMILIES) {
      assertTrue(CudaGpu.class.getResource(family + ".fatbin") != null, family);
    }
    assertTrue(CudaGpu.isBuilt());
  }

  @Test
  void blocksHaveTheThreadsThatLaunchersStart() throws IOException {
    Map<String, Integer> entries = entries();
    for (Tile tile : DualMomentsKernel.TILES) {
      assertEquals(tile.threads(), entries.get(tile.name()), tile.name());
    }
    products().forEach((name, tile) -> assertEquals(tile.threads(), entries.get(name), name));
    entries.keySet().removeAll(products().keySet());
    entries.forEach((name, threads) -> {
      boolean isByRuns = name.matches("(axpy|adam|add_carrying|add_where_nonzero|add_product|divide)_.*");
      boolean isWhole = (name.endsWith("_1024") && !isByRuns) || name.startsWith("cancelled_");
      int expected = isWhole ? 1024 : name.contains("wgmma") ? 384 : 256;
      assertEquals(expected, threads, name);
    });
  }

  @Test
  void bothCompilersHaveTheSameKernels() throws IOException {
    try (EmulatedGpu gpu = EmulatedGpu.open()) {
      for (String name : entries().keySet()) {
        assertTrue(gpu.has(name), name);
      }
    }
  }

  @Test
  void nothingSpills() throws IOException {
    List<Compiled> all = compiled();
    assertEquals(List.of(), all.stream().filter(c -> c.spills() > 0 || c.stack() > 0).toList());
    // sm_90a alone has the wgmma kernels.
    assertEquals(6 * entries().size() - 5 * wgmma().size(), all.size());
  }

  @Test
  void everyBlockFits() throws IOException {
    Map<String, Integer> entries = entries();
    for (Compiled c : compiled()) {
      assertTrue(c.registers() * entries.get(c.kernel()) <= REGISTERS, c.toString());
      assertTrue(c.shared() <= STATIC_SHARED, c.toString());
    }
  }

  @Test
  void dynamicSharedMemoryFitsTheChipsThatTilesAreFor() {
    int smallest = 99 << 10; // of compute capability 8.6, 8.9 and 12.0
    int largest = 227 << 10; // of 9.0
    for (Tile tile : DualMomentsKernel.TILES) {
      int most = wgmma().contains(tile) ? largest : smallest;
      assertTrue(tile.sharedBytes() <= most, tile.name());
    }
    for (boolean transpose : new boolean[]{false, true}) {
      for (ProductKernel.Tile tile : ProductKernel.TILES) {
        assertTrue(tile.sharedBytes(transpose, !transpose) <= smallest, tile.name(transpose, !transpose));
        assertTrue(tile.sharedBytes(transpose, transpose) <= smallest, tile.name(transpose, transpose));
      }
    }
  }

  /// Two blocks share a multiprocessor, as their launch bounds ask; of the moments, not on 100 KB of shared memory.
  @Test
  void smallTilesLeaveRoomForTwo() throws IOException {
    for (Compiled c : compiled()) {
      boolean alone = c.chip().equals("sm_120") && c.kernel().startsWith("dual_moments_mma");
      if (c.kernel().matches("dual_moments_(mma_64x128|fma).*|product_.*") && !alone) {
        assertTrue(c.registers() <= REGISTERS / 2 / 256, c.toString());
      }
    }
  }

  @Test
  void tensorCoresAreUsed() throws IOException {
    String ptx = ptx("dual_moments");
    for (Tile tile : wgmma()) {
      assertTrue(body(ptx, tile.name()).contains("wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32"), tile.name());
      assertTrue(body(ptx, tile.name()).contains("cp.async.bulk.tensor.2d"), tile.name());
    }
    assertTrue(body(ptx, DualMomentsKernel.MMA_SMALL.name()).contains("mma.sync.aligned.m16n8k8.row.col.f32.tf32"));
    assertTrue(body(ptx, DualMomentsKernel.MMA_SMALL.name()).contains("cp.async.cg"));
    String product = body(ptx("product"), ProductKernel.MMA_LARGE.name(false, true));
    assertTrue(product.contains("mma.sync.aligned.m16n8k8.row.col.f32.tf32") && product.contains("cp.async.cg"));
  }

  /// In the order of the PTX, which the assembler keeps because it must take both for the same memory: what adds to its
  /// result loads four or more elements, then stores them, and does not alternate for each of its up to 256 elements.
  @Test
  void resultsAreLoadedInBatches() throws IOException {
    for (String family : List.of("dual_moments", "product")) {
      String ptx = ptx(family);
      for (String kernel : entries().keySet()) {
        if (kernel.matches(family + "_(fma|mma|wgmma).*")) {
          long waits = Pattern.compile("st\\.global[^;]*;(?:(?!st\\.global).)*?ld\\.global", Pattern.DOTALL)
              .matcher(body(ptx, kernel)).results().count();
          assertTrue(waits <= MOST_BATCHES, "%s loads after stores %d times".formatted(kernel, waits));
        }
      }
    }
  }

  /// Otherwise each waits for the one before: the assembler says so in a warning.
  @Test
  void wgmmaRunAhead() throws IOException {
    String report = Files.readString(REPORTS.resolve("dual_moments.ptxas"));
    assertFalse(report.contains("serializ"), report);
    for (Tile tile : wgmma()) {
      assertTrue(report.contains("'" + tile.name() + "'"), tile.name());
      assertTrue(body(ptx("dual_moments"), tile.name()).contains("wgmma.wait_group.sync.aligned 2;"), tile.name());
    }
  }

  static List<Tile> wgmma() {
    return DualMomentsKernel.TILES.stream().filter(tile -> tile.name().contains("wgmma")).toList();
  }

  /// The launcher's kernels, four of each tile.
  private static Map<String, ProductKernel.Tile> products() {
    Map<String, ProductKernel.Tile> products = new TreeMap<>();
    for (ProductKernel.Tile tile : ProductKernel.TILES) {
      for (boolean transpose : new boolean[]{false, true}) {
        products.put(tile.name(transpose, false), tile);
        products.put(tile.name(transpose, true), tile);
      }
    }
    return products;
  }

  @Test
  void inlinePtxIsInOneFile() throws IOException {
    try (Stream<Path> files = Files.list(Path.of("src/main/cuda"))) {
      for (Path file : files.filter(f -> f.toString().matches(".*\\.cuh?")).toList()) {
        boolean ptx = Files.readString(file).contains("asm");
        assertEquals(file.endsWith("device.cuh"), ptx, file.toString());
      }
    }
  }

  private static String ptx(String family) throws IOException {
    return Files.readString(REPORTS.resolve(family + ".ptx"));
  }

  private static String body(String ptx, String kernel) {
    int start = ptx.indexOf(".entry " + kernel + "(");
    int next = ptx.indexOf(".entry", start + 1);
    return ptx.substring(start, next < 0 ? ptx.length() : next);
  }

  /// Threads of a block, by kernel.
  private static Map<String, Integer> entries() throws IOException {
    Map<String, Integer> entries = new TreeMap<>();
    for (String family : FAMILIES) {
      Matcher matcher = ENTRY.matcher(ptx(family));
      while (matcher.find()) {
        entries.put(matcher.group(1), Integer.valueOf(matcher.group(3)));
      }
    }
    return entries;
  }

  private static List<Compiled> compiled() throws IOException {
    List<Compiled> all = new ArrayList<>();
    for (String family : FAMILIES) {
      Matcher m = COMPILED.matcher(Files.readString(REPORTS.resolve(family + ".ptxas")));
      while (m.find()) {
        all.add(new Compiled(m.group(1), m.group(2), number(m, 3), number(m, 4) + number(m, 5), number(m, 6),
            m.group(7) == null ? 0 : number(m, 7)));
      }
    }
    return all;
  }

  private static int number(Matcher matcher, int group) {
    return Integer.parseInt(matcher.group(group));
  }
}
