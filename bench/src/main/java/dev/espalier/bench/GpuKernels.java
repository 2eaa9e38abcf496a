package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.kernels.ApplyKernel;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DenseForwardKernel;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Driver.HostMemory;
import dev.espalier.kernels.Driver.Stream;
import dev.espalier.kernels.DualMomentsKernel;
import dev.espalier.kernels.EliminationScoresKernel;
import dev.espalier.kernels.JCudaLoader;
import dev.espalier.kernels.KernelProducts;
import dev.espalier.kernels.LossesKernel;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.MomentsByProducts;
import dev.espalier.kernels.Nonlinearity;
import dev.espalier.kernels.NormalizationKernel;
import dev.espalier.kernels.ProductKernel;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.ReductionsKernel;
import dev.espalier.kernels.SelectKernel;
import dev.espalier.kernels.SolvingKernel;
import dev.espalier.kernels.SparseProductKernel;
import dev.espalier.kernels.SparseWeights;
import dev.espalier.kernels.UpdatesKernel;
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.regex.Pattern;

/// Goes through every kernel with operands of the sizes that matter. As a program it times them on a GPU.
public final class GpuKernels {
  /// How large everything is.
  ///
  /// @param samples of a batch for moments
  /// @param rows of what is bound by memory
  /// @param width of layers, and of the product that sets the limit twice that
  /// @param momentWidths of layers, for the moments
  /// @param batches samples of products by 2:4 weights
  /// @param copies stacked gradients
  /// @param scores to select from
  /// @param copyBytes of the copy that sets the limit
  record Sizes(int samples, int rows, int width, List<Integer> momentWidths, List<Integer> batches, int copies,
      List<Long> scores, long copyBytes, int warmUps, int repeats, long rotation) {
    static final Sizes FULL = new Sizes(32_768, 4096, 4096, List.of(128, 256, 512, 1024, 2048, 4096),
        List.of(1, 32, 1024), 16, List.of(10_000_000L, 100_000_000L, 1_000_000_000L), 1L << 30, 3, 15, 1L << 29);
    /// To see that all of it runs.
    static final Sizes TINY = new Sizes(40, 16, 36, List.of(20), List.of(1, 12, 40), 2, List.of(1000L), 1 << 12, 1, 3,
        1 << 14);
  }

  private static final int SCORE_COLUMNS = 1000;
  /// Samples of a batch from which on a product is bound by arithmetic and not by the bytes of its weights.
  private static final int MANY_SAMPLES = 512;
  /// How libraries' products round.
  private static final List<MathMode> LIBRARIES = List.of(MathMode.TF32, MathMode.FP32);
  private static final String IN_ONE_PASS = "dual_moments ";
  private static final String BY_PRODUCTS = "moments by two products ";

  private final Driver driver;
  private final Map<MathMode, MatrixProducts> libraries;
  private final Sizes sizes;
  private final KernelRows table;
  /// Weights of this width, made when they are first needed.
  private byte[] hostPacked;

  /// @param libraries products in each mode, the alternatives to one pass over the moments and to 2:4
  GpuKernels(Driver driver, Map<MathMode, MatrixProducts> libraries, Sizes sizes, KernelRows table) {
    this.driver = driver;
    this.libraries = libraries;
    this.sizes = sizes;
    this.table = table;
  }

  /// @param args `--tiny` to see that all of it runs, in seconds; a pattern that is found in the names of the kernels to
  ///     time, such as `'^dual_moments'`, otherwise all
  public static void main(String[] args) {
    List<String> names = new ArrayList<>(List.of(args));
    Sizes sizes = names.remove("--tiny") ? Sizes.TINY : Sizes.FULL;
    Pattern wanted = Pattern.compile(String.join("|", names));
    String problem = JCudaLoader.problem().orElse(
        CudaGpu.isBuilt() ? "" : "this build has no GPU kernels: build it again with CUDA's nvcc, 12.8 or later");
    if (!problem.isEmpty()) {
      System.err.println("GpuKernels: no GPU to measure: " + problem);
      System.exit(1);
    }
    try (GpuWatch _ = GpuWatch.begin();
        CudaGpu gpu = new CudaGpu(0);
        Memory memory = new Memory(gpu);
        MatrixProducts tf32 = library(gpu, memory, MathMode.TF32);
        MatrixProducts fp32 = library(gpu, memory, MathMode.FP32);
        MatrixProducts bf16 = library(gpu, memory, MathMode.BF16)) {
      measure(gpu, Map.of(MathMode.TF32, tf32, MathMode.FP32, fp32, MathMode.BF16, bf16), sizes, wanted, System.out);
      gpu.synchronize();
    }
  }

