package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Cut;
import java.util.List;

/// Ranked scores of a network's layers, wherever they are: what a selection needs to know of them.
public interface Ranking {
  /// How many layers were scored. Methods number them from 0 in the order of the network.
  int size();

  /// The number of the i-th scored layer in its network.
  int layer(int i);

  /// The name of the i-th scored layer.
  String name(int i);

  /// The neurons of the i-th scored layer.
  int rows(int i);

  /// The inputs of the i-th scored layer.
  int columns(int i);

  /// As [dev.espalier.engine.backend.SelectionOperations#cuts], of some of the layers.
  ///
  /// @param layers of the scored ones, ascending
  List<Cut.Below> cuts(List<Integer> layers, long count);

  /// The weights of the i-th scored layer.
  default long elements(int i) {
    return (long) rows(i) * columns(i);
  }
}
