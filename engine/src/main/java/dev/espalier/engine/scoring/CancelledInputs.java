package dev.espalier.engine.scoring;

import java.io.Serializable;
import java.util.List;

/// Inputs of a layer whose variances have cancelled in its sums, where it matters.
///
/// @param numbers of the inputs, from 0, ascending
/// @param meanSensitivity of each neuron of the layer over all samples, and all uses of the layer
public record CancelledInputs(List<Integer> numbers, List<Float> meanSensitivity) implements Serializable {
  /// Copies the lists.
  public CancelledInputs {
    numbers = List.copyOf(numbers);
    meanSensitivity = List.copyOf(meanSensitivity);
  }
}
