package dev.espalier.engine.report;

import java.util.List;
import java.util.OptionalDouble;

/// The part of a report about how far a backend's scores are from the reference's.
///
/// @param samples that both scored with
/// @param sparsity the fraction of these layers' weights that both removed, 0..1
/// @param layers those that were scored
public record Deviations(long samples, double sparsity, List<Layer> layers) {

  /// One layer. Deviations are fractions of the largest absolute value of the reference's scores; infinite where the
  /// reference has zeros only.
  ///
  /// @param importance the largest of an importance
  /// @param compensation the largest of a compensation, where there are any
  /// @param selected weights that the reference removes
  /// @param differing weights that one of the two removes and the other keeps
  public record Layer(String name, double importance, OptionalDouble compensation, long selected, long differing) {
    /// @throws IllegalArgumentException if a value is negative
    public Layer {
      Checks.text("name", name);
      if (!(importance >= 0 && compensation.orElse(0) >= 0 && selected >= 0 && differing >= 0)) {
        throw new IllegalArgumentException("importance=%s, compensation=%s, selected=%d, differing=%d"
            .formatted(importance, compensation, selected, differing));
      }
    }
  }

  /// @throws IllegalArgumentException if a value is out of range
  public Deviations {
    Checks.fraction("sparsity", sparsity);
    if (samples < 0) {
      throw new IllegalArgumentException("samples=" + samples);
    }
    layers = List.copyOf(layers);
  }
}
