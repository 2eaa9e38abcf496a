package dev.espalier.engine.training;

import dev.espalier.engine.backend.CounterRandom;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
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
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < activations.size(); l++) {
      int inputs = widths.get(l);
      int outputs = widths.get(l + 1);
      double deviation = Math.sqrt(2.0 / switch (activations.get(l).kind()) {
        case RELU, RELU6, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH, HARDSWISH, SOFTPLUS -> inputs;
        case IDENTITY, HARDSIGMOID, SOFTSIGN, TANH, SIGMOID, SIN, SOFTMAX -> inputs + outputs;
      });
      MatrixView weights = MatrixView.allocate(arena, outputs, inputs);
      for (long i = 0; i < weights.elements(); i++) {
        weights.segment().setAtIndex(MatrixView.ELEMENT, i,
            (float) (deviation * CounterRandom.gaussian(seed, CounterRandom.WEIGHTS + l, i)));
      }
      layers.add(new DenseLayer(String.valueOf(2 * l), weights, Optional.of(MatrixView.allocate(arena, 1, outputs)),
          activations.get(l)));
    }
    return new DenseNetwork(layers);
  }
}
