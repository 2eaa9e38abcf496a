package dev.espalier.engine.backend;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The matrix primitives that the algorithms are written over, on one machine: plain Java, a CPU's vector
/// units, a GPU.
///
/// Work is asynchronous: a call may return before its result is there, calls take effect in their order, and
/// those that return numbers ([#download], [#rankZerosFirst], [#cuts], [#eliminate]) wait. A backend is used
/// by one thread at a time; several backends may be open at once. Callers check their arguments, backends
/// trust them. [ReferenceBackend] defines the right answer; `BackendContract` in the tests checks every other
/// one against it.
///
/// Notation: samples × outputs and the like are rows × columns. Where rows are **stacked copies**, row `c ·
/// samples + n` belongs to sample `n` of copy `c`: the backward passes for several outputs or probes make one
/// tall matrix.
public interface Backend extends AutoCloseable {
  /// What it is and where it runs, for example `reference (plain Java, float64)`.
  String description();

  /// The work from here on counts as `phase` in [#seconds].
  void enter(Phase phase);

  /// Seconds in each phase since the backend was opened; phases never entered are absent.
  Map<Phase, Double> seconds();

  // ---- memory ----

  /// The memory that it may take, where that is counted.
  default Optional<MemoryBudget> memory() {
    return Optional.empty();
  }

  /// Samples of a batch that suit it, where they fit.
  default int batchSize() {
    return 512;
  }

  /// Bytes that it takes for itself to add such a batch to the moments of such a layer.
  default long workspace(int samples, int outputs, int inputs) {
    return 0;
  }

  /// A matrix of zeros, closed by the caller.
  ///
  /// @throws OutOfBackendMemoryException if it does not fit
  Matrix allocate(int rows, int columns);

  /// As [#allocate], for what is as large as a layer's weights and is gone over a few times a batch at most: where a
  /// device's memory is short it may lie in slower memory.
  ///
  /// @throws OutOfBackendMemoryException if it does not fit
  default Matrix allocateWeights(int rows, int columns) {
    return allocate(rows, columns);
  }

  /// A view of `count` rows from `first` on; its owner must outlive it.
  Matrix rows(Matrix matrix, int first, int count);

  /// Copies `source` into `target` of the same shape; `source` may be reused on return. Read-only memory-mapped memory may
  /// instead be used where it lies, until `target` is written: it must stay open as long as `target`.
  void upload(MatrixView source, Matrix target);

  /// Copies `source` into `target` of the same shape, rounded to float32, and waits for it.
  void download(Matrix source, MatrixView target);

  /// Among which backends the samples of a pass are divided: several where each thread had better keep to samples of its
  /// own, otherwise this one alone.
  ///
  /// @param bytes that each of them takes for its share
  default Workers workers(long samples, long bytes) {
    return Workers.alone(this);
  }

  // ---- repetition ----

  /// Does `work`: primitives that return nothing, no uploads, the same ones on the same matrices each time that it is
  /// given with an equal `key`. A backend may record it and repeat the recording instead of running it again.
  default void repeat(Object key, Runnable work) {
    work.run();
  }

  // ---- the network ----