  /// Products by cuBLAS, or by our own kernels where there is none.
  private static MatrixProducts library(CudaGpu gpu, Memory memory, MathMode mode) {
    try {
      return new CublasProducts(gpu, mode, memory.buffer(CublasProducts.WORKSPACE_BYTES, 0));
    } catch (NativeLibraryException e) {
      System.err.println("GpuKernels: the limit is our own product's: " + e.getMessage());
      return own(gpu, memory, mode);
    }
  }

  /// Our own products in the place of a library's.
  static Map<MathMode, MatrixProducts> own(Driver driver, Memory memory) {
    return Map.of(MathMode.TF32, own(driver, memory, MathMode.TF32), MathMode.FP32, own(driver, memory, MathMode.FP32),
        MathMode.BF16, own(driver, memory, MathMode.BF16));
  }

  /// Our own products.
  static MatrixProducts own(Driver driver, Memory memory, MathMode mode) {
    ProductKernel kernel = new ProductKernel(driver);
    return new KernelProducts(kernel, mode, memory.buffer(kernel.largestWorkspace(mode), 0));
  }

  /// Measures the limits, then every kernel.
  static void measure(Driver driver, Map<MathMode, MatrixProducts> libraries, Sizes sizes, Pattern wanted,
      PrintStream out) {
    TimedRows rows = TimedRows.begin(driver, libraries.get(MathMode.TF32), sizes, wanted, out);
    new GpuKernels(driver, libraries, sizes, rows).addAll();
    if (libraries.values().stream().allMatch(MatrixProducts::isLibrary)) {
      printMoments(driver, sizes, rows, out);
    }
  }

  /// The lines of this GPU for the table of [MomentsByProducts].
  private static void printMoments(Driver driver, Sizes sizes, TimedRows rows, PrintStream out) {
    out.printf("%nfor the table in MomentsByProducts, in place of the lines of %d:%n", driver.computeCapability());
    for (MathMode mode : List.of(MathMode.FP32, MathMode.TF32)) {
      int least = Integer.MAX_VALUE;
      for (int width : sizes.momentWidths().reversed()) {
        String shape = shape(sizes.samples(), width, width);
        if (!(rows.seconds(BY_PRODUCTS + mode, shape) < rows.seconds(IN_ONE_PASS + mode, shape))) {
          break;
        }
        least = width;
      }
      out.println(least == Integer.MAX_VALUE
          ? "no line for %s: products take longer, or were not measured".formatted(mode)
          : "%d %s %d measured on %s".formatted(driver.computeCapability(), mode, least, driver.name()));
    }
  }

  /// Goes through every kernel.
  void addAll() {
    sizes.momentWidths().forEach(this::moments);
    products();
    if (SparseProductKernel.runsOn(driver)) {
      sizes.batches().forEach(this::sparseProducts);
    }
    dense();
    scoresAndCuts();
    small();
    sizes.scores().forEach(this::selection);
  }

  private static String shape(int... dimensions) {
    StringBuilder text = new StringBuilder();
    for (int dimension : dimensions) {
      text.append(text.isEmpty() ? "" : " × ").append(dimension);
    }
    return text.toString();
  }

  // ---- products and moments ----

