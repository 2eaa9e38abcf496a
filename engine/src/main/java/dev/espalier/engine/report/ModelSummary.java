package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonProperty;

/// The size of a network and how much of it is zero.
///
/// @param weights weights of all layers, biases not counted; at least 1
/// @param removed of these, the ones that are zero; 0..`weights`
public record ModelSummary(long weights, long removed) {
  /// @throws IllegalArgumentException if a count is out of range
  public ModelSummary {
    Checks.removed(weights, removed);
  }

  /// The fraction of weights removed, 0..1.
  @JsonProperty
  public double sparsity() {
    return (double) removed / weights;
  }
}
