package dev.espalier.engine.network;

import java.util.List;

/// A fully-connected network with its weights in memory.
///
/// @param layers from the input on, at least one, of different names
public record DenseNetwork(List<DenseLayer> layers) implements Architecture {
  /// @throws IllegalArgumentException if there is no layer, two share a name, the widths do not chain, or
  ///                                  softmax stands anywhere but last
  public DenseNetwork {
    layers = List.copyOf(layers);
    Architecture.requireNetwork(layers);
  }
}