  /// Sensitivities and activations of a batch, and the moments of a square layer.
  private record Batch(DeviceMatrix s, DeviceMatrix a, DeviceMatrix pilot, DeviceMatrix m0, DeviceMatrix m1,
      DeviceMatrix m2, DeviceBuffer workspace) {
    static Batch of(Memory memory, int samples, int width, long workspace) {
      return new Batch(memory.matrix(samples, width), memory.matrix(samples, width), zeros(memory, 1, width),
          zeros(memory, 1, width), zeros(memory, width, width), zeros(memory, width, width),
          memory.buffer(workspace, 0));
    }

    private static DeviceMatrix zeros(Memory memory, int rows, int columns) {
      return new DeviceMatrix(memory.buffer((long) rows * columns * Float.BYTES, 0).address(), rows, columns);
    }
  }

  private void moments(int width) {
    DualMomentsKernel kernel = new DualMomentsKernel(driver);
    int samples = sizes.samples();
    table.check(IN_ONE_PASS + MathMode.TF32, () -> checkMoments(kernel, width));
    for (MathMode mode : LIBRARIES) {
      table.add(IN_ONE_PASS + mode, shape(samples, width, width), moments(mode, samples, width),
          memory -> Batch.of(memory, samples, width, kernel.workspace(mode, samples, width, width)),
          b -> addMoments(kernel, mode, b));
    }
    for (MathMode mode : LIBRARIES) {
      MomentsByProducts products = new MomentsByProducts(driver, libraries.get(mode), mode);
      table.add(BY_PRODUCTS + mode, shape(samples, width, width), byProducts(mode, samples, width),
          memory -> Batch.of(memory, samples, width, products.workspace(samples, width, width)),
          b -> addMoments(products, b));
    }
  }

  /// The batch is read once, both moments are read and written.
  private static Cost moments(MathMode mode, int samples, int width) {
    return Cost.ofProducts(mode, 4.0 * samples * width * width,
        (2.0 * samples * width + 4.0 * width * width) * Float.BYTES);
  }

  /// X and X∘X are written, and read by the products, which both read S; TF32 rounds a copy of S first, M0 sums it.
  private static Cost byProducts(MathMode mode, int samples, int width) {
    int matrices = 5 + (mode == MathMode.TF32 ? 5 : 3);
    return Cost.ofProducts(mode, 4.0 * samples * width * width,
        ((double) matrices * samples * width + 4.0 * width * width) * Float.BYTES);
  }

  private static void addMoments(DualMomentsKernel kernel, MathMode mode, Batch b) {
    kernel.addMoments(mode, b.s(), b.a(), b.pilot(), b.m0(), b.m1(), b.m2(), b.workspace());
  }

  private static void addMoments(MomentsByProducts products, Batch b) {
    products.addMoments(b.s(), b.a(), b.pilot(), b.m0(), b.m1(), b.m2(), b.workspace());
  }

  /// Both ways to the moments must agree: all terms are positive, so by TF32's rounding of a product's three factors.
  ///
  /// @throws IllegalStateException if they do not
  private void checkMoments(DualMomentsKernel kernel, int width) {
    try (Memory memory = new Memory(driver)) {
      MomentsByProducts products = new MomentsByProducts(driver, libraries.get(MathMode.TF32), MathMode.TF32);
      Batch ours = Batch.of(memory, sizes.samples(), width,
          Math.max(kernel.workspace(MathMode.TF32, sizes.samples(), width, width),
              products.workspace(sizes.samples(), width, width)));
      addMoments(kernel, MathMode.TF32, ours);
      float[] second = firstRow(ours.m2());
      driver.fill(ours.m2().address(), ours.m2().bytes(), (byte) 0);
      addMoments(products, ours);
      Inputs.requireClose("dual_moments " + width, firstRow(ours.m2()), second, 0x1p-8);
    }
  }

  private float[] firstRow(DeviceMatrix matrix) {
    long bytes = (long) matrix.columns() * Float.BYTES;
    HostMemory host = driver.allocateHost(bytes);
    driver.copyOut(matrix.address(), host, 0, bytes, Stream.COMPUTE);
    driver.synchronize();
    float[] row = host.segment().asSlice(0, bytes).toArray(ValueLayout.JAVA_FLOAT);
    driver.free(host);
    return row;
  }

