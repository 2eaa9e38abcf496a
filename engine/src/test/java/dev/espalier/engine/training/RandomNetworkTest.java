package dev.espalier.engine.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class RandomNetworkTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  private static DenseNetwork network(long seed, Arena arena) {
    return RandomNetwork.chain(List.of(30, 20, 10), List.of(Activation.RELU, Activation.SOFTMAX), seed, arena);
  }

  private static List<Float> weights(DenseNetwork network) {
    List<Float> all = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      for (float weight : layer.weights().toArray()) {
        all.add(weight);
      }
    }
    return all;
  }

  /// Whatever other numbers were drawn, and on whatever threads.
  @Test
  void everyWeightIsAFunctionOfSeedLayerAndPosition() throws Exception {
    DenseNetwork network = network(7, arena);
    double[] deviations = {Math.sqrt(2.0 / 30), Math.sqrt(2.0 / (20 + 10))}; // He; Glorot
    for (int l = 0; l < 2; l++) {
      MatrixView weights = network.layers().get(l).weights();
      for (int i = 0; i < weights.rows(); i++) {
        for (int j = 0; j < weights.columns(); j++) {
          long at = (long) i * weights.columns() + j;
          assertEquals((float) (deviations[l] * CounterRandom.gaussian(7, CounterRandom.WEIGHTS + l, at)),
              weights.get(i, j));
        }
      }
    }
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      List<Future<List<Float>>> others = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        others.add(threads.submit(() -> {
          try (Arena own = Arena.ofConfined()) {
            return weights(network(7, own));
          }
        }));
      }
      for (Future<List<Float>> other : others) {
        assertEquals(weights(network), other.get());
      }
    }
    assertNotEquals(weights(network), weights(network(8, arena)));
  }

  @Test
  void weightsHaveTheVarianceThatTheActivationNeeds() {
    for (Activation activation : TestNetworks.activations().toList()) {
      MatrixView weights = RandomNetwork.chain(List.of(300, 200), List.of(activation), 1, arena).layers().getFirst()
          .weights();
      double sum = 0;
      double squares = 0;
      for (float weight : weights.toArray()) {
        sum += weight;
        squares += weight * weight;
      }
      double expected = switch (activation.kind()) {
        case RELU, RELU6, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH, HARDSWISH, SOFTPLUS -> 2.0 / 300;
        case IDENTITY, HARDSIGMOID, SOFTSIGN, TANH, SIGMOID, SIN, SOFTMAX, LOG_SOFTMAX -> 2.0 / 500;
      };
      // Five standard errors of the mean and of the variance of 60 000 normal numbers.
      assertEquals(0, sum / 60_000, 5 * Math.sqrt(expected / 60_000));
      assertEquals(expected, squares / 60_000, 5 * expected * Math.sqrt(2.0 / 60_000));
    }
  }

  @Test
  void layersAreNamedAsInPyTorchAndHaveBiasesOfZeros() {
    DenseNetwork network = network(1, arena);
    assertEquals(List.of("0", "2"), network.layers().stream().map(DenseLayer::name).toList());
    assertEquals(List.of(Activation.RELU, Activation.SOFTMAX),
        network.layers().stream().map(DenseLayer::activation).toList());
    assertArrayEquals(new float[20], network.layers().getFirst().bias().orElseThrow().toArray());
  }

  @Test
  void refusesNumbersThatDoNotFit() {
    assertEquals("3 widths make 2 layers, but there are 1 activations", assertThrows(IllegalArgumentException.class,
        () -> RandomNetwork.chain(List.of(3, 2, 1), List.of(Activation.RELU), 1, arena)).getMessage());
    assertThrows(IllegalArgumentException.class, () -> RandomNetwork.chain(List.of(3), List.of(), 1, arena));
  }
}
