package dev.espalier.engine.backend;

import dev.espalier.bindings.MatrixView;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.network.Activation;
import dev.espalier.kernels.ApplyKernel;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DenseForwardKernel;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.DualMomentsKernel;
import dev.espalier.kernels.EliminationScoresKernel;
import dev.espalier.kernels.GpuException;
import dev.espalier.kernels.JCudaLoader;
import dev.espalier.kernels.LossesKernel;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.Nonlinearity;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.ReductionsKernel;
import dev.espalier.kernels.SelectKernel;
import dev.espalier.kernels.UpdatesKernel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// An NVIDIA GPU: float32 in its memory, own kernels, products by cuBLAS or by a kernel of our own. Calls return once
/// their work is queued. Weights, moments and scores stay on the GPU, and under a budget lie in host memory as far as
/// they do not fit: products then bring them over in blocks of rows, kernels reach them where they are.
///
/// May be used from any thread, by one at a time. The same inputs, batch size, budget and GPU give the same bits.
public final class CudaBackend implements Backend {
  /// Samples of a batch that keep a large GPU busy.
  private static final int BATCH_SIZE = 8192;
  private static final long RESERVE_BYTES = 512L << 20;
  /// What results, the state of a selection and rounding take of the budget.
  private static final long OWN_BYTES = 1 << 16;
  /// The words that kernels report in: see [#word].
  private static final int WORDS = 8;
  private static final int REMOVED = 0;
  private static final int NON_FINITE = 4;

  private final Driver driver;
  private final Precision precision;
  private final MatrixProducts products;
  private final CudaMemory memory;
  private final CudaTransfers transfers;
  private final CudaTimeline timeline;
  private final CudaMemory.Block words;
  private final DenseForwardKernel dense;
  private final DualMomentsKernel moments;
  private final EliminationScoresKernel scoring;
  private final SelectKernel selecting;
  private final ApplyKernel applying;
  private final ReductionsKernel reductions;
  private final UpdatesKernel updates;
  private final LossesKernel lossesKernel;
  private final RandomKernel random;
  /// Taken before the first matrix.
  private final long ownBytes;
  /// By key; empty of work that was done once.
  private final Map<Object, Optional<Driver.Graph>> recordings = new HashMap<>();
  private long recordedIn;
  private boolean recording;
  private boolean closed;

  /// Over a driver and products in its stream of kernels, both closed with this.
  ///
  /// @param slotBytes of a transfer buffer
  CudaBackend(Driver driver, CudaMemory memory, MatrixProducts products, Precision precision, long slotBytes) {
    this.driver = driver;
    this.memory = memory;
    this.products = products;
    this.precision = precision;
    transfers = new CudaTransfers(driver, memory, slotBytes);
    timeline = new CudaTimeline(driver);
    words = memory.allocate((long) WORDS * Long.BYTES, "results");
    dense = new DenseForwardKernel(driver);
    moments = new DualMomentsKernel(driver);
    scoring = new EliminationScoresKernel(driver);
    selecting = new SelectKernel(driver);
    applying = new ApplyKernel(driver);
    reductions = new ReductionsKernel(driver);
    updates = new UpdatesKernel(driver);
    lossesKernel = new LossesKernel(driver);
    random = new RandomKernel(driver);
    ownBytes = memory.used();
  }

  /// A GPU, opened with all that a backend needs.
  ///
  /// @param number of the GPU, from 0, among those that CUDA shows this process
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  /// @throws OutOfBackendMemoryException if next to nothing of its memory is free
  @SuppressWarnings("MustBeClosedChecker") // closed with the backend
  public static CudaBackend open(int number, BackendOptions options) {
    CudaGpu gpu = gpu(number);
    try {
      Precision precision = options.precision().orElse(Precision.TF32);
      CudaMemory memory = new CudaMemory(gpu, options.deviceMemory().orElseGet(() -> mostOf(gpu.freeMemory())));
      return new CudaBackend(gpu, memory, products(gpu, memory, precision), precision, CudaTransfers.SLOT_BYTES);
    } catch (GpuException e) {
      gpu.close();
      throw new DeviceUnavailableException(e);
    } catch (RuntimeException e) {
      gpu.close();
      throw e;
    }
  }

