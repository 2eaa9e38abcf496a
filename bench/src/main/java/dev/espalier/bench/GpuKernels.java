package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import dev.espalier.bench.GpuTimer.Times;
import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.kernels.ApplyKernel;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DenseForwardKernel;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.DeviceMemoryException;
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
import dev.espalier.kernels.Nonlinearity;
import dev.espalier.kernels.NormalizationKernel;
import dev.espalier.kernels.ProductKernel;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.ReductionsKernel;
import dev.espalier.kernels.SelectKernel;
import dev.espalier.kernels.SolvingKernel;
import dev.espalier.kernels.UpdatesKernel;
import java.io.PrintStream;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.Function;

/// Times every kernel on a GPU, and prints each as a share of what bounds it on that GPU, measured in the same run: the
/// rate of a large TF32 product, by cuBLAS where there is one, or the bandwidth of a copy in device memory.
public final class GpuKernels {
  /// How large everything is.
  ///
  /// @param samples of a batch for moments
  /// @param rows of what is bound by memory
  /// @param width of layers, and of the product that sets the limit twice that
  /// @param momentWidths of layers, for the moments
  /// @param copies stacked gradients
  /// @param scores to select from
  /// @param copyBytes of the copy that sets the limit
  record Sizes(int samples, int rows, int width, List<Integer> momentWidths, int copies, List<Long> scores,
      long copyBytes, int warmUps, int repeats, long rotation) {
    static final Sizes FULL = new Sizes(32_768, 4096, 4096, List.of(128, 256, 512, 1024, 2048, 4096), 16,
        List.of(10_000_000L, 100_000_000L, 1_000_000_000L), 1L << 30, 3, 15, 1L << 29);
    /// To see that all of it runs.
    static final Sizes TINY = new Sizes(40, 16, 36, List.of(20), 2, List.of(1000L), 1 << 12, 1, 3, 1 << 14);
  }

  private static final int SCORE_COLUMNS = 1000;

  private final Driver driver;
  private final MatrixProducts library;
  private final Sizes sizes;
  private final PrintStream out;
  private final GpuTimer timer;
  private double matrixRate;
  private double bandwidth;

  /// @param library whose products set the limit, and are the alternative to one pass over the moments
  GpuKernels(Driver driver, MatrixProducts library, Sizes sizes, PrintStream out) {
    this.driver = driver;
    this.library = library;
    this.sizes = sizes;
    this.out = out;
    timer = new GpuTimer(driver, sizes.warmUps(), sizes.repeats(), sizes.rotation());
  }

  /// @param args `--tiny` to see that all of it runs, in seconds
  public static void main(String[] args) {
    String problem = JCudaLoader.problem()
        .orElse(CudaGpu.isBuilt() ? "" : "this build has no GPU kernels: install CUDA's nvcc and build it again");
    if (!problem.isEmpty()) {
      System.err.println("GpuKernels: no GPU to measure: " + problem);
      System.exit(1);
    }
    try (CudaGpu gpu = new CudaGpu(0); Memory memory = new Memory(gpu); MatrixProducts library = library(gpu, memory)) {
      System.out.println("before: " + GpuState.now());
      new GpuKernels(gpu, library, List.of(args).contains("--tiny") ? Sizes.TINY : Sizes.FULL, System.out).run();
      gpu.synchronize();
      System.out.printf("%nafter: %s%n", GpuState.now());
    }
  }

  /// TF32 products by cuBLAS, or by our own kernels where there is none.
  private static MatrixProducts library(CudaGpu gpu, Memory memory) {
    try {
      return new CublasProducts(gpu, MathMode.TF32, memory.buffer(CublasProducts.WORKSPACE_BYTES, 0));
    } catch (NativeLibraryException e) {
      System.err.println("GpuKernels: the limit is our own product's: " + e.getMessage());
      return own(gpu, memory, MathMode.TF32);
    }
  }

  /// Our own products.
  static MatrixProducts own(Driver driver, Memory memory, MathMode mode) {
    ProductKernel kernel = new ProductKernel(driver);
    return new KernelProducts(kernel, mode, memory.buffer(kernel.largestWorkspace(mode), 0));
  }

