package dev.espalier.engine.network;

import java.io.Serializable;
import java.util.List;

/// A node of a [Graph]: it computes one value, samples × [#width], from the values of earlier nodes. Nodes know shapes;
/// weights and biases belong to the networks that share a graph.
public sealed interface Node extends Serializable {
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
  /// @param isRepeated whether an earlier node is the layer of this name, whose weights and bias this one uses again
  record Dense(String name, int input, int inputWidth, int width, boolean isRepeated) implements Node {
    /// The first use of a layer.
    public Dense(String name, int input, int inputWidth, int width) {
      this(name, input, inputWidth, width, false);
    }

    /// Fingerprints of networks, which files keep, are of this text, whatever the locale.
    @Override
    public String toString() {
      return "Dense[name=" + name + ", input=" + input + ", inputWidth=" + inputWidth + ", width=" + width
          + (isRepeated ? ", isRepeated=true]" : "]");
    }

    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }
  }

  /// φ(z), element by element, or row by row for softmax and its logarithm.
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

  /// The product of two values of one width, element by element.
  record Multiply(int left, int right, int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(left, right);
    }
  }

  /// γ∘x + β, with constants γ and β for each feature, which nothing prunes or trains.
  ///
  /// @param input the node that computes x
  /// @param factors γ
  /// @param shifts β
  record Scale(int input, List<Float> factors, List<Float> shifts) implements Node {
    /// Copies the lists.
    public Scale {
      factors = List.copyOf(factors);
      shifts = List.copyOf(shifts);
    }

    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }

    @Override
    public int width() {
      return factors.size();
    }
  }

  /// (x − m) / √(v + ε) by rows, with m the mean of a row and v the mean of (x − m)²: a layer normalisation without its
  /// constants, which are a [Scale].
  ///
  /// @param input the node that computes x
  /// @param centred whether m is the mean; otherwise it is 0, as in a normalisation by the root of mean squares
  /// @param epsilon ε, above 0
  record Normalize(int input, boolean centred, double epsilon, int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }
  }

  /// Neighbouring features of a value.
  ///
  /// @param input the node that computes it
  /// @param first the number of the first feature
  record Slice(int input, int first, int width) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }
  }

  /// The sum of the features of a value.
  ///
  /// @param input the node that computes it
  record Sum(int input) implements Node {
    @Override
    public List<Integer> inputs() {
      return List.of(input);
    }

    @Override
    public int width() {
      return 1;
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