  private static CudaGpu gpu(int number) {
    try {
      return new CudaGpu(number);
    } catch (GpuException e) {
      throw new DeviceUnavailableException(e);
    }
  }

  private static MatrixProducts products(CudaGpu gpu, CudaMemory memory, Precision precision) {
    try {
      return CudaProducts.ofCublas(gpu, memory, precision);
    } catch (NativeLibraryException _) { // doctor says why
      return CudaProducts.ofKernels(gpu, memory, precision);
    }
  }

  /// Free memory less a reserve: for the code of kernels and libraries, and for who else uses the GPU.
  private static long mostOf(long free) {
    return Math.max(1, free - Math.max(RESERVE_BYTES, free / 16));
  }

  /// Whether there is a driver and a GPU, usable or not. Looks without a sound.
  static boolean hasGpu() {
    return JCudaLoader.problem().isEmpty();
  }

  @Override
  public String description() {
    return "cuda (%s, products in %s by %s, %,.1f of %,.1f GiB)".formatted(driver.name(), precision,
        products.description(), gibibytes(memory.budget()), gibibytes(driver.totalMemory()));
  }

  private static double gibibytes(long bytes) {
    return bytes / (double) (1 << 30);
  }

  @Override
  public void enter(Phase phase) {
    if (!recording) {
      timeline.enter(phase);
    }
  }

  @Override
  public Map<Phase, Double> seconds() {
    return timeline.seconds();
  }

  // ---- memory ----

  @Override
  public Optional<MemoryBudget> memory() {
    long own = ownBytes + transfers.deviceBytes() + OWN_BYTES;
    return Optional.of(new MemoryBudget(memory.budget() - own, CudaMemory.shareOfWeights(memory.budget()) - own));
  }

  @Override
  public int batchSize() {
    return BATCH_SIZE;
  }

  @Override
  public long workspace(int samples, int outputs, int inputs) {
    return moments.workspace(CudaProducts.mode(precision), samples, outputs, inputs);
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

  /// A matrix in device memory of the caller, in the primary context of the backend's device: float32, row-major,
  /// without gaps. It is read and written in place by work that the backend has queued: [#synchronize] before others
  /// use it, and finish what others do with it before the backend does.
  ///
  /// @param address of the first element, a multiple of 4
  public Matrix wrap(long address, int rows, int columns) {
    return new CudaMatrix(new DeviceMatrix(address, rows, columns));
  }

  /// Waits for all that was queued.
  public void synchronize() {
    driver.synchronize();
  }

  @Override
  public Matrix rows(Matrix matrix, int first, int count) {
    return ((CudaMatrix) matrix).view(first, count);
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    transfers.upload(source.segment(), (CudaMatrix) target);
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    transfers.download((CudaMatrix) source, target.segment());
  }

  @Override
  public void clear(Matrix matrix) {
    CudaMatrix cleared = (CudaMatrix) matrix;
    driver.fill(cleared.device().address(), cleared.bytes(), (byte) 0);
  }

  private static DeviceMatrix device(Matrix matrix) {
    return ((CudaMatrix) matrix).device();
  }

  private static MatrixBlock block(Matrix matrix) {
    return ((CudaMatrix) matrix).asBlock();
  }

  // ---- repetition ----

  /// Done the first time, which brings workspace and kernels into place; recorded the second; from then on one launch.
  /// The time of a recording counts as the phase that it was launched in.
  @Override
  public void repeat(Object key, Runnable work) {
    if (memory.hostBytes() > 0) { // it comes over in the other stream, which is not recorded
      work.run();
      return;
    }
    if (recordedIn != memory.generation()) {
      forgetRecordings();
    }
    if (!recordings.containsKey(key)) {
      work.run();
      // Workspace may have grown meanwhile.
      if (recordedIn != memory.generation()) {
        forgetRecordings();
      }
      recordings.put(key, Optional.empty());
      return;
    }
    Driver.Graph graph = recordings.get(key).orElseGet(() -> record(work));
    recordings.put(key, Optional.of(graph));
    driver.launch(graph);
  }

  private Driver.Graph record(Runnable work) {
    recording = true;
    driver.beginRecording();
    try {
      work.run();
    } catch (RuntimeException e) {
      driver.endRecording().close();
      throw e;
    } finally {
      recording = false;
    }
    return driver.endRecording();
  }

  /// Memory that they use may have been given back.
  private void forgetRecordings() {
    recordings.values().forEach(graph -> graph.ifPresent(Driver.Graph::close));
    recordings.clear();
    recordedIn = memory.generation();
  }

  // ---- words that kernels report in ----

  /// The i-th pair of words: 16 bytes, as buffers are aligned.
  private DeviceBuffer word(int i) {
    return new DeviceBuffer(words.address() + (long) i * Long.BYTES, Long.BYTES);
  }

  private DeviceBuffer filledWord(int i, int value) {
    DeviceBuffer word = word(i);
    driver.fill(word.address(), word.bytes(), (byte) value);
    return word;
  }

  // ---- the network ----

  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c) {
    products.multiply(alpha, block(a), transposeA, block(b), transposeB, beta, block(c));
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated) {
    MatrixBlock x = block(input);
    MatrixBlock z = block(preActivation);
    forEachRows(weights, (w, first) -> products.multiply(1, x, false, w, true, 0, z.columns(first, w.rows())));
    if (activation.isElementwise()) {
      dense.forward(nonlinearity(activation), device(preActivation), device(bias), device(activated));
    } else {
      dense.softmaxForward(device(preActivation), device(bias), device(activated));
    }
  }

