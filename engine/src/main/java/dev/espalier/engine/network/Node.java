package dev.espalier.engine.network;

import java.util.List;

/// A node of a [Graph]: it computes one value, samples × [#width], from the values of earlier nodes. Nodes know shapes;
/// weights and biases belong to the networks that share a graph.
public sealed interface Node {
  /// The numbers of the nodes whose values it reads.
  List<Integer> inputs();

  /// The width of its value.
  int width();

  /// The samples.
  record Input(int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of();
    }
  }

  /// z = x·Wᵀ + b, the pre-activation of a dense layer.
  ///
  /// @param name of the layer
  /// @param input the node that computes x
  /// @param inputWidth the width of x
  /// @param width the number of neurons
  record Dense(String name, int input, int inputWidth, int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }
  }

  /// φ(z), element by element, or row by row for softmax.
  ///
  /// @param input the node that computes z
  record Activate(int input, Activation activation, int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }
  }

  /// The sum of values of one width.
  ///
  /// @param inputs the nodes that compute them, at least one
  record Add(List<Integer> inputs, int width) implements Node {
    /// Copies the list.
    public Add {
      inputs = List.copyOf(inputs);
    }
  }

  /// Values side by side.
  ///
  /// @param inputs the nodes that compute them, from the first column on, at least one
  record Concat(List<Integer> inputs, int width) implements Node {
    /// Copies the list.
    public Concat {
      inputs = List.copyOf(inputs);
    }
  }
}
