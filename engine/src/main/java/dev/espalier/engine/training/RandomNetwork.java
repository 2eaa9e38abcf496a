package dev.espalier.engine.training;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Networks with random weights, to start training from.
public final class RandomNetwork {
  private RandomNetwork() {}

  /// A chain of layers with normal random weights, of variance 2 / inputs before ReLU-like activations [He et al. 2015]
  /// and 2 / (inputs + outputs) before others [Glorot & Bengio 2010], and zero biases. Layers are called 0, 2, 4 … as
  /// in PyTorch's `nn.Sequential`, where activations stand between.
  ///
  /// @param widths of the input and of each layer's output, at least two
  /// @param activations one for each layer
  /// @param arena takes the memory of the network
  /// @throws IllegalArgumentException if the numbers do not fit
  public static DenseNetwork chain(List<Integer> widths, List<Activation> activations, long seed, Arena arena) {
    if (widths.size() < 2 || activations.size() != widths.size() - 1) {
      throw new IllegalArgumentException("%d widths make %d layers, but there are %d activations"
          .formatted(widths.size(), widths.size() - 1, activations.size()));
    }
    Graph.Builder builder = new Graph.Builder(widths.getFirst());
    int value = 0;
    for (int l = 0; l < activations.size(); l++) {
      value = builder.activate(builder.dense(String.valueOf(2 * l), value, widths.get(l + 1)), activations.get(l));
    }
    return of(builder.build(), seed, arena);
  }

  /// A network of any graph, with the weights of [#chain] in each layer.
  ///
  /// @param arena takes the memory of the network
  public static DenseNetwork of(Graph graph, long seed, Arena arena) {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < graph.layers().size(); l++) {
      Node.Dense layer = graph.layers().get(l);
      Activation activation = graph.activation(l);
      double deviation = Math.sqrt(2.0 / switch (activation.kind()) {
        case RELU, RELU6, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH, HARDSWISH, SOFTPLUS -> layer.inputWidth();
        case IDENTITY, HARDSIGMOID, SOFTSIGN, TANH, SIGMOID, SIN, SOFTMAX, LOG_SOFTMAX ->
          layer.inputWidth() + layer.width();
      });
      MatrixView weights = MatrixView.allocate(arena, layer.width(), layer.inputWidth());
      for (long i = 0; i < weights.elements(); i++) {
        weights.segment().setAtIndex(MatrixView.ELEMENT, i,
            (float) (deviation * CounterRandom.gaussian(seed, CounterRandom.WEIGHTS + l, i)));
      }
      layers.add(
          new DenseLayer(layer.name(), weights, Optional.of(MatrixView.allocate(arena, 1, layer.width())), activation));
    }
    return new DenseNetwork(graph, layers);
  }
}