  /// Measures the limits, then every kernel.
  void run() {
    measureLimits();
    out.printf("%n| kernel | shape | time | rate | of the limit | spread |%n|---|---|---|---|---|---|%n");
    sizes.momentWidths().forEach(this::moments);
    products();
    dense();
    scoresAndCuts();
    small();
    sizes.scores().forEach(this::selection);
  }

  private void measureLimits() {
    int width = 2 * sizes.width();
    Times product = timer.time(memory -> squareMatrices(memory, width),
        m -> library.multiply(1, m[0], false, m[1], true, 0, m[2]));
    matrixRate = 2.0 * width * width * width / product.median();
    Times copy = timer.time(
        memory -> new DeviceBuffer[]{memory.buffer(sizes.copyBytes(), 0), memory.buffer(sizes.copyBytes(), 0)},
        b -> driver.copy(b[0].address(), b[1].address(), sizes.copyBytes()));
    bandwidth = 2.0 * sizes.copyBytes() / copy.median();
    out.printf(Locale.ROOT, "%s, %d multiprocessors%n", driver.name(), driver.multiprocessors());
    out.printf(Locale.ROOT, "matrix rate: %.4g TFLOP/s, TF32, %d³, %s%n", matrixRate * 1e-12, width,
        library.description());
    out.printf(Locale.ROOT, "bandwidth: %.4g GB/s, read and written, copying %d bytes%n", bandwidth * 1e-9,
        sizes.copyBytes());
  }

  private static MatrixBlock[] squareMatrices(Memory memory, int width) {
    return new MatrixBlock[]{MatrixBlock.of(memory.matrix(width, width)), MatrixBlock.of(memory.matrix(width, width)),
        MatrixBlock.of(memory.matrix(width, width))};
  }

  // ---- rows of the table ----

