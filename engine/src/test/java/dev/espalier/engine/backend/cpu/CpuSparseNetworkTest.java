package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.SparseNetwork;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Networks without their zeros, against plain loops in double.
final class CpuSparseNetworkTest {
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

  /// Random graphs of all nodes, whose values any number of nodes read; the last ones have tied layers.
  @ParameterizedTest
  @ValueSource(ints = {1, 5, 64, 100})
  void computesGraphs(int samples) {
    for (int threads = 1; threads <= 2; threads++) {
      try (Arena arena = Arena.ofShared(); CpuBackend backend = new CpuBackend(threads, Precision.FP32)) {
        for (int seed = 0; seed < 60; seed++) {
          Graph graph = seed < 40 ? TestNetworks.graph(seed, 12) : TestNetworks.tiedGraph(seed, 14);
          DenseNetwork network = TestNetworks.network(arena, seed, graph);
          network.layers().forEach(layer -> zero(layer, 0.4, TestNetworks.random(3)));
          assertComputes(backend, network, samples, arena);
        }
      }
    }
  }

  /// All nodes, with more features than a tile has, and ends that work on elements, and on samples.
  @ParameterizedTest
  @ValueSource(ints = {1, 20, 64})
  void computesWideGraphs(int samples) {
    try (Arena arena = Arena.ofShared(); CpuBackend backend = new CpuBackend(1, Precision.FP32)) {
      for (boolean isNormalizedLast : List.of(false, true)) {
        Graph.Builder graph = new Graph.Builder(40);
        int width = 1200;
        int hidden = graph.dense("a", 0, 2 * width);
        int gate = graph.activate(graph.slice(hidden, width, width), Activation.parse("sigmoid"));
        int gated = graph.multiply(graph.slice(hidden, 0, width), gate);
        int normalized = graph.normalize(gated, true, 1e-2);
        List<Float> numbers = TestNetworks.random(4).doubles(width, -1, 1).mapToObj(x -> (float) x).toList();
        int scaled = graph.scale(normalized, numbers, numbers.reversed());
        int shares = graph.activate(graph.dense("b", scaled, 7), Activation.SOFTMAX);
        int joined = graph.concat(shares, graph.sum(graph.dense("c", scaled, 3)), 0);
        int sum = graph.add(graph.dense("d", joined, width), gated, scaled);
        if (isNormalizedLast) {
          graph.normalize(sum, false, 1e-2);
        } else {
          graph.dense("e", sum, 30);
        }
        DenseNetwork network = TestNetworks.network(arena, 1, graph.build());
        network.layers().forEach(layer -> zero(layer, 0.9, TestNetworks.random(3)));
        assertComputes(backend, network, samples, arena);
      }
    }
  }

  private static void assertComputes(CpuBackend backend, DenseNetwork network, int samples, Arena arena) {
    RandomGenerator random = TestNetworks.random(samples);
    MatrixView batch = TestNetworks.normal(arena, random, samples, network.inputs(), 1, 0);
    MatrixView output = MatrixView.allocate(arena, samples, network.outputs());
    Plain plain = Plain.of(network);
    try (SparseNetwork sparse = backend.sparseNetwork(network, samples).orElseThrow()) {
      for (int run = 0; run < 2; run++) {
        sparse.run(batch, output);
        for (int n = 0; n < samples; n++) {
          double[] x = new double[network.inputs()];
          for (int j = 0; j < x.length; j++) {
            x[j] = batch.get(n, j);
          }
          double[] expected = plain.output(x);
          double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
          int sample = n;
          for (int i = 0; i < expected.length; i++) {
            int at = i;
            assertEquals(expected[i], output.get(n, i), TOLERANCE * Math.max(1, largest),
                () -> "%d samples, at [%d, %d] of %s".formatted(samples, sample, at, network.graph()));
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
      zero(layer, sparsity, random);
      layers.add(new DenseLayer(layer.name(), layer.weights(), layers.size() == 1 ? Optional.empty() : layer.bias(),
          layer.activation()));
    }
    return new DenseNetwork(layers);
  }

  private static void zero(DenseLayer layer, double sparsity, RandomGenerator random) {
    for (long i = 0; i < layer.weights().elements(); i++) {
      if (random.nextDouble() < sparsity) {
        layer.weights().segment().setAtIndex(MatrixView.ELEMENT, i, 0);
      }
    }
  }
}
