package dev.espalier.engine.network;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.Nouns;
import java.util.List;
import java.util.stream.IntStream;

/// A fully-connected network with its weights in memory.
///
/// @param graph how its layers are connected
/// @param layers the dense layers in the order of the graph; each names the activation that follows it there
public record DenseNetwork(Graph graph, List<DenseLayer> layers) implements Architecture {
  /// @throws MismatchException if the layers are not those of the graph
  /// @throws NonFiniteException if a weight or bias is NaN or infinite; the message names the tensor and the index
  public DenseNetwork {
    layers = List.copyOf(layers);
    if (layers.size() != graph.layers().size()) {
      throw new MismatchException(
          "%s, but the graph has %d".formatted(Nouns.counted(layers.size(), "layer"), graph.layers().size()));
    }
    for (int l = 0; l < layers.size(); l++) {
      layers.get(l).requireFits(graph.layers().get(l), graph.activation(l));
      layers.get(l).requireFinite();
    }
  }

  /// A chain of layers.
  ///
  /// @throws MismatchException if there is no layer, two share a name, the widths do not chain, or softmax stands
  ///                           anywhere but last
  /// @throws NonFiniteException if a weight or bias is NaN or infinite; the message names the tensor and the index
  public DenseNetwork(List<DenseLayer> layers) {
    this(Graph.chain(layers), layers);
  }

  /// The part of a network of several outputs that computes one of them, with the same weights.
  ///
  /// @throws MismatchException if no output has the name
  public DenseNetwork head(String name) {
    Graph part = graph.head(name);
    List<String> names = part.layers().stream().map(Node.Dense::name).toList();
    return new DenseNetwork(part, names.stream()
        .map(layer -> layers.get(graph.layers().stream().map(Node.Dense::name).toList().indexOf(layer))).toList());
  }

  /// The activations of the layers.
  public Activations activations() {
    return new Activations(layers.stream().map(DenseLayer::activation).toList());
  }

  /// The fraction of all weights that are zero, 0..1.
  public double sparsity() {
    return (double) zeros() / weights();
  }

  /// Multiply-adds of one sample in a forward pass that skips zeros: a tied layer counts for each of its uses.
  public long nonzeroMultiplyAdds() {
    return IntStream.range(0, layers.size())
        .mapToLong(l -> graph.uses(l).length * (layers.get(l).weights().elements() - layers.get(l).weights().zeros()))
        .sum();
  }

  /// Weights of all layers that are zero.
  public long zeros() {
    return layers.stream().mapToLong(layer -> layer.weights().zeros()).sum();
  }
}
