package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.LayerShape;

/// Sums [squared inputs][Statistic.InputSquares].
public final class InputSquaresAccumulator extends Accumulator {
  private InputSquaresAccumulator(Backend backend, LayerShape layer, Resources resources) {
    super(backend, new Statistic.InputSquares(), layer.outputs(), layer.inputs(), resources);
  }

  static InputSquaresAccumulator allocate(Backend backend, LayerShape layer) {
    return Resources.build(resources -> new InputSquaresAccumulator(backend, layer, resources));
  }

  @Override
  public void add(LayerBatch batch) {
    backend().moments().addColumnSquares(batch.input(), squares());
  }

  /// Σ a∘a, 1 × inputs.
  public Matrix squares() {
    return array("squares");
  }
}
