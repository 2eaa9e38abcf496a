package dev.espalier.engine.backend.cpu;

import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnSparseMatmul;
import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.UnsupportedPrecisionException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.PhaseClock;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.SelectionOperations;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.engine.backend.SparseNetwork;
import dev.espalier.engine.backend.TrainingOperations;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// The CPU's vector units: float32 outside Java's heap, products by oneDNN, the rest by plain loops. The backend splits
/// work into blocks that stay in cache between a product and what follows it, and spreads the blocks over threads. A
/// call returns when its work is done. The same inputs, threads and processor give the same bits.
public final class CpuBackend implements Backend {
  /// Bytes that all workers but one may take together, and samples that each is worth.
  private static final long WORKER_BYTES = 256L << 20;
  private static final long WORKER_SAMPLES = 64;

  private final PhaseClock clock;
  private final Precision precision;
  private final CpuPool pool;
  private final CpuProducts products;
  private final Optional<CpuSparseProducts> sparse;
  private final CpuNetwork network;
  private final CpuMoments moments;
  private final CpuSelection selection;
  private final CpuTraining training;
  private final CpuSolving solving;
  private List<CpuBackend> workers = List.of();

  /// On all cores that this process may use, in float32.
  ///
  /// @throws DeviceUnavailableException if oneDNN does not load
  public CpuBackend() {
    this(CpuPool.CORES, Precision.FP32);
  }

  /// @param threads at least 1; more than the cores that this process may use are no faster
  /// @throws UnsupportedPrecisionException if the CPU does not have the precision
  /// @throws DeviceUnavailableException if oneDNN does not load
  public CpuBackend(int threads, Precision precision) {
    this(requireAvailable(threads, precision), precision,
        precision == Precision.BF16 ? new CpuBfloat16Products() : new CpuProducts(),
        precision == Precision.FP32 && skipsDeadUnits() ? Optional.of(new CpuSparseProducts()) : Optional.empty());
  }

  /// @param products closed with this
  /// @param sparse for gradients with zeros to skip
  CpuBackend(int threads, Precision precision, CpuProducts products, Optional<CpuSparseProducts> sparse) {
    this(precision, products, sparse, new CpuPool(Math.min(threads, CpuPool.CORES)), new PhaseClock());
  }

  private CpuBackend(Precision precision, CpuProducts products, Optional<CpuSparseProducts> sparse, CpuPool pool,
      PhaseClock clock) {
    this.precision = precision;
    this.products = products;
    this.sparse = sparse;
    this.pool = pool;
    this.clock = clock;
    network = new CpuNetwork(pool, products, sparse);
    moments = new CpuMoments(pool, products);
    selection = new CpuSelection(pool);
    training = new CpuTraining(pool);
    solving = new CpuSolving(pool);
  }

  private static int requireAvailable(int threads, Precision precision) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads %d: use at least 1".formatted(threads));
    }
    if (precision == Precision.TF32) {
      throw new UnsupportedPrecisionException("tf32", "only GPUs round to TF32");
    }
    load();
    if (precision == Precision.BF16 && !OneDnn.multipliesBfloat16()) {
      throw new UnsupportedPrecisionException("bf16", "this CPU has neither AVX512-BF16 nor AMX");
    }
    return threads;
  }

  private static void load() {
    try {
      OneDnn.load();
    } catch (NativeLibraryException e) {
      throw new DeviceUnavailableException(e.getMessage(), e);
    }
  }

  /// How many times as fast as float32 this CPU multiplies bfloat16; empty where it has no instructions for it. The
  /// first call measures that on one core, in a twentieth of a second.
  ///
  /// @throws DeviceUnavailableException if oneDNN does not load
  public static OptionalDouble bfloat16Rate() {
    load();
    return CpuBfloat16Rate.MEASURED;
  }

  /// Whether backward products in float32 skip the units that ReLU leaves dead, where there are enough of them. That
  /// needs the Vector API (`--add-modules jdk.incubator.vector` among Java's options) and vectors of at least 8
  /// float32.
  public static boolean skipsDeadUnits() {
    Optional<Module> vectors = ModuleLayer.boot().findModule("jdk.incubator.vector");
    // The descriptor does not require it, not even statically: javac would warn all modules that require this one.
    vectors.ifPresent(CpuBackend.class.getModule()::addReads);
    return vectors.isPresent() && CpuSparseProducts.hasLongVectors();
  }

  @Override
  public String description() {
    return "cpu (oneDNN %s, %s, %s, %s thread%s)".formatted(OneDnn.version(), OneDnn.instructionSet(),
        precision == Precision.BF16
            ? "bfloat16 products"
            : sparse.isPresent() ? "float32, skipping dead units" : "float32",
        pool.threads(), pool.threads() == 1 ? "" : "s");
  }

  @Override
  public Optional<SparseNetwork> sparseNetwork(DenseNetwork network, int samples) {
    if (samples == 1) {
      return Optional.of(new CpuSparseSample(network));
    }
    return OneDnnSparseMatmul.isAvailable()
        ? Optional.of(CpuSparseNetwork.of(pool, network, samples))
        : Optional.empty();
  }

  @Override
  public void enter(Phase phase) {
    clock.enter(phase);
  }

  @Override
  public Resource hold(Phase whole) {
    return clock.hold(whole);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return clock.seconds();
  }

  @Override
  public NetworkOperations network() {
    return network;
  }

  @Override
  public MomentOperations moments() {
    return moments;
  }

  @Override
  public SelectionOperations selection() {
    return selection;
  }

  @Override
  public TrainingOperations training() {
    return training;
  }

  @Override
  public SolvingOperations solving() {
    return solving;
  }

  /// One for each thread, where there are enough samples and they take little memory. The time of the first one counts
  /// as this backend's.
  @Override
  public Workers workers(long samples, long bytes) {
    int threads = pool.threads();
    if (threads == 1 || samples < WORKER_SAMPLES * threads || (threads - 1) * bytes > WORKER_BYTES) {
      return Workers.alone(this);
    }
    if (workers.isEmpty()) {
      workers = IntStream.range(0, threads)
          .mapToObj(
              i -> new CpuBackend(precision, products, sparse, CpuPool.nested(), i == 0 ? clock : new PhaseClock()))
          .toList();
    }
    return new Workers(workers, work -> pool.runTogether(work.size(), i -> work.get(i).run()));
  }

  // ---- memory ----

  @Override
  public Matrix allocate(int rows, int columns) {
    return new CpuMatrix(rows, columns);
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    ((CpuMatrix) target).fill(source);
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    target.segment().copyFrom(CpuMatrix.read(source));
  }

  @Override
  public MatrixView onHost(Matrix matrix, Arena arena) {
    return new MatrixView(CpuMatrix.write(matrix), matrix.rows(), matrix.columns());
  }

  @Override
  public void clear(Matrix matrix) {
    CpuMatrix.write(matrix).fill((byte) 0);
  }

  @Override
  public void close() {
    workers.forEach(worker -> worker.moments.close());
    moments.close();
    products.close();
    sparse.ifPresent(CpuProducts::close);
  }
}
