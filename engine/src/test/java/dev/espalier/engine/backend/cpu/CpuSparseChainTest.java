package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.SparseChain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Networks without their zeros, against plain loops in double.
final class CpuSparseChainTest {
  /// Sums of up to 70 products of magnitudes below 10, in three layers with slopes below 1.2.
  private static final double TOLERANCE = 3 * 80 * 0x1p-24 * 10;

  /// One sample, batches beside whole blocks and vectors, and more than one block for each thread.
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 15, 16, 17, 33, 64, 100, 129, 300})
  void computesWhatPlainLoopsDo(int samples) {
    for (int threads = 1; threads <= 2; threads++) {
      try (Arena arena = Arena.ofShared(); CpuBackend backend = new CpuBackend(threads, Precision.FP32)) {
        for (String activations : List.of("relu,tanh,softmax", "identity,gelu,sigmoid",
            "leaky_relu:0.2,relu,identity")) {
          DenseNetwork network = network(arena, List.of(activations.split(",")), List.of(70, 33, 17, 5), 0.8);
          assertComputes(backend, network, samples, arena);
        }
      }
    }
  }

  /// A layer without any value, wide ones, and one neuron.
  @ParameterizedTest
  @ValueSource(ints = {1, 20})
  void takesAllShapes(int samples) {
    try (Arena arena = Arena.ofShared(); CpuBackend backend = new CpuBackend(1, Precision.FP32)) {
      assertComputes(backend, network(arena, List.of("relu", "identity"), List.of(3, 4, 2), 1), samples, arena);
      assertComputes(backend, network(arena, List.of("silu", "identity"), List.of(3, 3000, 1), 0.98), samples, arena);
      assertComputes(backend, network(arena, List.of("sin:3"), List.of(1, 1), 0), samples, arena);
    }
  }

  @Test
  void otherGraphsHaveNone() {
    try (Arena arena = Arena.ofShared(); CpuBackend backend = new CpuBackend(1, Precision.FP32)) {
      DenseNetwork graph = TestNetworks.network(arena, 3, TestNetworks.graph(3, 8));
      assertTrue(!graph.graph().isChain());
      assertEquals(Optional.empty(), backend.sparseChain(graph, 4));
    }
  }

  private static void assertComputes(CpuBackend backend, DenseNetwork network, int samples, Arena arena) {
    RandomGenerator random = TestNetworks.random(samples);
    MatrixView batch = TestNetworks.normal(arena, random, samples, network.inputs(), 1, 0);
    MatrixView output = MatrixView.allocate(arena, samples, network.outputs());
    Plain plain = Plain.of(network);
    try (SparseChain chain = backend.sparseChain(network, samples).orElseThrow()) {
      for (int run = 0; run < 2; run++) {
        chain.run(batch, output);
        for (int n = 0; n < samples; n++) {
          double[] x = new double[network.inputs()];
          for (int j = 0; j < x.length; j++) {
            x[j] = batch.get(n, j);
          }
          double[] expected = plain.output(x);
          for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], output.get(n, i), TOLERANCE, "%d samples, at [%d, %d]".formatted(samples, n, i));
          }
        }
        batch.segment().copyFrom(TestNetworks.normal(arena, random, samples, network.inputs(), 1, 0).segment());
      }
    }
  }

  /// The second of several layers has no bias.
  private static DenseNetwork network(Arena arena, List<String> activations, List<Integer> widths, double sparsity) {
    DenseNetwork network = TestNetworks.network(arena, 1, widths, activations.stream().map(Activation::parse).toList());
    RandomGenerator random = TestNetworks.random(2);
    List<DenseLayer> layers = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      for (long i = 0; i < layer.weights().elements(); i++) {
        if (random.nextDouble() < sparsity) {
          layer.weights().segment().setAtIndex(MatrixView.ELEMENT, i, 0);
        }
      }
      layers.add(new DenseLayer(layer.name(), layer.weights(), layers.size() == 1 ? Optional.empty() : layer.bias(),
          layer.activation()));
    }
    return new DenseNetwork(layers);
  }
}
