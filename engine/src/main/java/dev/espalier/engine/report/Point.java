package dev.espalier.engine.report;

import java.util.OptionalDouble;

/// One pruned network of a comparison on test data, or the mean of several.
///
/// @param sparsity as it was asked for, 0..1, so that curves have points at the same sparsities
/// @param loss in the units of [Report#lossName()]; absent where samples have no labels
/// @param accuracy 0..1; absent where samples have no class
/// @param outputChange E‖y − y_pruned‖², in squared output units
/// @param lossDeviation standard deviation of the loss; absent of a single network
/// @param accuracyDeviation that of the accuracy
/// @param outputChangeDeviation that of the output change
/// @param predictedChange the output change that the criterion predicts on the samples that the network was pruned with;
///                        absent where the criterion predicts none, or a repair followed
public record Point(double sparsity, OptionalDouble loss, OptionalDouble accuracy, OptionalDouble outputChange,
    OptionalDouble lossDeviation, OptionalDouble accuracyDeviation, OptionalDouble outputChangeDeviation,
    OptionalDouble predictedChange) {
  /// A single network.
  ///
  /// @throws IllegalArgumentException if a value is out of range or not finite
  public Point(double sparsity, OptionalDouble loss, OptionalDouble accuracy, OptionalDouble outputChange) {
    this(sparsity, loss, accuracy, outputChange, OptionalDouble.empty(), OptionalDouble.empty(), OptionalDouble.empty(),
        OptionalDouble.empty());
  }

  /// @throws IllegalArgumentException if a value is out of range or not finite
  public Point {
    Checks.fraction("sparsity", sparsity);
    Checks.finite("loss", loss);
    Checks.fraction("accuracy", accuracy);
    Checks.nonNegative("outputChange", outputChange);
    Checks.nonNegative("lossDeviation", lossDeviation);
    Checks.nonNegative("accuracyDeviation", accuracyDeviation);
    Checks.nonNegative("outputChangeDeviation", outputChangeDeviation);
    Checks.nonNegative("predictedChange", predictedChange);
  }
}