  private void products() {
    try (Memory own = new Memory(driver)) {
      LIBRARIES.forEach(mode -> products("product", own(driver, own, mode), mode));
    }
    LIBRARIES.forEach(mode -> products("library", libraries.get(mode), mode));
  }

  private void products(String name, MatrixProducts products, MathMode mode) {
    int width = sizes.width();
    int tall = sizes.samples();
    Function<Memory, MatrixBlock[]> operands = memory -> tallOperands(memory, tall, width);
    table.add(name + ", forward " + mode, shape(tall, width, width), product(mode, tall, width), operands,
        m -> products.multiply(1, m[0], false, m[1], true, 0, m[2]));
    table.add(name + ", backward " + mode, shape(tall, width, width), product(mode, tall, width), operands,
        m -> products.multiply(1, m[0], false, m[1], false, 0, m[2]));
    table.add(name + ", gradients " + mode, shape(width, width, tall), product(mode, tall, width), operands,
        m -> products.multiply(1, m[0], true, m[2], false, 0, m[1]));
  }

  /// Of a tall matrix and a square one, in any of the three orders.
  private static Cost product(MathMode mode, int tall, int width) {
    return Cost.ofProducts(mode, 2.0 * tall * width * width,
        (2.0 * tall * width + (double) width * width) * Float.BYTES);
  }

  private static MatrixBlock[] tallOperands(Memory memory, int tall, int width) {
    return new MatrixBlock[]{MatrixBlock.of(memory.matrix(tall, width)), MatrixBlock.of(memory.matrix(width, width)),
        MatrixBlock.of(memory.matrix(tall, width))};
  }

  /// By 2:4 weights, and by as many dense ones, which the library takes as bfloat16 in memory, or as float32.
  private void sparseProducts(int samples) {
    int width = sizes.width();
    String shape = shape(samples, width, width);
    SparseProductKernel kernel = new SparseProductKernel(driver);
    double elements = (double) width * width;
    double values = 2.0 * samples * width * Float.BYTES;
    table.add("sparse_product 2:4 " + MathMode.BF16, shape,
        forward(samples, samples * elements, SparseWeights.bytes(width, width) + values), memory -> {
          DeviceMatrix x = memory.matrix(samples, width);
          DeviceMatrix c = memory.matrix(samples, width);
          SparseWeights weights = sparse(memory, width);
          DeviceBuffer workspace = memory.buffer(kernel.workspace(samples, width, width), 0);
          return (Runnable) () -> kernel.multiply(x, weights, c, workspace);
        }, Runnable::run);
    if (libraries.get(MathMode.BF16) instanceof CublasProducts cublas) {
      table.add("library, forward of few, bfloat16 in memory", shape,
          forward(samples, 2 * samples * elements, elements * Short.BYTES + values), memory -> {
            DeviceBuffer x = bfloat16(kernel, memory, samples, width);
            DeviceBuffer weights = bfloat16(kernel, memory, width, width);
            DeviceMatrix c = memory.matrix(samples, width);
            return (Runnable) () -> cublas.multiplyBfloat16(x, weights, width, c);
          }, Runnable::run);
    }
    for (MathMode mode : List.of(MathMode.BF16, MathMode.TF32)) {
      table.add("library, forward of few " + mode, shape,
          forward(samples, 2 * samples * elements, elements * Float.BYTES + values),
          memory -> tallOperands(memory, samples, width),
          m -> libraries.get(mode).multiply(1, m[0], false, m[1], true, 0, m[2]));
    }
  }

  /// Random numbers, of which no order matters.
  private static DeviceBuffer bfloat16(SparseProductKernel kernel, Memory memory, int rows, int columns) {
    DeviceBuffer rounded = memory.buffer(SparseProductKernel.roundedBytes(rows, columns), 0);
    kernel.round(memory.matrix(rows, columns), rounded);
    return rounded;
  }

