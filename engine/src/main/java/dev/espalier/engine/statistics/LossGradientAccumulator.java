package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.LayerShape;

/// Sums [gradients of a loss by the weights][Statistic.LossGradient].
public final class LossGradientAccumulator extends Accumulator {
  private LossGradientAccumulator(Backend backend, LayerShape layer, Resources resources) {
    super(backend, new Statistic.LossGradient(), layer.outputs(), layer.inputs(), resources);
  }

  static LossGradientAccumulator allocate(Backend backend, LayerShape layer) {
    return Resources.build(resources -> new LossGradientAccumulator(backend, layer, resources));
  }

  @Override
  public void add(LayerBatch batch) {
    backend().network().product(1, batch.lossGradient().orElseThrow(), true, batch.input(), false, 1, gradient());
  }

  /// Σ ∂L/∂W, outputs × inputs.
  public Matrix gradient() {
    return array("gradient");
  }
}
