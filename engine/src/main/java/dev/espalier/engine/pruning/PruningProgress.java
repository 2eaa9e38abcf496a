package dev.espalier.engine.pruning;

import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.statistics.Histogram;
import java.util.List;
import java.util.Optional;

/// What a pruning has to know of its rounds so far, beside the weights and biases, to go on as if it had not paused.
///
/// @param rounds that are done
/// @param layers one for each layer that is not excluded, in order
/// @param repairs the state of each repair
public record PruningProgress(int rounds, List<Layer> layers, List<List<Integer>> repairs) {
  /// Of one layer.
  ///
  /// @param number in the network
  /// @param predicted sum of the importances of the weights removed so far
  /// @param cut of the last round
  /// @param zero whether all importances were 0 in a round
  /// @param importance distribution before the last round, where it is wanted
  public record Layer(int number, double predicted, Cut cut, boolean zero, Optional<Histogram> importance) {}

  /// Copies the lists.
  public PruningProgress {
    layers = List.copyOf(layers);
    repairs = List.copyOf(repairs);
  }
}
