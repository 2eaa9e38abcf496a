package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;

/// Sums a [Statistic] of one layer over batches, in the memory of one backend.
public abstract sealed class Accumulator implements Resource
    permits MomentsAccumulator, InputSquaresAccumulator, LossGradientAccumulator {
  private final Backend backend;
  private final Statistic statistic;
  private final Map<String, Matrix> arrays = new LinkedHashMap<>();
  private final Resources resources;
  private final int outputs;
  private final int inputs;
  private long samples;

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

  /// Samples added.
  public final long samples() {
    return samples;
  }

  /// Counts a batch, before [#add]. The first batch of an accumulator must have run its passes by then, because it may
  /// set what the sums are taken around.
  public final void begin(LayerBatch batch) {
    if (samples == 0) {
      first(batch);
    }
    samples += batch.samples();
  }

  /// Prepares for the first batch.
  void first(LayerBatch batch) {
    // Most sums need nothing.
  }

  /// Adds a batch that was counted: work that [Backend#repeat] may repeat.
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
    arrays.forEach((name, matrix) -> backend.upload(sums.array(name), matrix));
    samples = sums.samples();
  }

  @Override
  public final void close() {
    resources.close();
  }
}
