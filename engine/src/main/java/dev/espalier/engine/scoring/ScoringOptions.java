package dev.espalier.engine.scoring;

import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import java.util.Optional;

/// How weights are scored.
///
/// @param criterion what importance is
/// @param compensation whether compensations are wanted beside importances
/// @param newBias whether a layer without a bias may gain one
/// @param sensitivity how the sensitivity of neurons is found, where moments are needed
/// @param loss of the gradient criterion; by default what fits network and labels
/// @param batchSize samples in a batch, at least 1
/// @param seed of probes and of the random criterion
public record ScoringOptions(Criterion criterion, boolean compensation, boolean newBias, Sensitivity sensitivity,
    Optional<Loss> loss, int batchSize, long seed) {
  /// @throws IllegalArgumentException if the batch size is below 1
  public ScoringOptions {
    if (batchSize < 1) {
      throw new IllegalArgumentException("batch size %d: use at least 1".formatted(batchSize));
    }
  }

  /// Whether moments of activations, and with them sensitivities, are needed.
  public boolean needsMoments() {
    return criterion == Criterion.ELIMINATION_COMPENSATION || compensation;
  }

  /// Whether calibration samples are needed.
  public boolean needsSamples() {
    return compensation || criterion.needsSamples();
  }
}
