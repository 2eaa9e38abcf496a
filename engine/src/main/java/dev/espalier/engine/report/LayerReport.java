package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import dev.espalier.engine.statistics.Density;
import dev.espalier.engine.statistics.Histogram;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;

/// The part of a report about one layer.
///
/// @param name as in the model file, for example `0.weight`
/// @param activation for example `relu`; empty of a layer of which it is not known
/// @param removed weights that are zero now; 0..`outputs · inputs`
/// @param predictedChange the change that the criterion predicts, in squared output units
/// @param measuredChange E‖y − y_pruned‖² on the calibration samples with this layer alone pruned
/// @param importance of the layer's weights before the removal
/// @param threshold the importance up to which weights were removed; absent where no single one applies, as
///                  with the scopes `row` and `n:m`
/// @param mask the weights that are left
/// @param pixels the weights that are left of each input, where inputs are the pixels of a picture
@JsonPropertyOrder({"name", "outputs", "inputs", "activation", "weights", "removed", "sparsity"})
public record LayerReport(String name, int outputs, int inputs, String activation, long removed,
    OptionalDouble predictedChange, OptionalDouble measuredChange, Optional<Histogram> importance,
    OptionalDouble threshold, Optional<Density> mask, Optional<Density> pixels) {

  /// @throws IllegalArgumentException if a value is out of range, or the histogram does not count each weight
  ///                                  once
  public LayerReport {
    Checks.text("name", name);
    Objects.requireNonNull(activation, "activation");
    if (outputs < 1 || inputs < 1) {
      throw new IllegalArgumentException("outputs=%d, inputs=%d".formatted(outputs, inputs));
    }
    long weights = (long) outputs * inputs;
    Checks.removed(weights, removed);
    Checks.nonNegative("predictedChange", predictedChange);
    Checks.nonNegative("measuredChange", measuredChange);
    Checks.nonNegative("threshold", threshold);
    Objects.requireNonNull(importance, "importance");
    importance.ifPresent(histogram -> {
      if (histogram.total() != weights) {
        throw new IllegalArgumentException(
            "importance counts %d weights, the layer has %d".formatted(histogram.total(), weights));
      }
    });
  }

  /// A layer without pictures of what is left of it.
  ///
  /// @throws IllegalArgumentException as the other
  public LayerReport(String name, int outputs, int inputs, String activation, long removed,
      OptionalDouble predictedChange, OptionalDouble measuredChange, Optional<Histogram> importance,
      OptionalDouble threshold) {
    this(name, outputs, inputs, activation, removed, predictedChange, measuredChange, importance, threshold,
        Optional.empty(), Optional.empty());
  }

  /// A layer of which only the shape and the count of zeros are known.
  public static LayerReport of(String name, int outputs, int inputs, String activation, long removed) {
    return new LayerReport(name, outputs, inputs, activation, removed, OptionalDouble.empty(), OptionalDouble.empty(),
        Optional.empty(), OptionalDouble.empty());
  }

  /// The same layer with pictures of what is left of it.
  public LayerReport with(Density newMask, Optional<Density> newPixels) {
    return new LayerReport(name, outputs, inputs, activation, removed, predictedChange, measuredChange, importance,
        threshold, Optional.of(newMask), newPixels);
  }

  /// Weights in the layer, its bias not counted.
  @JsonProperty
  public long weights() {
    return (long) outputs * inputs;
  }

  /// The fraction of weights removed, 0..1.
  @JsonProperty
  public double sparsity() {
    return (double) removed / weights();
  }
}