  private static Cost forward(int samples, double operations, double bytes) {
    return samples < MANY_SAMPLES ? Cost.ofMemory(bytes) : Cost.ofProducts(MathMode.BF16, operations, bytes);
  }

  /// Random 2:4 weights, outputs and inputs alike.
  private SparseWeights sparse(Memory memory, int width) {
    DeviceBuffer packed = memory.buffer(SparseWeights.bytes(width, width), 0);
    if (hostPacked == null) {
      hostPacked = packed(width, (int) packed.bytes());
    }
    HostMemory host = driver.allocateHost(packed.bytes());
    host.segment().copyFrom(MemorySegment.ofArray(hostPacked));
    driver.copyIn(host, 0, packed.address(), packed.bytes(), Stream.COMPUTE);
    driver.synchronize();
    driver.free(host);
    return new SparseWeights(packed, width, width);
  }

  private static byte[] packed(int width, int bytes) {
    SplittableRandom random = new SplittableRandom(1);
    float[] weights = new float[width * width];
    for (int first = 0; first < weights.length; first += 4) {
      int zero = random.nextInt(4);
      for (int k = 0; k < Math.min(4, weights.length - first); k++) {
        weights[first + k] = (k - zero) % 2 == 0 ? 0 : (float) random.nextGaussian();
      }
    }
    byte[] packed = new byte[bytes];
    SparseWeights.pack("random", width, width, MemorySegment.ofArray(weights), MemorySegment.ofArray(packed));
    return packed;
  }

  // ---- bound by memory ----

  private static DeviceMatrix[] matrices(Memory memory, int count, int rows, int columns) {
    DeviceMatrix[] matrices = new DeviceMatrix[count];
    for (int i = 0; i < count; i++) {
      matrices[i] = memory.matrix(rows, columns);
    }
    return matrices;
  }

  private void dense() {
    DenseForwardKernel kernel = new DenseForwardKernel(driver);
    int rows = sizes.rows();
    int width = sizes.width();
    int copies = sizes.copies();
    double elements = (double) rows * width;
    String plain = shape(rows, width);
    String stacked = shape(copies, rows, width);
    Function<Memory, DeviceMatrix[]> forward = memory -> new DeviceMatrix[]{memory.matrix(rows, width),
        memory.matrix(1, width), memory.matrix(rows, width)};
    for (Nonlinearity nonlinearity : List.of(Nonlinearity.RELU, Nonlinearity.GELU)) {
      table.add("dense_forward " + nonlinearity, plain, Cost.ofMemory(12 * elements), forward,
          m -> kernel.forward(nonlinearity, m[0], m[1], m[2]));
    }
    table.add("add_bias", plain, Cost.ofMemory(8 * elements), forward, m -> kernel.addBias(m[0], m[1]));
    table.add("activation alone, gelu", plain, Cost.ofMemory(8 * elements), forward,
        m -> kernel.activate(Nonlinearity.GELU, m[0], m[2]));
    table.add("softmax_forward", plain, Cost.ofMemory(12 * elements), forward,
        m -> kernel.softmaxForward(m[0], m[1], m[2]));
    Function<Memory, DeviceMatrix[]> backward = memory -> new DeviceMatrix[]{memory.matrix(rows, width),
        memory.matrix(copies * rows, width), memory.matrix(copies * rows, width), memory.matrix(rows, width)};
    for (Nonlinearity nonlinearity : List.of(Nonlinearity.RELU, Nonlinearity.GELU)) {
      table.add("dense_backward " + nonlinearity, stacked, Cost.ofMemory((8.0 * copies + 12) * elements), backward,
          m -> kernel.backwardAddingSquares(nonlinearity, m[0], m[1], m[2], m[3], 1));
    }
    table.add("softmax_backward", stacked, Cost.ofMemory((8.0 * copies + 12) * elements), backward,
        m -> kernel.softmaxBackwardAddingSquares(m[0], m[1], m[2], m[3], 1));
    table.add("add_squares", stacked, Cost.ofMemory((4.0 * copies + 8) * elements), backward,
        m -> kernel.addSquares(1, m[1], m[3]));
  }

