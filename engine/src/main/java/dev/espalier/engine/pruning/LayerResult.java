package dev.espalier.engine.pruning;

import dev.espalier.engine.statistics.Histogram;
import java.util.Optional;
import java.util.OptionalDouble;

/// The result of pruning for one layer.
///
/// @param name            of the layer
/// @param excluded        whether it was left alone
/// @param weights         all it has
/// @param removed         those that are zero now, whether pruned now or zero before
/// @param gainedBias      whether it had no bias and has one now
/// @param threshold       no removed weight had a larger importance; absent where there is no single threshold
/// @param predictedChange sum of the importances of the weights removed now, in squared output units; of
///                        `ec` with a sensitivity of the output only
/// @param measuredChange  E‖y − y′‖² on the calibration samples with this layer alone pruned, where it was measured
/// @param importance      distribution of the importances before the last round, where it was asked for
public record LayerResult(String name, boolean excluded, long weights, long removed, boolean gainedBias,
    OptionalDouble threshold, OptionalDouble predictedChange, OptionalDouble measuredChange,
    Optional<Histogram> importance) {
  /// Weights that are not zero.
  public long kept() {
    return weights - removed;
  }

  /// Fraction of weights that are zero, 0..1.
  public double sparsity() {
    return (double) removed / weights;
  }
}
