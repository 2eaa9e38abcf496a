package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.LayerShape;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;

/// Sums [moments of inputs][Statistic.InputMoments].
public final class InputMomentsAccumulator extends Accumulator {
  private final Resources resources;
  /// Sensitivities of 1, of as many samples as the largest batch so far; of a tied layer, its uses share that.
  private Optional<Matrix> ones = Optional.empty();
  /// Their sum, which nobody reads.
  private final Matrix total;

  private InputMomentsAccumulator(Backend backend, LayerShape layer, Resources resources) {
    super(backend, new Statistic.InputMoments(), layer.outputs(), layer.inputs(), resources);
    this.resources = resources;
    total = resources.own(backend.allocate(1, 1));
  }

  static InputMomentsAccumulator allocate(Backend backend, LayerShape layer) {
    return Resources.build(resources -> new InputMomentsAccumulator(backend, layer, resources));
  }

  @Override
  void first(LayerBatch batch) {
    backend().moments().columnMeans(batch.input(), array("pilot_mean"));
  }

  @Override
  void prepare(LayerBatch batch, int uses) {
    if (ones.isEmpty() || ones.get().rows() < batch.samples()) {
      Matrix more = resources.own(backend().allocate(batch.samples(), 1));
      try (Arena arena = Arena.ofConfined()) {
        float[] values = new float[batch.samples()];
        Arrays.fill(values, 1f / uses);
        backend().upload(MatrixView.of(arena, values.length, 1, values), more);
      }
      ones = Optional.of(more);
    }
  }

  @Override
  boolean isSum(String name) {
    return !name.equals("pilot_mean");
  }

  @Override
  public void add(LayerBatch batch) {
    backend().moments().addMoments(ones.orElseThrow().slice(0, batch.samples()), batch.input(), array("pilot_mean"),
        total, array("m1"), array("m2"));
  }
}