  /// c = α op(a)·op(b) + β c, where op transposes or not; c is written without being read when β is 0.
  void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c);

  /// z = x·Wᵀ + b and a = φ(z).
  ///
  /// @param input x, samples × inputs
  /// @param weights W, outputs × inputs
  /// @param bias b, 1 × outputs
  /// @param preActivation z, samples × outputs, written
  /// @param activated a, samples × outputs, written
  void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated);

  /// g = Jφ(z)ᵀ u: an upstream gradient through an activation; for an elementwise one u ∘ φ′(z), for softmax
  /// a ∘ (u − aᵀu) by rows.
  ///
  /// @param preActivation z, samples × outputs
  /// @param activated a = φ(z), samples × outputs
  /// @param upstream u, stacked copies (copies · samples) × outputs
  /// @param gradient g, as `upstream`, written; may be `upstream` itself
  void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient);

  /// g = (h·V) ∘ φ′(z): the gradient at a layer's pre-activation from that of the layer above it.
  ///
  /// @param gradientAbove h, stacked copies (copies · samples) × outputs of the layer above
  /// @param weightsAbove V, outputs of the layer above × outputs
  /// @param activation φ of this layer, elementwise
  /// @param preActivation z, samples × outputs
  /// @param activated φ(z), samples × outputs
  /// @param gradient g, stacked copies (copies · samples) × outputs, written
  void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient);

  /// [#denseBackward] and [#addSquares] of its gradient in one.
  ///
  /// @param sensitivity s, samples × outputs, added to
  default void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient, double scale, Matrix sensitivity) {
    denseBackward(gradientAbove, weightsAbove, activation, preActivation, activated, gradient);
    addSquares(scale, gradient, sensitivity);
  }

  /// s += scale · Σ over copies of g², with g as of [#denseBackward] where nothing else needs it.
  ///
  /// @param scratch     shaped as g; what it holds afterwards is undefined
  /// @param sensitivity s, samples × outputs, added to
  default void addSquaredGradient(Matrix gradientAbove, Matrix weightsAbove, Activation activation,
      Matrix preActivation, Matrix activated, Matrix scratch, double scale, Matrix sensitivity) {
    denseBackward(gradientAbove, weightsAbove, activation, preActivation, activated, scratch, scale, sensitivity);
  }

  /// s += scale · Σ over copies of g²: squared gradients into a sensitivity.
  ///
  /// @param gradient g, stacked copies (copies · samples) × outputs
  /// @param sensitivity s, samples × outputs, added to
  void addSquares(double scale, Matrix gradient, Matrix sensitivity);

  // ---- upstream gradients and random numbers; see CounterRandom ----

  /// Writes 0: a matrix to add to.
  void clear(Matrix matrix);

  /// Row `c · samples + n` becomes the unit vector of output `firstOutput + c`.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs
  void unitVectors(Matrix upstream, int samples, int firstOutput);

  /// Row `c · samples + n` becomes the Rademacher vector of probe `firstProbe + c` and sample `firstSample +
  /// n`: element k is [CounterRandom#sign].
  ///
  /// @param upstream stacked copies (copies · samples) × outputs
  void rademacherVectors(Matrix upstream, int samples, int firstProbe, long firstSample, long seed);

  /// Element i in row-major order becomes [CounterRandom#uniform] of `seed`, `stream` and i.
  void uniform(Matrix matrix, long seed, long stream);

  // ---- moments and scores ----

  /// The mean over the rows of x into a 1 × columns matrix.
  void columnMeans(Matrix x, Matrix means);

  /// Adds a batch to sums over samples of (s, a − c): M0 += Σ s, M1 += Σ s (a − c)ᵀ, M2 += Σ s ((a − c)∘(a −
  /// c))ᵀ.
  ///
  /// @param sensitivity s, samples × outputs
  /// @param activation a, samples × inputs
  /// @param pilotMean c, 1 × inputs
  /// @param m0 1 × outputs
  /// @param m1 outputs × inputs
  /// @param m2 outputs × inputs
  void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2);

  /// Re-expresses moments of a − c as moments of a − c′: with d = c − c′, M2 += 2 d∘M1 + d² M0 and M1 += d
  /// M0.
  ///
  /// @param from c, 1 × inputs
  /// @param to c′, 1 × inputs
  void shiftMoments(Matrix m0, Matrix m1, Matrix m2, Matrix from, Matrix to);

  /// y += α x, of one shape.
  void add(double alpha, Matrix x, Matrix y);

  /// Importance over M2 and compensation over M1, in place, from sums over `samples` samples (METHOD.md): I =
  /// W² (M2 − M1²/M0) / samples, clamped at 0, and Δb = W (c + M1/M0); 0 in the row of a dead neuron (M0 = 0).
  ///
  /// @param weights W, outputs × inputs
  /// @param pilotMean c, 1 × inputs
  void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples);

  /// |W ∘ F|, where F has the shape of W or is one row for all.
  void absoluteProduct(Matrix weights, Matrix factor, Matrix scores);

  // ---- selection ----

  /// Gives the weights that are already zero the score −1, below every other, so that they count as removed
  /// first.
  ///
  /// @return the row-major index of the first score that is NaN or infinite, −1 if there is none; then nothing
  ///         more may be done with the scores
  long rankZerosFirst(Matrix weights, Matrix scores);

  /// The cuts that remove exactly `count` weights of least score over all matrices together; ties break by
  /// matrix, row, column.
  ///
  /// @param scores one matrix a layer, as left by [#rankZerosFirst]
  /// @param count 0 up to the number of all scores
  /// @return a cut for each matrix
  List<Cut> cuts(List<Matrix> scores, long count);

  /// Marks with +∞ the scores that are kept when the least of each group of neighbours in a row are removed;
  /// a cut with threshold +∞ then removes the others. Group g of the matrix, counted in row-major order,
  /// removes round((g+1)·q) − round(g·q) of its scores with q = `removedPerGroup` (halves up), fewer by what a
  /// last group of a row is narrower; ties break by column.
  ///
  /// @param scores as left by [#rankZerosFirst]
  /// @param groupWidth 1 up to the columns
  /// @return how many scores are left to remove
  long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup);

  /// Zeroes the weights that the cut removes.
  ///
  /// @return the sum of their scores, those of weights that were zero before left out
  double eliminate(Matrix weights, Matrix scores, Cut cut);

  /// Adds to each bias the compensations of the weights of its row that the cut removes: b += Σⱼ Δbᵢⱼ.
  ///
  /// @param bias 1 × outputs
  /// @param compensation Δb, outputs × inputs
  void compensate(Matrix bias, Matrix scores, Matrix compensation, Cut cut);

  // ---- training ----

  /// Softmax cross-entropy L = −Σₖ tₖ ln pₖ with p = softmax(z), and its gradient p Σₖ tₖ − t.
  ///
  /// @param preActivation z, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  void crossEntropy(Matrix preActivation, Matrix targets, Matrix gradient, Matrix losses);

  /// Squared error L = mean over outputs of (a − t)², and its gradient 2 (a − t) / outputs.
  ///
  /// @param activated a, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  void squaredError(Matrix activated, Matrix targets, Matrix gradient, Matrix losses);

  /// One step of Adam; all matrices have one shape.
  ///
  /// @param step 1 for the first, for the correction of the moments' bias
  /// @param keepZeros whether elements of the parameter that are 0 stay 0: pruned weights
  void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros);

  /// Waits for the work and gives back what the backend itself holds; matrices are closed before it.
  @Override
  void close();
}
