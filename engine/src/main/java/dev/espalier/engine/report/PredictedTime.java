package dev.espalier.engine.report;

import java.util.OptionalDouble;

/// How long a network is expected to take, by times that were measured of layers of its widths.
///
/// @param batch  samples of a call
/// @param dense  seconds, where zeros are multiplied too
/// @param sparse seconds, where zeros are skipped; absent where its sparsity was not measured
public record PredictedTime(int batch, double dense, OptionalDouble sparse) {
  /// @throws IllegalArgumentException if a number is negative, or not finite
  public PredictedTime {
    if (batch < 1) {
      throw new IllegalArgumentException("batch=" + batch);
    }
    Checks.nonNegative("dense", dense);
    sparse.ifPresent(seconds -> Checks.nonNegative("sparse", seconds));
  }
}
