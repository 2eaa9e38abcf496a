package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Matrix;
import java.util.Optional;

/// The values of one batch at one layer, in the memory of the backend that computed them.
///
/// @param input a, samples × inputs
/// @param sensitivity s, samples × outputs, where it was computed
/// @param lossGradient ∂L/∂z, samples × outputs, where it was computed
public record LayerBatch(Matrix input, Optional<Matrix> sensitivity, Optional<Matrix> lossGradient) {
  /// How many samples the batch has.
  public int samples() {
    return input.rows();
  }
}