  /// @param flops 0 if memory is what bounds it
  private <T> void measure(String kernel, String shape, double flops, double bytes, Function<Memory, T> operands,
      Consumer<T> work) {
    Times times;
    try {
      times = timer.time(operands, work);
    } catch (DeviceMemoryException e) {
      out.printf("| %s | %s | not measured: %s | | | |%n", kernel, shape, e.getMessage());
      return;
    }
    double done = flops > 0 ? flops : bytes;
    double limit = flops > 0 ? matrixRate : bandwidth;
    out.printf(Locale.ROOT, "| %s | %s | %.4g ms | %s | %.1f %% | %.1f–%.1f %% |%n", kernel, shape,
        times.median() * 1e3,
        flops > 0
            ? "%.4g TFLOP/s".formatted(done / times.median() * 1e-12)
            : "%.4g GB/s".formatted(done / times.median() * 1e-9),
        100 * done / times.median() / limit, 100 * done / times.most() / limit, 100 * done / times.least() / limit);
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
  private record Batch(DeviceMatrix s, DeviceMatrix a, DeviceMatrix squares, DeviceMatrix pilot, DeviceMatrix m0,
      DeviceMatrix m1, DeviceMatrix m2, DeviceBuffer workspace) {
    static Batch of(Memory memory, int samples, int width, long workspace) {
      return new Batch(memory.matrix(samples, width), memory.matrix(samples, width), memory.matrix(samples, width),
          zeros(memory, 1, width), zeros(memory, 1, width), zeros(memory, width, width), zeros(memory, width, width),
          memory.buffer(workspace, 0));
    }

    private static DeviceMatrix zeros(Memory memory, int rows, int columns) {
      return new DeviceMatrix(memory.buffer((long) rows * columns * Float.BYTES, 0).address(), rows, columns);
    }
  }

  private void moments(int width) {
    DualMomentsKernel kernel = new DualMomentsKernel(driver);
    int samples = sizes.samples();
    double flops = 4.0 * samples * width * width;
    checkMoments(kernel, width);
    for (MathMode mode : List.of(MathMode.TF32, MathMode.FP32)) {
      measure("dual_moments " + mode, shape(samples, width, width), flops, 0,
          memory -> Batch.of(memory, samples, width, kernel.workspace(mode, samples, width, width)),
          b -> addMoments(kernel, mode, b));
    }
    measure("squares and two products", shape(samples, width, width), flops, 0,
        memory -> Batch.of(memory, samples, width, 1), this::addMomentsByProducts);
  }

  private static void addMoments(DualMomentsKernel kernel, MathMode mode, Batch b) {
    kernel.addMoments(mode, b.s(), b.a(), b.pilot(), b.m0(), b.m1(), b.m2(), b.workspace());
  }

  /// What a library offers: M0 and the shift are left out, in its favour.
  private void addMomentsByProducts(Batch b) {
    new EliminationScoresKernel(driver).absoluteProduct(1, b.a(), b.a(), b.squares());
    library.multiply(1, MatrixBlock.of(b.s()), true, MatrixBlock.of(b.a()), false, 1, MatrixBlock.of(b.m1()));
    library.multiply(1, MatrixBlock.of(b.s()), true, MatrixBlock.of(b.squares()), false, 1, MatrixBlock.of(b.m2()));
  }

  /// Both ways to the moments must agree: all terms are positive, so by TF32's rounding of a product's three factors.
  ///
  /// @throws IllegalStateException if they do not
  private void checkMoments(DualMomentsKernel kernel, int width) {
    try (Memory memory = new Memory(driver)) {
      Batch ours = Batch.of(memory, sizes.samples(), width,
          kernel.workspace(MathMode.TF32, sizes.samples(), width, width));
      addMoments(kernel, MathMode.TF32, ours);
      float[] second = firstRow(ours.m2());
      driver.fill(ours.m2().address(), ours.m2().bytes(), (byte) 0);
      addMomentsByProducts(ours);
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
    int width = sizes.width();
    int tall = sizes.samples();
    double flops = 2.0 * width * width;
    try (Memory own = new Memory(driver)) {
      for (MathMode mode : List.of(MathMode.TF32, MathMode.FP32)) {
        MatrixProducts products = own(driver, own, mode);
        measure("product, forward " + mode, shape(tall, width, width), flops * tall, 0,
            memory -> tallOperands(memory, tall, width), m -> products.multiply(1, m[0], false, m[1], true, 0, m[2]));
        measure("product, backward " + mode, shape(tall, width, width), flops * tall, 0,
            memory -> tallOperands(memory, tall, width), m -> products.multiply(1, m[0], false, m[1], false, 0, m[2]));
        measure("product, gradients " + mode, shape(width, width, tall), flops * tall, 0,
            memory -> tallOperands(memory, tall, width), m -> products.multiply(1, m[0], true, m[2], false, 0, m[1]));
      }
    }
    measure("library, forward", shape(tall, width, width), flops * tall, 0, memory -> tallOperands(memory, tall, width),
        m -> library.multiply(1, m[0], false, m[1], true, 0, m[2]));
  }

  private static MatrixBlock[] tallOperands(Memory memory, int tall, int width) {
    return new MatrixBlock[]{MatrixBlock.of(memory.matrix(tall, width)), MatrixBlock.of(memory.matrix(width, width)),
        MatrixBlock.of(memory.matrix(tall, width))};
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
      measure("dense_forward " + nonlinearity, plain, 0, 12 * elements, forward,
          m -> kernel.forward(nonlinearity, m[0], m[1], m[2]));
    }
    measure("add_bias", plain, 0, 8 * elements, forward, m -> kernel.addBias(m[0], m[1]));
    measure("activation alone, gelu", plain, 0, 8 * elements, forward,
        m -> kernel.activate(Nonlinearity.GELU, m[0], m[2]));
    measure("softmax_forward", plain, 0, 12 * elements, forward, m -> kernel.softmaxForward(m[0], m[1], m[2]));
    Function<Memory, DeviceMatrix[]> backward = memory -> new DeviceMatrix[]{memory.matrix(rows, width),
        memory.matrix(copies * rows, width), memory.matrix(copies * rows, width), memory.matrix(rows, width)};
    for (Nonlinearity nonlinearity : List.of(Nonlinearity.RELU, Nonlinearity.GELU)) {
      measure("dense_backward " + nonlinearity, stacked, 0, (8.0 * copies + 12) * elements, backward,
          m -> kernel.backwardAddingSquares(nonlinearity, m[0], m[1], m[2], m[3], 1));
    }
    measure("softmax_backward", stacked, 0, (8.0 * copies + 12) * elements, backward,
        m -> kernel.softmaxBackwardAddingSquares(m[0], m[1], m[2], m[3], 1));
    measure("add_squares", stacked, 0, (4.0 * copies + 8) * elements, backward, m -> kernel.addSquares(1, m[1], m[3]));
  }

  private void scoresAndCuts() {
    int width = sizes.width();
    double elements = (double) width * width;
    String shape = shape(width, width);
    EliminationScoresKernel scores = new EliminationScoresKernel(driver);
    measure("elimination_scores", shape, 0, 20 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      // Bytes 0x42 are 48.6: dividing by small numbers time and again would end in infinities.
      DeviceMatrix m0 = new DeviceMatrix(memory.buffer((long) width * Float.BYTES, 0x42).address(), 1, width);
      DeviceMatrix pilot = memory.matrix(1, width);
      return (Runnable) () -> scores.scores(m[0], m0, m[1], m[2], pilot, 1);
    }, Runnable::run);
    measure("cancelled", shape, 0, 12 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      DeviceMatrix m0 = memory.matrix(1, width);
      DeviceMatrix largest = memory.matrix(1, width);
      return (Runnable) () -> scores.cancelled(m[0], m0, m[1], m[2], 1e-3, largest);
    }, Runnable::run);
    measure("absolute_product", shape, 0, 12 * elements, memory -> matrices(memory, 3, width, width),
        m -> scores.absoluteProduct(1, m[0], m[1], m[2]));
    ApplyKernel apply = new ApplyKernel(driver);
    measure("apply", shape, 0, 20 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 3, width, width);
      DeviceMatrix bias = memory.matrix(1, width);
      DeviceBuffer removed = memory.buffer(ApplyKernel.REMOVED_BYTES, 0);
      ApplyKernel.Cut cut = new ApplyKernel.Cut(m[0], 0.5f, 1, memory.buffer(ApplyKernel.workspace(width), 0));
      return (Runnable) () -> apply.remove(cut, m[1], removed, bias, m[2]);
    }, Runnable::run);
    SelectKernel select = new SelectKernel(driver);
    measure("rank_zeros_first", shape, 0, 12 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 2, width, width);
      DeviceBuffer first = memory.buffer(Long.BYTES, -1);
      return (Runnable) () -> select.rankZerosFirst(m[0], m[1], first);
    }, Runnable::run);
    for (int group : new int[]{4, width}) {
      measure("keep_per_group of " + group, shape, 0, 8 * elements, memory -> matrices(memory, 2, width, width),
          m -> select.keepPerGroup(m[0], m[1], group, group / 2.0));
    }
  }

  private void small() {
    int rows = sizes.rows();
    int width = sizes.width();
    double elements = (double) rows * width;
    String shape = shape(rows, width);
    ReductionsKernel reductions = new ReductionsKernel(driver);
    measure("column_sums", shape, 0, 4 * elements, memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceMatrix y = memory.matrix(1, width);
      DeviceBuffer workspace = memory.buffer(reductions.columnSumsWorkspace(rows, width), 0);
      return (Runnable) () -> reductions.columnSums(1, x, 0, y, workspace);
    }, Runnable::run);
    measure("column_square_sums", shape, 0, 4 * elements, memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceMatrix y = memory.matrix(1, width);
      DeviceBuffer workspace = memory.buffer(reductions.columnSumsWorkspace(rows, width), 0);
      return (Runnable) () -> reductions.columnSquareSums(1, x, 0, y, workspace);
    }, Runnable::run);
    measure("first_non_finite", shape, 0, 4 * elements, memory -> {
      DeviceMatrix x = memory.matrix(rows, width);
      DeviceBuffer first = memory.buffer(Long.BYTES, -1);
      return (Runnable) () -> reductions.firstNonFinite(x, first);
    }, Runnable::run);
    UpdatesKernel updates = new UpdatesKernel(driver);
    measure("axpy", shape, 0, 12 * elements, memory -> matrices(memory, 2, rows, width),
        m -> updates.add(1, m[0], m[1]));
    measure("copy_columns", shape, 0, 8 * elements, memory -> halves(memory, rows, width),
        b -> updates.copyColumns(b[0], b[1]));
    measure("add_columns", shape, 0, 12 * elements, memory -> halves(memory, rows, width),
        b -> updates.addColumns(b[0], b[1]));
    measure("multiply by a row", shape, 0, 8 * elements,
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), memory.matrix(1, width), memory.matrix(rows, width)},
        m -> updates.multiply(m[0], m[1], m[2]));
    measure("add_multiplied", shape, 0, 16 * elements, memory -> matrices(memory, 3, rows, width),
        m -> updates.addMultiplied(m[0], m[1], m[2]));
    NormalizationKernel normalization = new NormalizationKernel(driver);
    measure("normalize", shape, 0, 8 * elements, memory -> matrices(memory, 2, rows, width),
        m -> normalization.normalize(true, 1e-5, m[0], m[1]));
    measure("normalize_backward", shape, 0, 16 * elements, memory -> matrices(memory, 4, rows, width),
        m -> normalization.backward(true, 1e-5, m[0], m[1], m[2], m[3]));
    measure("adam", shape, 0, 28 * elements, memory -> matrices(memory, 4, rows, width),
        m -> updates.adamStep(m[0], m[1], m[2], m[3], 1e-3, 0.9, 0.999, 1e-8, 1, true));
    LossesKernel losses = new LossesKernel(driver);
    Function<Memory, DeviceMatrix[]> loss = memory -> new DeviceMatrix[]{memory.matrix(rows, width),
        memory.matrix(rows, width), memory.matrix(rows, width), memory.matrix(rows, 1)};
    measure("cross_entropy", shape, 0, 12 * elements, loss, m -> losses.crossEntropy(m[0], m[1], m[2], m[3]));
    measure("squared_error", shape, 0, 12 * elements, loss, m -> losses.squaredError(m[0], m[1], m[2], m[3]));
    SolvingKernel solving = new SolvingKernel(driver);
    measure("subtract_row", shape, 0, 8 * elements,
        memory -> new DeviceMatrix[]{memory.matrix(rows, width), memory.matrix(1, width), memory.matrix(rows, width)},
        m -> solving.subtractRow(m[0], m[1], m[2]));
    measure("add_carrying", shape, 0, 20 * elements, memory -> matrices(memory, 3, rows, width),
        m -> solving.addCarrying(m[0], m[1], m[2]));
    measure("add_where_nonzero", shape, 0, 12 * elements, memory -> matrices(memory, 2, rows, width),
        m -> solving.addWhereNonzero(m[0], m[1]));
    measure("conjugate_gradient_step", shape, 0, 48 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 5, rows, width);
      DeviceMatrix diagonal = memory.matrix(1, width);
      DeviceMatrix norms = memory.matrix(rows, 2);
      return (Runnable) () -> solving.conjugateGradientStep(m[0], diagonal, 1, m[1], m[2], m[3], m[4], norms);
    }, Runnable::run);
    measure("add_product", shape, 0, 16 * elements, memory -> matrices(memory, 3, rows, width),
        m -> solving.addProduct(1, m[0], m[1], m[2]));
    measure("divide", shape, 0, 16 * elements, memory -> matrices(memory, 4, rows, width),
        m -> solving.divide(m[0], m[1], m[2], 1, 1, m[3]));
    measure("dot", shape, 0, 8 * elements, memory -> {
      DeviceMatrix[] m = matrices(memory, 2, rows, width);
      DeviceBuffer workspace = memory.buffer(solving.dotWorkspace(m[0].elements()), 0);
      DeviceBuffer total = memory.buffer(Double.BYTES, 0);
      return (Runnable) () -> solving.dot(m[0], m[1], workspace, total);
    }, Runnable::run);
    RandomKernel random = new RandomKernel(driver);
    measure("rademacher", shape, 0, 4 * elements, memory -> memory.matrix(rows, width),
        m -> random.rademacherVectors(m, rows, 0, 0, 1));
    measure("fisher_vectors", shape, 0, 8 * elements, memory -> matrices(memory, 2, rows, width),
        m -> random.fisherVectors(m[0], m[1], 0, 1));
    measure("drawn_fisher_vectors", shape, 0, 8 * elements, memory -> matrices(memory, 2, rows, width),
        m -> random.drawnFisherVectors(m[0], m[1], 0, 0, 1, 1));
    measure("uniform", shape, 0, 4 * elements, memory -> memory.matrix(rows, width), m -> random.uniform(m, 1, 1));
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
    measure("select, 4 passes", "%,d".formatted(scores), 0, 16.0 * scores, memory -> {
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
