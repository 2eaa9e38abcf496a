package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.MathMode;
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
      "normalization", "product", "random", "reductions", "select", "solving", "sparse_product", "updates");
  /// Registers of a multiprocessor, from compute capability 8.0 on; a quarter of them is at hand for a quarter of its warps,
  /// to each in units of 256.
  private static final int REGISTERS = 65_536;
  private static final int REGISTER_UNIT = 256;
  /// Shared memory of a block that CUDA keeps for itself.
  private static final int RESERVED_SHARED = 1024;
  /// How often an epilogue may load after it has stored.
  static final int MOST_BATCHES = 16;
  /// Static shared memory that any kernel may use.
  private static final int STATIC_SHARED = 48 << 10;

  private static final Pattern ENTRY = Pattern.compile(
      "\\.entry (\\w+)\\((.*?)\\)\\s*\\.maxntid (\\d+)(?:, (\\d+), (\\d+))?(?:\\s*\\.minnctapersm (\\d+))?",
      Pattern.DOTALL);
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

  /// A block may use all that a multiprocessor has, less 1 KB: 99 KB on compute capability 8.6, 8.9 and 12.0, 163 KB on 8.0,
  /// 227 KB on 9.0 and 10.0.
  @Test
  void dynamicSharedMemoryFitsTheChipsThatTilesAreFor() {
    int smallest = TestGpu.sharedMemory(86) - RESERVED_SHARED;
    int largest = TestGpu.sharedMemory(90) - RESERVED_SHARED;
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
    for (SparseProductKernel.Tile tile : SparseProductKernel.TILES) {
      assertTrue(tile.sharedBytes() <= smallest, tile.name());
    }
  }

  /// Tiles that launchers take on a chip leave room for the blocks that their launch bounds ask, by registers, threads and
  /// shared memory. Compute capabilities 8.6 and 8.9 run what was compiled for 8.0, so that no source can tell them apart:
  /// launchers do, by the shared memory that the driver states.
  @Test
  void asManyBlocksShareAMultiprocessorAsLaunchBoundsAsk() throws IOException {
    Map<String, Compiled> compiled = new TreeMap<>();
    compiled().forEach(c -> compiled.put(c.kernel() + " on " + c.chip(), c));
    Map<String, Integer> bounds = launchBounds();
    for (Chip chip : Chip.ALL) {
      Gpu gpu = chip.gpu();
      for (MathMode mode : List.of(MathMode.FP32, MathMode.TF32)) {
        for (Tile tile : new DualMomentsKernel(gpu).tiles(mode)) {
          assertEquals(tile.blocks(), bounds.get(tile.name()), tile.name());
          requireRoom(chip, compiled.get(tile.name() + " on " + chip.name()), tile.threads(), tile.sharedBytes(),
              tile.blocks());
        }
        for (ProductKernel.Tile tile : new ProductKernel(gpu).tiles(mode)) {
          for (boolean transposeA : new boolean[]{false, true}) {
            for (boolean transposeB : new boolean[]{false, true}) {
              String name = tile.name(transposeA, transposeB);
              assertEquals(tile.blocks(), bounds.get(name), name);
              requireRoom(chip, compiled.get(name + " on " + chip.name()), tile.threads(),
                  tile.sharedBytes(transposeA, transposeB), tile.blocks());
            }
          }
        }
      }
      for (SparseProductKernel.Tile tile : SparseProductKernel.TILES) {
        assertEquals(tile.blocks(), bounds.get(tile.name()), tile.name());
        requireRoom(chip, compiled.get(tile.name() + " on " + chip.name()), SparseProductKernel.Tile.THREADS,
            tile.sharedBytes(), tile.blocks());
      }
    }
  }

  /// No chip has to take a smaller tile than it has room for.
  @Test
  void chipsTakeTheLargestTilesThatTheyHaveRoomFor() {
    List<DualMomentsKernel.Tile> moments = List.of(DualMomentsKernel.MMA_LARGE, DualMomentsKernel.MMA_SMALL,
        DualMomentsKernel.MMA_UNALIGNED);
    for (Chip chip : List.of(Chip.of("sm_80"), Chip.of("sm_100"))) {
      assertEquals(moments, new DualMomentsKernel(chip.gpu()).tiles(MathMode.TF32), chip.name());
    }
    assertTrue(new DualMomentsKernel(Chip.of("sm_90a").gpu()).tiles(MathMode.TF32).containsAll(moments));
    List<ProductKernel.Tile> products = List.of(ProductKernel.MMA_LARGE, ProductKernel.MMA_SMALL,
        ProductKernel.MMA_UNALIGNED);
    for (Chip chip : List.of(Chip.of("sm_90a"), Chip.of("sm_100"))) {
      assertEquals(products, new ProductKernel(chip.gpu()).tiles(MathMode.TF32), chip.name());
    }
    assertTrue(new ProductKernel(Chip.of("sm_80").gpu()).tiles(MathMode.TF32).contains(ProductKernel.MMA_LARGE));
  }

  private static void requireRoom(Chip chip, Compiled c, int threads, int dynamicShared, int blocks) {
    int warps = threads / 32;
    int registersOfWarp = Math.ceilDiv(32 * c.registers(), REGISTER_UNIT) * REGISTER_UNIT;
    int byRegisters = 4 * (REGISTERS / 4 / registersOfWarp) / warps;
    int byShared = TestGpu.sharedMemory(chip.computeCapability()) / (c.shared() + dynamicShared + RESERVED_SHARED);
    int byThreads = chip.threads() / threads;
    assertTrue(Math.min(byRegisters, Math.min(byShared, byThreads)) >= blocks,
        "%s: %d blocks by registers, %d by shared memory, %d by threads, not %d".formatted(c, byRegisters, byShared,
            byThreads, blocks));
  }

  /// What the kernels are compiled for.
  ///
  /// @param name the assembler's
  /// @param threads of a multiprocessor
  private record Chip(String name, int computeCapability, int threads) {
    static final List<Chip> ALL = List.of(new Chip("sm_80", 80, 2048), new Chip("sm_86", 86, 1536),
        new Chip("sm_89", 89, 1536), new Chip("sm_90a", 90, 2048), new Chip("sm_100", 100, 2048),
        new Chip("sm_120", 120, 1536));

    static Chip of(String name) {
      return ALL.stream().filter(chip -> chip.name.equals(name)).findFirst().orElseThrow();
    }

    Gpu gpu() {
      return new Gpu() {
        @Override
        public void launch(Launch launch) {
          throw new UnsupportedOperationException();
        }

        @Override
        public int computeCapability() {
          return computeCapability;
        }

        @Override
        public int multiprocessors() {
          return 100;
        }

        @Override
        public int sharedMemory() {
          return TestGpu.sharedMemory(computeCapability);
        }
      };
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
    for (SparseProductKernel.Tile tile : SparseProductKernel.TILES) {
      // A warp multiplies all of a step at once, by eight warps: each half of a block of weights with eight samples.
      long products = Pattern.compile("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32")
          .matcher(body(ptx("sparse_product"), tile.name())).results().count();
      assertEquals(tile.outputs() / 16 * (tile.samples() / 8) * (tile.inputs() / 32) / 8, products, tile.name());
    }
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

  /// Blocks of a multiprocessor, by kernel, where launch bounds say how many.
  private static Map<String, Integer> launchBounds() throws IOException {
    Map<String, Integer> bounds = new TreeMap<>();
    for (String family : FAMILIES) {
      Matcher matcher = ENTRY.matcher(ptx(family));
      while (matcher.find()) {
        if (matcher.group(6) != null) {
          bounds.put(matcher.group(1), Integer.valueOf(matcher.group(6)));
        }
      }
    }
    return bounds;
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
