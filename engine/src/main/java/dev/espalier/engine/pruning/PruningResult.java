package dev.espalier.engine.pruning;

import dev.espalier.engine.network.DenseNetwork;
import java.util.List;
import java.util.OptionalDouble;

/// A pruned network and a description of the pruning.
///
/// @param network        the pruned network, in memory of the arena that was passed
/// @param layers         one for each layer of the network
/// @param measuredChange E‖y − y′‖² on the calibration samples, where it was measured
/// @param outputSquare   E‖y‖² before pruning, where that was measured
/// @param notes          facts that a user should know, for example that a layer gained a bias; one sentence each
public record PruningResult(DenseNetwork network, List<LayerResult> layers, OptionalDouble measuredChange,
    OptionalDouble outputSquare, List<String> notes) {
  /// Copies the lists.
  public PruningResult {
    layers = List.copyOf(layers);
    notes = List.copyOf(notes);
  }

  /// This result with other notes.
  public PruningResult withNotes(List<String> value) {
    return new PruningResult(network, layers, measuredChange, outputSquare, value);
  }

  /// Weights of the layers that were not excluded.
  public long prunableWeights() {
    return layers.stream().filter(layer -> !layer.excluded()).mapToLong(LayerResult::weights).sum();
  }

  /// Weights of the layers that were not excluded that are zero now.
  public long removed() {
    return layers.stream().filter(layer -> !layer.excluded()).mapToLong(LayerResult::removed).sum();
  }

  /// Fraction of the prunable weights that are zero now, 0..1.
  public double sparsity() {
    return (double) removed() / prunableWeights();
  }
}