  private void scoresAndCuts() {
    int width = sizes.width();
    double elements = (double) width * width;
    String shape = shape(width, width);
    EliminationScoresKernel scores = new EliminationScoresKernel(driver);
    table.add("elimination_scores", shape, Cost.ofMemory(20 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      // Bytes 0x42 are 48.6: dividing by small numbers time and again would end in infinities.
      DeviceMatrix m0 = new DeviceMatrix(memory.buffer((long) width * Float.BYTES, 0x42).address(), 1, width);
      DeviceMatrix pilot = memory.matrix(1, width);
      return (Runnable) () -> scores.scores(m[0], m0, m[1], m[2], pilot, 1);
    }, Runnable::run);
    table.add("cancelled", shape, Cost.ofMemory(12 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      DeviceMatrix m0 = memory.matrix(1, width);
      DeviceMatrix largest = memory.matrix(1, width);
      return (Runnable) () -> scores.cancelled(m[0], m0, m[1], m[2], 1e-3, largest);
    }, Runnable::run);
    table.add("absolute_product", shape, Cost.ofMemory(12 * elements), memory -> matrices(memory, 3, width, width),
        m -> scores.absoluteProduct(1, m[0], m[1], m[2]));
    table.add("add_outer_product", shape, Cost.ofMemory(8 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 1, width, width);
      DeviceMatrix column = memory.matrix(1, width);
      DeviceMatrix row = memory.matrix(1, width);
      return (Runnable) () -> scores.addOuterProduct(0.8, m[0], 1e-3, column, row);
    }, Runnable::run);
    ApplyKernel apply = new ApplyKernel(driver);
    table.add("apply", shape, Cost.ofMemory(20 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      DeviceMatrix bias = memory.matrix(1, width);
      DeviceBuffer removed = memory.buffer(ApplyKernel.REMOVED_BYTES, 0);
      ApplyKernel.Cut cut = new ApplyKernel.Cut(m[0], 0.5f, 1, memory.buffer(ApplyKernel.workspace(width), 0));
      return (Runnable) () -> apply.remove(cut, m[1], removed, bias, m[2]);
    }, Runnable::run);
    SelectKernel select = new SelectKernel(driver);
    table.add("rank_zeros_first", shape, Cost.ofMemory(12 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 2, width, width);
      DeviceBuffer first = memory.buffer(Long.BYTES, -1);
      return (Runnable) () -> select.rankZerosFirst(m[0], m[1], first);
    }, Runnable::run);
    for (int group : new int[]{4, width}) {
      table.add("keep_per_group of " + group, shape, Cost.ofMemory(8 * elements),
          memory -> matrices(memory, 2, width, width), m -> select.keepPerGroup(m[0], m[1], group, group / 2.0));
    }
  }

  private void small() {
    int rows = sizes.rows();
    int width = sizes.width();
    double elements = (double) rows * width;
    String shape = shape(rows, width);
    ReductionsKernel reductions = new ReductionsKernel(driver);
    table.add("column_sums", shape, Cost.ofMemory(4 * elements), memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceMatrix y = memory.matrix(1, width);
      DeviceBuffer workspace = memory.buffer(reductions.columnSumsWorkspace(rows, width), 0);
      return (Runnable) () -> reductions.columnSums(1, x, 0, y, workspace);
    }, Runnable::run);
    table.add("column_square_sums", shape, Cost.ofMemory(4 * elements), memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceMatrix y = memory.matrix(1, width);
      DeviceBuffer workspace = memory.buffer(reductions.columnSumsWorkspace(rows, width), 0);
      return (Runnable) () -> reductions.columnSquareSums(1, x, 0, y, workspace);
    }, Runnable::run);
    table.add("first_non_finite", shape, Cost.ofMemory(4 * elements), memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceBuffer first = memory.buffer(Long.BYTES, -1);
      return (Runnable) () -> reductions.firstNonFinite(x, first);
    }, Runnable::run);
    UpdatesKernel updates = new UpdatesKernel(driver);
    table.add("axpy", shape, Cost.ofMemory(12 * elements), memory -> matrices(memory, 2, rows, width),
        m -> updates.add(1, m[0], m[1]));
    table.add("copy_columns", shape, Cost.ofMemory(8 * elements), memory -> halves(memory, rows, width),
        b -> updates.copyColumns(b[0], b[1]));
    table.add("add_columns", shape, Cost.ofMemory(12 * elements), memory -> halves(memory, rows, width),
        b -> updates.addColumns(b[0], b[1]));
    table.add("transpose", shape, Cost.ofMemory(8 * elements),
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), memory.matrix(width, rows)},
        m -> updates.transpose(MatrixBlock.of(m[0]), m[1]));
    table.add("gather_rows", shape, Cost.ofMemory(8 * elements),
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), shuffled(memory, rows), memory.matrix(rows, width)},
        m -> updates.gatherRows(m[0], m[1], 0, m[2]));
    table.add("gather_columns", shape, Cost.ofMemory(8 * elements),
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), shuffled(memory, width), memory.matrix(rows, width)},
        m -> updates.gatherColumns(m[0], m[1], m[2]));
    table.add("multiply by a row", shape, Cost.ofMemory(8 * elements),
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), memory.matrix(1, width), memory.matrix(rows, width)},
        m -> updates.multiply(m[0], m[1], m[2]));
    table.add("add_multiplied", shape, Cost.ofMemory(16 * elements), memory -> matrices(memory, 3, rows, width),
        m -> updates.addMultiplied(m[0], m[1], m[2]));
    NormalizationKernel normalization = new NormalizationKernel(driver);
    table.add("normalize", shape, Cost.ofMemory(8 * elements), memory -> matrices(memory, 2, rows, width),
        m -> normalization.normalize(true, 1e-5, m[0], m[1]));
    table.add("normalize_backward", shape, Cost.ofMemory(16 * elements), memory -> matrices(memory, 4, rows, width),
        m -> normalization.backward(true, 1e-5, m[0], m[1], m[2], m[3]));
    table.add("adam", shape, Cost.ofMemory(28 * elements), memory -> matrices(memory, 4, rows, width),
        m -> updates.adamStep(m[0], m[1], m[2], m[3], 1e-3, 0.9, 0.999, 1e-8, 1, true));
    LossesKernel losses = new LossesKernel(driver);
    Function<Memory, DeviceMatrix[]> loss = memory -> new DeviceMatrix[]{memory.matrix(rows, width),
        memory.matrix(rows, width), memory.matrix(rows, width), memory.matrix(rows, 1)};
    table.add("cross_entropy", shape, Cost.ofMemory(12 * elements), loss,
        m -> losses.crossEntropy(m[0], m[1], m[2], m[3]));
    table.add("squared_error", shape, Cost.ofMemory(12 * elements), loss,
        m -> losses.squaredError(m[0], m[1], m[2], m[3]));
    SolvingKernel solving = new SolvingKernel(driver);
    table.add("subtract_row", shape, Cost.ofMemory(8 * elements),
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), memory.matrix(1, width), memory.matrix(rows, width)},
        m -> solving.subtractRow(m[0], m[1], m[2]));
    table.add("add_carrying", shape, Cost.ofMemory(20 * elements), memory -> matrices(memory, 3, rows, width),
        m -> solving.addCarrying(m[0], m[1], m[2]));
    table.add("add_where_nonzero", shape, Cost.ofMemory(12 * elements), memory -> matrices(memory, 2, rows, width),
        m -> solving.addWhereNonzero(m[0], m[1]));
    table.add("conjugate_gradient_step", shape, Cost.ofMemory(32 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 5, rows, width);
      DeviceMatrix diagonal = memory.matrix(1, width);
      DeviceMatrix norms = memory.matrix(rows, 2);
      return (Runnable) () -> solving.conjugateGradientStep(m[0], diagonal, 1, m[1], m[2], m[3], m[4], norms);
    }, Runnable::run);
    table.add("add_product", shape, Cost.ofMemory(16 * elements), memory -> matrices(memory, 3, rows, width),
        m -> solving.addProduct(1, m[0], m[1], m[2]));
    table.add("divide", shape, Cost.ofMemory(16 * elements), memory -> matrices(memory, 4, rows, width),
        m -> solving.divide(m[0], m[1], m[2], 1, 1, m[3]));
    table.add("dot", shape, Cost.ofMemory(8 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 2, rows, width);
      DeviceBuffer workspace = memory.buffer(solving.dotWorkspace(m[0].elements()), 0);
      DeviceBuffer total = memory.buffer(Double.BYTES, 0);
      return (Runnable) () -> solving.dot(m[0], m[1], workspace, total);
    }, Runnable::run);
    RandomKernel random = new RandomKernel(driver);
    table.add("rademacher", shape, Cost.ofMemory(4 * elements), memory -> {
      DeviceMatrix m = memory.matrix(rows, width);
      DeviceBuffer origin = memory.buffer(RandomKernel.ORIGIN_BYTES, 0);
      return (Runnable) () -> random.rademacherVectors(m, rows, 0, origin);
    }, Runnable::run);
    table.add("fisher_vectors", shape, Cost.ofMemory(8 * elements), memory -> matrices(memory, 2, rows, width),
        m -> random.fisherVectors(m[0], m[1], 0, 1));
    table.add("drawn_fisher_vectors", shape, Cost.ofMemory(8 * elements), memory -> {
      DeviceMatrix[] m = matrices(memory, 2, rows, width);
      DeviceBuffer origin = memory.buffer(RandomKernel.ORIGIN_BYTES, 0);
      return (Runnable) () -> random.drawnFisherVectors(m[0], m[1], 0, origin, 1);
    }, Runnable::run);
    table.add("uniform", shape, Cost.ofMemory(4 * elements), memory -> memory.matrix(rows, width),
        m -> random.uniform(m, 1, 1));
  }

  /// All numbers below `count` as integers, neighbours far from one another.
  private DeviceMatrix shuffled(Memory memory, int count) {
    DeviceMatrix numbers = memory.matrix(1, count);
    HostMemory host = driver.allocateHost(numbers.bytes());
    for (int i = 0; i < count; i++) {
      host.segment().setAtIndex(ValueLayout.JAVA_INT, i, (int) (7919L * i % count)); // 7919 is a prime
    }
    driver.copyIn(host, 0, numbers.address(), numbers.bytes(), Stream.COMPUTE);
    driver.synchronize();
    driver.free(host);
    return numbers;
  }

  /// The left halves of two matrices.
  private static MatrixBlock[] halves(Memory memory, int rows, int columns) {
    return new MatrixBlock[]{MatrixBlock.of(memory.matrix(rows, 2 * columns)).columns(0, columns),
        MatrixBlock.of(memory.matrix(rows, 2 * columns)).columns(0, columns)};
  }

  /// Counted as four passes over the scores: three that find the cut, one that counts.
  private void selection(long scores) {
    SelectKernel select = new SelectKernel(driver);
    int rows = Math.toIntExact(scores / SCORE_COLUMNS);
    table.add("select, 4 passes", "%,d".formatted(scores), Cost.ofMemory(16.0 * scores), memory -> {
      DeviceMatrix matrix = memory.matrix(rows, SCORE_COLUMNS);
      DeviceBuffer state = memory.buffer(SelectKernel.STATE_BYTES, 0);
      DeviceBuffer counts = memory.buffer(SelectKernel.COUNTS_BYTES, 0);
      return (Runnable) () -> {
        select.select(List.of(matrix), scores / 2, state);
        select.count(matrix, state, counts);
      };
    }, Runnable::run);
  }
}
