package dev.espalier.engine.network;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// What a fully-connected network is but for the values of its weights: the activation of each layer is the input of
/// the next.
public interface Architecture {
  /// From the input on, at least one, of different names.
  List<? extends LayerShape> layers();

  /// The width of a sample.
  default int inputs() {
    return layers().getFirst().inputs();
  }

  /// The width of the output y.
  default int outputs() {
    return layers().getLast().outputs();
  }

  /// Weights of all layers, without biases.
  default long weights() {
    return layers().stream().mapToLong(layer -> (long) layer.outputs() * layer.inputs()).sum();
  }

  /// Refuses layers that make no network.
  ///
  /// @throws IllegalArgumentException if there is no layer, two share a name, the widths do not chain, or
  ///                                  softmax stands anywhere but last
  static void requireNetwork(List<? extends LayerShape> layers) {
    if (layers.isEmpty()) {
      throw new IllegalArgumentException("a network needs at least one layer");
    }
    Set<String> names = new HashSet<>();
    for (int l = 0; l < layers.size(); l++) {
      LayerShape layer = layers.get(l);
      if (!names.add(layer.name())) {
        throw new IllegalArgumentException("two layers are called %s".formatted(layer.name()));
      }
      if (l > 0 && layer.inputs() != layers.get(l - 1).outputs()) {
        throw new IllegalArgumentException("layers do not chain: %s takes %d inputs, %s before it has %d outputs"
            .formatted(layer.name(), layer.inputs(), layers.get(l - 1).name(), layers.get(l - 1).outputs()));
      }
      if (!layer.activation().isElementwise() && l < layers.size() - 1) {
        throw new IllegalArgumentException(
            "layer %s: softmax is only possible as the last activation".formatted(layer.name()));
      }
    }
  }
}
