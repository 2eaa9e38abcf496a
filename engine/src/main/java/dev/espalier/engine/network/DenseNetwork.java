package dev.espalier.engine.network;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// A fully-connected network: the activation of each layer is the input of the next.
///
/// @param layers from the input on, at least one, of different names
public record DenseNetwork(List<DenseLayer> layers) {
  /// @throws IllegalArgumentException if there is no layer, two share a name, the widths do not chain, or
  ///                                  softmax stands anywhere but last
  public DenseNetwork {
    layers = List.copyOf(layers);
    if (layers.isEmpty()) {
      throw new IllegalArgumentException("a network needs at least one layer");
    }
    Set<String> names = new HashSet<>();
    for (int l = 0; l < layers.size(); l++) {
      DenseLayer layer = layers.get(l);
      if (!names.add(layer.name())) {
        throw new IllegalArgumentException("two layers are called %s".formatted(layer.name()));
      }
      if (l > 0 && layer.inputs() != layers.get(l - 1).outputs()) {
        throw new IllegalArgumentException(
            "layers do not chain: %s takes %d inputs, %s before it has %d outputs"
                .formatted(layer.name(), layer.inputs(), layers.get(l - 1).name(),
                    layers.get(l - 1).outputs()));
      }
      if (!layer.activation().isElementwise() && l < layers.size() - 1) {
        throw new IllegalArgumentException(
            "layer %s: softmax is only possible as the last activation".formatted(layer.name()));
      }
    }
  }

  /// The width of a sample.
  public int inputs() {
    return layers.getFirst().inputs();
  }

  /// The width of the output y.
  public int outputs() {
    return layers.getLast().outputs();
  }

  /// Weights of all layers, without biases.
  public long weights() {
    return layers.stream().mapToLong(layer -> layer.weights().elements()).sum();
  }
}
