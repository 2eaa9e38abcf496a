package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class CompactionTest {
  private static final double ROUNDOFF = 0x1p-24;
  /// A bound of |φ′| of all activations; GELU and SiLU go beyond 1.
  private static final double STEEPEST = 1.13;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// All that differs is the rounding of the biases that took constants, carried through the layers.
  @ParameterizedTest
  @ValueSource(ints = {1, 4, 8})
  void keepsTheOutputsOfRandomNetworks(int multiple) {
    int removed = 0;
    for (int seed = 0; seed < 200; seed++) {
      RandomGenerator random = TestNetworks.random(seed);
      DenseNetwork network = sparse(random);
      Compaction compaction = Compaction.of(network, multiple, arena);
      Plain before = Plain.of(network);
      Plain after = Plain.of(compaction.network());
      double bound = bound(after);
      for (int sample = 0; sample < 5; sample++) {
        double[] x = random.doubles(network.inputs(), -2, 2).toArray();
        assertArrayEquals(before.output(x), after.output(x), bound, "seed " + seed);
      }
      for (int l = 0; l < network.layers().size(); l++) {
        int width = compaction.network().layers().get(l).outputs();
        int original = network.layers().get(l).outputs();
        removed += original - width;
        assertTrue(width == original || width % multiple == 0, "seed " + seed);
        assertEquals(width, compaction.layers().get(l).neurons().size());
      }
      assertTrue(Compaction.of(compaction.network(), multiple, arena).isUnchanged(), "seed " + seed);
    }
    assertTrue(removed > 200, "removed %d".formatted(removed));
  }

  private DenseNetwork sparse(RandomGenerator random) {
    List<Activation> hidden = TestNetworks.kinds().filter(Activation::isElementwise).toList();
    int depth = 1 + random.nextInt(4);
    List<DenseLayer> layers = new ArrayList<>();
    int inputs = 1 + random.nextInt(12);
    for (int l = 0; l < depth; l++) {
      int outputs = 1 + random.nextInt(20);
      MatrixView weights = TestNetworks.normal(arena, random, outputs, inputs, 0.5, 0);
      double density = Math.pow(random.nextDouble(), 2);
      for (int i = 0; i < outputs; i++) {
        for (int j = 0; j < inputs; j++) {
          if (random.nextDouble() > density) {
            weights.set(i, j, random.nextBoolean() ? 0 : -0.0f);
          }
        }
      }
      Optional<MatrixView> bias = random.nextInt(4) == 0
          ? Optional.empty()
          : Optional.of(TestNetworks.normal(arena, random, 1, outputs, 0.5, 0));
      boolean isSoftmax = l == depth - 1 && random.nextInt(3) == 0;
      layers.add(new DenseLayer("layer" + l, weights, bias,
          isSoftmax ? Activation.SOFTMAX : hidden.get(random.nextInt(hidden.size()))));
      inputs = outputs;
    }
    return new DenseNetwork(layers);
  }

  /// A bias b is off by at most u·|b|, and so is z beside the errors of its inputs; twice that, for the double sums of
  /// the test and of the tested.
  private static double bound(Plain network) {
    double[] errors = new double[network.graph().inputs()];
    for (int l = 0; l < network.weights().length; l++) {
      double[][] weights = network.weights()[l];
      double[] biases = network.biases()[l];
      double[] before = errors;
      errors = IntStream.range(0, weights.length)
          .mapToDouble(i -> STEEPEST * (2 * ROUNDOFF * Math.abs(biases[i])
              + IntStream.range(0, before.length).mapToDouble(j -> Math.abs(weights[i][j]) * before[j]).sum()))
          .toArray();
    }
    return Arrays.stream(errors).sum() + 1e-12;
  }

  @Test
  void movesConstantsThroughSeveralLayers() {
    DenseLayer first = layer("0", 2, 1, new float[]{0, 3}, new float[]{2, 1});
    DenseLayer second = layer("1", 2, 2, new float[]{5, 0, 0, 7}, new float[]{1, 0});
    DenseLayer last = layer("2", 1, 2, new float[]{2, 1}, new float[]{0.5f});
    Compaction compaction = Compaction.of(new DenseNetwork(List.of(first, second, last)), 1, arena);
    assertEquals(List.of(List.of(1), List.of(1), List.of(0)),
        compaction.layers().stream().map(Compaction.Kept::neurons).toList());
    DenseLayer folded = compaction.network().layers().getLast();
    assertArrayEquals(new float[]{1}, folded.weights().toArray());
    assertArrayEquals(new float[]{0.5f + 2 * (5 * 2 + 1)}, folded.bias().orElseThrow().toArray());
  }

  @Test
  void keepsAConstantThatNoBiasTakes() {
    DenseLayer first = layer("0", 3, 1, new float[]{0, 0, 3}, new float[]{2, -2, 1});
    DenseLayer last = layer("1", 1, 3, new float[]{1, 1, 1}, null);
    Compaction compaction = Compaction.of(new DenseNetwork(List.of(first, last)), 1, arena);
    assertEquals(new Compaction.Kept(3, List.of(0, 2), 1, 0), compaction.layers().getFirst());
  }

  @Test
  void fillsWidthsUpWithZeros() {
    DenseLayer first = layer("0", 5, 1, new float[]{1, 2, 0, 4, 0}, new float[]{1, 1, 1, 1, 1});
    DenseLayer last = layer("1", 1, 5, new float[]{0, 1, 1, 1, 1}, new float[]{0});
    Compaction compaction = Compaction.of(new DenseNetwork(List.of(first, last)), 3, arena);
    assertEquals(new Compaction.Kept(5, List.of(0, 1, 3), 0, 1), compaction.layers().getFirst());
    assertArrayEquals(new float[]{0, 2, 4}, compaction.network().layers().getFirst().weights().toArray());
    assertArrayEquals(new float[]{0, 1, 1}, compaction.network().layers().getLast().weights().toArray());
    assertArrayEquals(new float[]{2}, compaction.network().layers().getLast().bias().orElseThrow().toArray());
    assertTrue(Compaction.of(new DenseNetwork(List.of(first, last)), 8, arena).isUnchanged());
  }

  /// A network that computes a constant keeps a neuron in each layer; one without removable neurons shares its layers.
  @Test
  void neverEmptiesALayer() {
    DenseLayer first = layer("0", 2, 1, new float[]{0, 0}, new float[]{1, 1});
    DenseLayer last = layer("1", 2, 2, new float[]{1, 2, 3, 4}, new float[]{0, 0});
    Compaction compaction = Compaction.of(new DenseNetwork(List.of(first, last)), 1, arena);
    assertArrayEquals(new float[]{0, 0}, compaction.network().layers().getLast().weights().toArray());
    assertArrayEquals(new float[]{3, 7}, compaction.network().layers().getLast().bias().orElseThrow().toArray());

    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(3, 4, 2),
        List.of(Activation.RELU, Activation.IDENTITY));
    Compaction same = Compaction.of(dense, 1, arena);
    assertTrue(same.isUnchanged());
    assertSame(dense.layers().getFirst(), same.network().layers().getFirst());
  }

  /// Random graphs of all nodes. Biases that took constants are rounded to float32, 2⁻²⁴, which a network of some ten nodes
  /// magnifies by far less than 1000.
  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void keepsTheOutputsOfRandomGraphs(int multiple) {
    int removed = 0;
    for (int seed = 0; seed < 300; seed++) {
      Graph graph = seed < 200 ? TestNetworks.graph(seed, 12) : TestNetworks.tiedGraph(seed, 14);
      DenseNetwork network = sparse(TestNetworks.network(arena, seed, graph), seed);
      Compaction compaction = Compaction.of(network, multiple, arena);
      Plain before = Plain.of(network);
      Plain after = Plain.of(compaction.network());
      for (int sample = 0; sample < 3; sample++) {
        double[] x = TestNetworks.random(sample).doubles(network.inputs(), -2, 2).toArray();
        double[] y = before.output(x);
        double[] shrunk = after.output(x);
        for (int k = 0; k < y.length; k++) {
          assertEquals(y[k], shrunk[k], 1000 * ROUNDOFF * (1 + Math.abs(y[k])), "seed %d".formatted(seed));
        }
      }
      for (int l = 0; l < network.layers().size(); l++) {
        int width = compaction.network().layers().get(l).outputs();
        int original = network.layers().get(l).outputs();
        removed += original - width;
        assertTrue(width == original || width % multiple == 0, "seed " + seed);
        assertTrue(!graph.isTied(l) || compaction.network().layers().get(l).equals(network.layers().get(l)));
      }
      for (int n = 0; n < network.graph().nodes().size(); n++) {
        assertEquals(compaction.network().graph().nodes().get(n).width(), compaction.features().get(n).size());
      }
      assertTrue(Compaction.of(compaction.network(), multiple, arena).isUnchanged(), "seed " + seed);
    }
    assertTrue(removed > 100, "removed %d".formatted(removed));
  }

  private DenseNetwork sparse(DenseNetwork network, long seed) {
    RandomGenerator random = TestNetworks.random(seed);
    return new DenseNetwork(network.graph(), network.layers().stream().map(layer -> {
      MatrixView weights = layer.weights().copy(arena);
      for (int i = 0; i < weights.rows(); i++) {
        boolean isDead = random.nextInt(3) == 0;
        for (int j = 0; j < weights.columns(); j++) {
          if (isDead || random.nextInt(3) == 0) {
            weights.set(i, j, 0);
          }
        }
      }
      return new DenseLayer(layer.name(), weights, layer.bias(), layer.activation());
    }).toList());
  }

  /// The second neuron of both layers goes, though one of them is read elsewhere too, by weights of zero: their sum is a
  /// constant. The first stays, since a product reads it.
  @Test
  void removesFeaturesThatAreTiedTogether() {
    Graph.Builder builder = new Graph.Builder(1);
    int a = builder.dense("a", 0, 2);
    int b = builder.activate(builder.dense("b", a, 2), Activation.RELU);
    int sum = builder.add(a, b);
    int product = builder.multiply(builder.slice(sum, 0, 1), builder.slice(b, 0, 1));
    builder.dense("c", builder.concat(sum, product), 1);
    DenseNetwork network = new DenseNetwork(builder.build(),
        List.of(plain("a", 2, 1, Activation.IDENTITY, new float[]{2, 0}, new float[]{1, 3}),
            plain("b", 2, 2, Activation.RELU, new float[]{1, 0, 0, 0}, new float[]{1, 5}),
            plain("c", 1, 3, Activation.IDENTITY, new float[]{1, 10, 1}, new float[]{0})));
    Compaction compaction = Compaction.of(network, 1, arena);
    assertEquals(List.of(List.of(0), List.of(0), List.of(0)),
        compaction.layers().stream().map(Compaction.Kept::neurons).toList());
    assertEquals(List.of(List.of(0), List.of(0), List.of(0), List.of(0), List.of(0), List.of(0), List.of(0), List.of(0),
        List.of(0, 2), List.of(0)), compaction.features());
    assertArrayEquals(new float[]{10 * (3 + 5)},
        compaction.network().layers().getLast().bias().orElseThrow().toArray());
  }

  /// A normalisation reads all, and what a sum over features reads stays.
  @Test
  void keepsWhatANormalisationOrASumReads() {
    Graph.Builder builder = new Graph.Builder(1);
    int a = builder.dense("a", 0, 2);
    builder.dense("b", builder.concat(builder.normalize(a, true, 1), builder.sum(builder.dense("c", 0, 2))), 1);
    DenseNetwork network = new DenseNetwork(builder.build(),
        List.of(plain("a", 2, 1, Activation.IDENTITY, new float[]{2, 0}, new float[]{1, 3}),
            plain("c", 2, 1, Activation.IDENTITY, new float[]{2, 0}, new float[]{1, 3}),
            plain("b", 1, 3, Activation.IDENTITY, new float[]{1, 0, 1}, new float[]{0})));
    assertTrue(Compaction.of(network, 1, arena).isUnchanged());
  }

  private DenseLayer plain(String name, int outputs, int inputs, Activation activation, float[] weights, float[] bias) {
    return new DenseLayer(name, MatrixView.of(arena, outputs, inputs, weights),
        Optional.of(MatrixView.of(arena, 1, outputs, bias)), activation);
  }

  private DenseLayer layer(String name, int outputs, int inputs, float[] weights, float[] bias) {
    return new DenseLayer(name, MatrixView.of(arena, outputs, inputs, weights),
        Optional.ofNullable(bias).map(b -> MatrixView.of(arena, 1, outputs, b)), Activation.RELU);
  }
}
