package dev.espalier.engine.backend.cuda;

import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleTransfer;
import dev.espalier.engine.backend.SelectionOperations;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.engine.backend.TrainingOperations;
import dev.espalier.engine.backend.TwoOfFourChain;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.GpuException;
import dev.espalier.kernels.JCudaLoader;
import dev.espalier.kernels.MatrixProducts;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// An NVIDIA GPU: float32 in its memory, own kernels, products by cuBLAS or by an own kernel. Calls return once their
/// work is queued. Weights, moments and scores stay on the GPU; what does not fit a budget lies in host memory, from
/// where products bring it over in blocks of rows and kernels reach it.
///
/// Any thread may use it, one at a time. The same inputs, batch size, budget and GPU give the same bits.
public final class CudaBackend implements GpuBackend {
  private static final Logger LOG = LoggerFactory.getLogger(CudaBackend.class);

  private static final long RESERVE_BYTES = 512L << 20;
  /// The part of the budget that a stack of gradients may take: one in so many, within limits.
  private static final int STACK_SHARE = 16;
  /// Samples that each of several GPUs gets at the least.
  private static final long DEVICE_SAMPLES = 64;
  /// What results, the state of a selection and rounding take of the budget.
  private static final long OWN_BYTES = 1 << 16;

  private final Driver driver;
  private final Precision precision;
  private final MatrixProducts products;
  private final Optional<TransposingProducts> transposing;
  private final CudaMemory memory;
  private final CudaTransfers transfers;
  private final CudaSamples samples;
  private final CudaTimeline timeline;
  private final CudaRecordings recordings;
  private final CudaNetwork network;
  private final CudaMoments moments;
  private final CudaSelection selection;
  private final CudaTraining training;
  private final CudaSolving solving;
  /// Taken before the first matrix.
  private final long ownBytes;
  private final Resources resources;
  /// The GPUs that share its passes, closed with it.
  private List<CudaBackend> others = List.of();

  private CudaBackend(Driver driver, CudaMemory memory, MatrixProducts products, Precision precision, long slotBytes,
      Resources resources) {
    this.driver = driver;
    this.memory = memory;
    this.products = products;
    this.precision = precision;
    this.resources = resources;
    transfers = resources.own(new CudaTransfers(driver, memory, slotBytes));
    samples = resources.own(new CudaSamples(driver, memory));
    timeline = resources.own(new CudaTimeline(driver));
    timeline.enter(Phase.LOAD);
    recordings = resources.own(new CudaRecordings(driver, memory));
    transposing = TransposingProducts.around(products, driver, memory, precision);
    network = new CudaNetwork(driver, memory, transposing.map(MatrixProducts.class::cast).orElse(products), transfers);
    moments = new CudaMoments(driver, memory, products, precision);
    selection = resources.own(new CudaSelection(driver, memory, transfers));
    training = new CudaTraining(driver);
    solving = new CudaSolving(driver, memory, transfers);
    ownBytes = memory.used();
    resources.own(driver::synchronize);
  }

  /// A GPU, opened with all that a backend needs.
  ///
  /// @param number of the GPU, from 0, among those that CUDA shows this process
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  /// @throws dev.espalier.engine.DeviceFailedException if it fails while it is opened
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if next to nothing of its memory is free
  public static CudaBackend open(int number, CudaOptions options) {
    CudaGpu gpu = gpu(number);
    return over(gpu, options.memory(), (_, memory) -> products(gpu, memory, options.precision()), options.precision(),
        CudaTransfers.SLOT_BYTES);
  }

  /// Several GPUs that share the samples of passes. The first has the matrices, and does alone what is no such pass.
  ///
  /// @param numbers of the GPUs, each once, as of [#open(int, CudaOptions)]
  public static CudaBackend open(List<Integer> numbers, CudaOptions options) {
    return together(numbers.stream().<Supplier<CudaBackend>>map(number -> () -> open(number, options)).toList());
  }

  /// As [#open(List, CudaOptions)].
  static CudaBackend together(List<Supplier<CudaBackend>> gpus) {
    CudaBackend first = gpus.getFirst().get();
    List<CudaBackend> others = new ArrayList<>();
    try {
      for (Supplier<CudaBackend> gpu : gpus.subList(1, gpus.size())) {
        CudaBackend other = gpu.get();
        first.resources.own(other::close);
        others.add(other);
      }
    } catch (RuntimeException | Error e) {
      first.resources.closeAfter(e);
      throw e;
    }
    first.others = List.copyOf(others);
    return first;
  }

  /// How many GPUs CUDA shows this process.
  ///
  /// @throws DeviceUnavailableException if there is no driver; the message says what to do
  public static int gpus() {
    try {
      return CudaGpu.count();
    } catch (GpuException e) {
      throw new DeviceUnavailableException(e.getMessage(), e);
    }
  }

  private static CudaGpu gpu(int number) {
    try {
      return new CudaGpu(number);
    } catch (GpuException e) {
      throw new DeviceUnavailableException(e.getMessage(), e);
    }
  }

  private static MatrixProducts products(CudaGpu gpu, CudaMemory memory, Precision precision) {
    try {
      return CudaProducts.ofCublas(gpu, memory, precision);
    } catch (NativeLibraryException e) {
      LOG.info("products by own kernels: {}", e.getMessage());
      return CudaProducts.ofKernels(gpu, memory, precision);
    }
  }