  /// All rows at once of a matrix on the device, blocks of rows of one that lies on the host.
  private void forEachRows(Matrix matrix, CudaTransfers.RowsUse use) {
    CudaMatrix weights = (CudaMatrix) matrix;
    if (weights.memory().isOnHost()) {
      transfers.forEachRows(weights, use);
    } else {
      use.accept(weights.asBlock(), 0);
    }
  }

  private static Nonlinearity nonlinearity(Activation activation) {
    return Nonlinearity.valueOf(activation.name());
  }

  @Override
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient) {
    if (activation.isElementwise()) {
      dense.backward(nonlinearity(activation), device(preActivation), device(upstream), device(gradient));
    } else {
      dense.softmaxBackward(device(activated), device(upstream), device(gradient));
    }
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient) {
    multiplyBackward(gradientAbove, weightsAbove, gradient);
    dense.backward(nonlinearity(activation), device(preActivation), device(gradient), device(gradient));
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient, double scale, Matrix sensitivity) {
    multiplyBackward(gradientAbove, weightsAbove, gradient);
    dense.backwardAddingSquares(nonlinearity(activation), device(preActivation), device(gradient), device(gradient),
        device(sensitivity), scale);
  }

  /// g = h·V
  private void multiplyBackward(Matrix gradientAbove, Matrix weightsAbove, Matrix gradient) {
    MatrixBlock h = block(gradientAbove);
    MatrixBlock g = block(gradient);
    forEachRows(weightsAbove,
        (v, first) -> products.multiply(1, h.columns(first, v.rows()), false, v, false, first == 0 ? 0 : 1, g));
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    dense.addSquares(scale, device(gradient), device(sensitivity));
  }

  // ---- upstream gradients and random numbers ----

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    random.unitVectors(device(upstream), samples, firstOutput);
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, long firstSample, long seed) {
    random.rademacherVectors(device(upstream), samples, firstProbe, firstSample, seed);
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    random.uniform(device(matrix), seed, stream);
  }

  // ---- moments and scores ----

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    DeviceBuffer workspace = memory.scratch(reductions.columnSumsWorkspace(x.rows(), x.columns()));
    reductions.columnSums(1.0 / x.rows(), device(x), 0, device(means), workspace);
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2) {
    DeviceBuffer workspace = memory.scratch(workspace(activation.rows(), sensitivity.columns(), activation.columns()));
    moments.addMoments(CudaProducts.mode(precision), device(sensitivity), device(activation), device(pilotMean),
        device(m0), device(m1), device(m2), workspace);
  }

  @Override
  public void shiftMoments(Matrix m0, Matrix m1, Matrix m2, Matrix from, Matrix to) {
    throw new UnsupportedOperationException("shiftMoments has no kernel any more");
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    updates.add(alpha, device(x), device(y));
  }

  @Override
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples) {
    scoring.scores(device(weights), device(m0), device(m1), device(m2), device(pilotMean), samples);
  }

  @Override
  public void absoluteProduct(Matrix weights, Matrix factor, Matrix scores) {
    scoring.absoluteProduct(device(weights), device(factor), device(scores));
  }

  // ---- selection ----

  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    DeviceBuffer first = filledWord(NON_FINITE, -1);
    selecting.rankZerosFirst(device(weights), device(scores), first);
    return transfers.words(first.address(), 1)[0];
  }

  @Override
  public List<Cut> cuts(List<Matrix> scores, long count) {
    if (count == 0) {
      return Collections.nCopies(scores.size(), Cut.NOTHING);
    }
    List<DeviceMatrix> layers = scores.stream().map(CudaBackend::device).toList();
    long stateBytes = CudaMemory.rounded(SelectKernel.STATE_BYTES);
    DeviceBuffer all = memory.scratch(stateBytes + (long) layers.size() * SelectKernel.COUNTS_BYTES);
    DeviceBuffer state = new DeviceBuffer(all.address(), stateBytes);
    long counts = all.address() + stateBytes;
    selecting.select(layers, count, state);
    driver.fill(counts, (long) layers.size() * SelectKernel.COUNTS_BYTES, (byte) 0);
    for (int l = 0; l < layers.size(); l++) {
      selecting.count(layers.get(l), state,
          new DeviceBuffer(counts + (long) l * SelectKernel.COUNTS_BYTES, SelectKernel.COUNTS_BYTES));
    }
    float threshold = SelectKernel.threshold((int) transfers.words(state.address(), 1)[0]);
    long[] found = transfers.words(counts, 2 * layers.size());
    long left = count;
    for (int l = 0; l < layers.size(); l++) {
      left -= found[2 * l];
    }
    List<Cut> cuts = new ArrayList<>();
    for (int l = 0; l < layers.size(); l++) {
      long ties = Math.min(left, found[2 * l + 1]);
      left -= ties;
      cuts.add(new Cut(threshold, found[2 * l], ties));
    }
    return cuts;
  }

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup) {
    return selecting.keepPerGroup(device(scores), device(scores), groupWidth, removedPerGroup);
  }

  private ApplyKernel.Cut cut(Matrix scores, Cut cut) {
    return new ApplyKernel.Cut(device(scores), cut.threshold(), cut.ties(),
        memory.scratch(ApplyKernel.workspace(scores.rows())));
  }

  private DeviceBuffer removed() {
    return new DeviceBuffer(word(REMOVED).address(), ApplyKernel.REMOVED_BYTES);
  }

  @Override
  public double eliminate(Matrix weights, Matrix scores, Cut cut) {
    applying.remove(cut(scores, cut), device(weights), removed());
    return Double.longBitsToDouble(transfers.words(removed().address(), 2)[1]);
  }

  /// The kernel removes weights in the same pass. Here they are the compensations themselves, which nobody reads again: a
  /// thread reads an element before it writes the same one.
  @Override
  public void compensate(Matrix bias, Matrix scores, Matrix compensation, Cut cut) {
    applying.remove(cut(scores, cut), device(compensation), removed(), device(bias), device(compensation));
  }

  // ---- training ----

  @Override
  public void crossEntropy(Matrix preActivation, Matrix targets, Matrix gradient, Matrix losses) {
    lossesKernel.crossEntropy(device(preActivation), device(targets), device(gradient), device(losses));
  }

  @Override
  public void squaredError(Matrix activated, Matrix targets, Matrix gradient, Matrix losses) {
    lossesKernel.squaredError(device(activated), device(targets), device(gradient), device(losses));
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
    updates.adamStep(device(parameter), device(gradient), device(firstMoment), device(secondMoment),
        adam.learningRate(), adam.beta1(), adam.beta2(), adam.epsilon(), step, keepZeros);
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    driver.synchronize();
    forgetRecordings();
    timeline.close();
    transfers.close();
    products.close();
    memory.free(words);
    memory.close();
    driver.close();
  }
}
