package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/// Sums a [Statistic] of one layer over batches, in the memory of one backend. Roundings of float32 may all go the same
/// way, as where a batch comes again and again, so that n batches may be off by n · 2⁻²⁴: after [#BATCHES] of them the
/// sums go to others in double on the host, and start again at 0. Those take 8 bytes an element.
public abstract sealed class Accumulator implements Resource
    permits MomentsAccumulator, InputSquaresAccumulator, InputMomentsAccumulator, LossGradientAccumulator {
  /// Most batches that are added up in float32, off by 3 · 10⁻⁵ at most.
  static final int BATCHES = 512;

  /// Sums of a backend in double stay where they are.
  private static final double DOUBLE_ROUNDOFF = 1e-12;

  private final Backend backend;
  private final Statistic statistic;
  private final Map<String, Matrix> arrays = new LinkedHashMap<>();
  private final Resources resources;
  private final int outputs;
  private final int inputs;
  private long samples;
  private int batches;
  /// In double, what the arrays do not hold; shared, because workers add and another thread closes.
  private final Map<String, MemorySegment> earlier = new LinkedHashMap<>();
  private Optional<Arena> memory = Optional.empty();

  /// @param resources of which the arrays become a part
  Accumulator(Backend backend, Statistic statistic, int outputs, int inputs, Resources resources) {
    this.backend = backend;
    this.statistic = statistic;
    this.outputs = outputs;
    this.inputs = inputs;
    this.resources = resources;
    for (Statistic.Array array : statistic.arrays(outputs, inputs)) {
      Matrix matrix = array.rows() > 1
          ? backend.allocateWeights(array.rows(), array.columns())
          : backend.allocate(array.rows(), array.columns());
      arrays.put(array.name(), resources.own(matrix));
    }
  }

  final Backend backend() {
    return backend;
  }

  /// An array of the sums, by its name.
  final Matrix array(String name) {
    return arrays.get(name);
  }

  /// What it sums.
  public final Statistic statistic() {
    return statistic;
  }

  /// Samples added, however often the layer is used.
  public final long samples() {
    return samples;
  }

  /// Counts a batch, before [#add]. The first batch of an accumulator must have run its passes by then, because it may
  /// set what the sums are taken around.
  ///
  /// @param batch at the first use of the layer
  /// @param uses how often the batch is added: the sums of a tied layer are those of all its uses
  public final void begin(LayerBatch batch, int uses) {
    if (samples == 0) {
      first(batch);
    }
    prepare(batch, uses);
    if (batches + uses > BATCHES && backend.moments().roundoff() > DOUBLE_ROUNDOFF) {
      moveToDouble();
    }
    batches += uses;
    samples += batch.samples();
  }

  /// Whether an array is a sum over samples, rather than what the sums are taken around.
  boolean isSum(String name) {
    return true;
  }

  @SuppressWarnings("MustBeClosedChecker") // close() closes it
  private void moveToDouble() {
    if (memory.isEmpty()) {
      memory = Optional.of(Arena.ofShared());
    }
    Arena lasting = memory.get();
    try (Arena arena = Arena.ofShared()) {
      arrays.forEach((name, matrix) -> {
        if (isSum(name)) {
          MatrixView now = backend.onHost(matrix, arena);
          MemorySegment sum = earlier.computeIfAbsent(name,
              _ -> lasting.allocate(ValueLayout.JAVA_DOUBLE, now.elements()));
          for (long i = 0; i < now.elements(); i++) {
            sum.setAtIndex(ValueLayout.JAVA_DOUBLE, i,
                sum.getAtIndex(ValueLayout.JAVA_DOUBLE, i) + now.segment().getAtIndex(MatrixView.ELEMENT, i));
          }
          backend.clear(matrix);
        }
      });
    }
    batches = 0;
  }

  /// Brings all that was added into the arrays, each element rounded once; before they are read.
  public final void settle() {
    if (earlier.isEmpty()) {
      return;
    }
    moveToDouble();
    earlier.forEach((name, sum) -> {
      Matrix matrix = arrays.get(name);
      try (Arena arena = Arena.ofShared()) {
        MatrixView rounded = MatrixView.allocate(arena, matrix.rows(), matrix.columns());
        for (long i = 0; i < rounded.elements(); i++) {
          rounded.segment().setAtIndex(MatrixView.ELEMENT, i, (float) sum.getAtIndex(ValueLayout.JAVA_DOUBLE, i));
        }
        backend.upload(rounded, matrix);
      }
    });
    forgetEarlier();
  }

  private void forgetEarlier() {
    earlier.clear();
    memory.ifPresent(Arena::close);
    memory = Optional.empty();
    batches = 0;
  }

  /// Prepares for the first batch.
  void first(LayerBatch batch) {
    // Most sums need nothing.
  }

  /// Prepares for a batch that is added `uses` times.
  void prepare(LayerBatch batch, int uses) {
    // Most sums need nothing.
  }

  /// Adds a batch that was counted, at one use of the layer: work that [Backend#repeat] may repeat.
  public abstract void add(LayerBatch batch);

  /// The sums so far, in memory of `arena`.
  public final Sums sums(Arena arena) {
    return sums(matrix -> backend.download(matrix, arena));
  }

  /// The sums so far, where they lie if that is host memory, otherwise in memory of `arena`. They are valid until the
  /// next batch is added.
  public final Sums onHost(Arena arena) {
    return sums(matrix -> backend.onHost(matrix, arena));
  }

  private Sums sums(Function<Matrix, MatrixView> view) {
    settle();
    Map<String, MatrixView> views = new LinkedHashMap<>();
    arrays.forEach((name, matrix) -> views.put(name, view.apply(matrix)));
    return new Sums(statistic, outputs, inputs, samples, views);
  }

  /// Adds sums of other samples, as [Sums#merge] does.
  ///
  /// @throws IllegalArgumentException if they are of another statistic or shape
  public final void merge(Sums other) {
    try (Arena arena = Arena.ofShared()) {
      load(onHost(arena).add(other));
    }
  }

  /// Goes on from other sums; what was added before is forgotten.
  ///
  /// @throws IllegalArgumentException if they are of another statistic or shape
  public final void load(Sums sums) {
    sums.requireLike(statistic, outputs, inputs);
    forgetEarlier();
    arrays.forEach((name, matrix) -> backend.upload(sums.array(name), matrix));
    samples = sums.samples();
  }

  @Override
  public final void close() {
    forgetEarlier();
    resources.close();
  }
}