  /// A backend over a driver, which is closed with it.
  ///
  /// @param budget bytes to take at most; empty: the free memory, less a reserve
  /// @param products in the stream of the kernels, closed with the backend
  /// @param slotBytes of a transfer buffer
  static CudaBackend over(Driver driver, OptionalLong budget, BiFunction<Driver, CudaMemory, MatrixProducts> products,
      Precision precision, long slotBytes) {
    return Resources.build(resources -> {
      Driver checked = new CheckedDriver(driver);
      resources.own(checked::close);
      CudaMemory memory = resources.own(new CudaMemory(checked, budget.orElseGet(() -> mostOf(checked.freeMemory()))));
      MatrixProducts multiplying = CheckedDriver.get(() -> products.apply(checked, memory));
      resources.own(() -> CheckedDriver.run(multiplying::close));
      return new CudaBackend(checked, memory, multiplying, precision, slotBytes, resources);
    });
  }

  /// Free memory less a reserve: for the code of kernels and libraries, and for others who use the GPU.
  private static long mostOf(long free) {
    return Math.max(1, free - Math.max(RESERVE_BYTES, free / 16));
  }

  /// Whether a driver and a GPU exist, usable or not. Prints nothing.
  public static boolean hasGpu() {
    return JCudaLoader.problem().isEmpty();
  }

  @Override
  public String description() {
    String gpu = String.format(Locale.ROOT, "%s, products in %s by %s, %,.1f of %,.1f GiB", driver.name(), precision,
        products.description(), gibibytes(memory.budget()), gibibytes(driver.totalMemory()));
    return others.isEmpty()
        ? "cuda (%s)".formatted(gpu)
        : "cuda (%s GPUs, the first %s)".formatted(1 + others.size(), gpu);
  }

  private static double gibibytes(long bytes) {
    return bytes / (double) (1 << 30);
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

  @Override
  public void enter(Phase phase) {
    if (!recordings.isRecording()) {
      timeline.enter(phase);
    }
  }

  @Override
  public Resource hold(Phase whole) {
    return timeline.hold(whole);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return timeline.seconds();
  }

  // ---- memory ----

  /// Of several GPUs, that of the one with the least.
  @Override
  public Optional<MemoryBudget> memory() {
    return Stream.concat(Stream.of(this), others.stream()).map(CudaBackend::ownMemory)
        .min(Comparator.comparingLong(MemoryBudget::bytes));
  }

  private MemoryBudget ownMemory() {
    long own = ownBytes + transfers.deviceBytes() + OWN_BYTES;
    return new MemoryBudget(memory.budget() - own, CudaMemory.shareOfWeights(memory.budget()) - own);
  }

  /// Bytes taken on the device.
  long used() {
    return memory.used();
  }

  /// Bytes taken in host memory.
  long hostBytes() {
    return memory.hostBytes();
  }

  @Override
  public long workspace(int samples, int outputs, int inputs) {
    return Math.max(moments.workspace(samples, outputs, inputs),
        transposing.isPresent() ? TransposingProducts.workspace(outputs, inputs) : 0);
  }

  @Override
  public Matrix allocate(int rows, int columns) {
    return new CudaMatrix(memory, memory.allocate(bytes(rows, columns), name(rows, columns)), rows, columns);
  }

  @Override
  public Matrix allocateWeights(int rows, int columns) {
    return new CudaMatrix(memory, memory.allocateWeights(bytes(rows, columns), name(rows, columns)), rows, columns);
  }

  private static long bytes(int rows, int columns) {
    return (long) rows * columns * Float.BYTES;
  }

  private static String name(int rows, int columns) {
    return "a %d × %d matrix".formatted(rows, columns);
  }

  @Override
  public Matrix wrap(long address, int rows, int columns) {
    return new CudaMatrix(new DeviceMatrix(address, rows, columns));
  }

  @Override
  public Optional<TwoOfFourChain> twoOfFourChain(DenseNetwork of, int samples) {
    CudaTwoOfFourChain.requireCapable(driver);
    return of.graph().isChain() && of.layers().stream().anyMatch(CudaTwoOfFourChain::admits)
        ? Optional.of(CudaTwoOfFourChain.of(driver, this, memory, network, of, samples))
        : Optional.empty();
  }

  @Override
  public void synchronize() {
    driver.synchronize();
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    transfers.upload(source.segment(), CudaMatrix.of(target));
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    transfers.download(CudaMatrix.of(source), target.segment());
  }

  @Override
  public SampleTransfer transfer(int samples, int inputs) {
    return this.samples.open(samples, inputs);
  }

  @Override
  public long transferBytes(int samples, int inputs) {
    return CudaSamples.bytes(samples, inputs);
  }

  /// A part of the budget, so that ten outputs of a network of a few hundred neurons make one product.
  @Override
  public long stackElements() {
    return Math.clamp(memory.budget() / STACK_SHARE / Float.BYTES, 1L << 23, 1L << 25);
  }

  @Override
  public void clear(Matrix matrix) {
    driver.fill(CudaMatrix.of(matrix).device().address(), CudaMatrix.of(matrix).bytes(), (byte) 0);
  }

  /// The time of a recording counts as the phase that it was launched in.
  @Override
  public void repeat(Object key, Runnable work) {
    recordings.repeat(key, work);
  }

  @Override
  public Workers devices(long samples) {
    long count = 1L + others.size();
    // So many that no division into batches leaves one without.
    return count == 1 || samples < count * Math.max(DEVICE_SAMPLES, count)
        ? Workers.alone(this)
        : Workers.apart(Stream.concat(Stream.of(this), others.stream()).toList());
  }

  @Override
  public void close() {
    resources.close();
  }
}
