package dev.espalier.engine.report;

import java.util.OptionalDouble;

/// One pruned network of a comparison, on test data.
///
/// @param sparsity as it was asked for, 0..1, so that curves have points at the same sparsities
/// @param loss in the units of [Report#lossName()]; absent where samples have no labels
/// @param accuracy 0..1; absent where samples have no class
/// @param outputChange E‖y − y_pruned‖², in squared output units
public record Point(double sparsity, OptionalDouble loss, OptionalDouble accuracy, OptionalDouble outputChange) {
  /// @throws IllegalArgumentException if a value is out of range or not finite
  public Point {
    Checks.fraction("sparsity", sparsity);
    Checks.finite("loss", loss);
    Checks.fraction("accuracy", accuracy);
    Checks.nonNegative("outputChange", outputChange);
  }
}
