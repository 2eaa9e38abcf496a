package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.LayerShape;

/// Sums [weighted moments][Statistic.WeightedMoments]. The shift by a pilot mean keeps the variance of an input from
/// cancelling where its mean is far larger than its spread (docs/method.md, pilot mean).
public final class MomentsAccumulator extends Accumulator {
  private final boolean shifted;

  private MomentsAccumulator(Backend backend, LayerShape layer, boolean shifted, Resources resources) {
    super(backend, new Statistic.WeightedMoments(), layer.outputs(), layer.inputs(), resources);
    this.shifted = shifted;
  }

  static MomentsAccumulator allocate(Backend backend, LayerShape layer, boolean shifted) {
    return Resources.build(resources -> new MomentsAccumulator(backend, layer, shifted, resources));
  }

  @Override
  void first(LayerBatch batch) {
    if (shifted) {
      backend().moments().columnMeans(batch.input(), pilotMean());
    }
  }

  @Override
  boolean isSum(String name) {
    return !name.equals("pilot_mean");
  }

  @Override
  public void add(LayerBatch batch) {
    backend().moments().addMoments(batch.sensitivity().orElseThrow(), batch.input(), pilotMean(), m0(), m1(), m2());
  }

  /// c, 1 × inputs; 0 of raw moments.
  public Matrix pilotMean() {
    return array("pilot_mean");
  }

  /// M0, 1 × outputs.
  public Matrix m0() {
    return array("m0");
  }

  /// M1, outputs × inputs.
  public Matrix m1() {
    return array("m1");
  }

  /// M2, outputs × inputs.
  public Matrix m2() {
    return array("m2");
  }
}
