package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
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

  @Test
  void refusesOtherGraphs() {
    Graph.Builder builder = new Graph.Builder(2);
    int dense = builder.dense("0", 0, 2);
    builder.add(dense, 0);
    DenseNetwork residual = TestNetworks.network(arena, 1, builder.build());
    assertEquals("only a chain of layers can lose neurons, and this network is none",
        assertThrows(MismatchException.class, () -> Compaction.of(residual, 1, arena)).getMessage());
  }

  private DenseLayer layer(String name, int outputs, int inputs, float[] weights, float[] bias) {
    return new DenseLayer(name, MatrixView.of(arena, outputs, inputs, weights),
        Optional.ofNullable(bias).map(b -> MatrixView.of(arena, 1, outputs, b)), Activation.RELU);
  }
}
