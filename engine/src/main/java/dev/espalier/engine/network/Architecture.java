package dev.espalier.engine.network;

import java.util.List;

/// The structure of a network without its weights: the graph and the shapes of its layers.
public interface Architecture {
  /// How the layers are connected.
  Graph graph();

  /// The dense layers in the order of the graph.
  List<? extends LayerShape> layers();

  /// The width of a sample.
  default int inputs() {
    return graph().inputs();
  }

  /// The width of the output y.
  default int outputs() {
    return graph().outputs();
  }

  /// Weights of all layers, without biases.
  default long weights() {
    return graph().weights();
  }
}
