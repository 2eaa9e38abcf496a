package dev.espalier.engine.pass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Forward and backward passes on random graphs against a plain evaluation in double and its central differences.
/// Batches follow each other in the same memory, a smaller one after a larger one.
final class PassesTest {
  private static final int[] BATCHES = {5, 3, 4};
  private static final int SEED = 9;
  /// Of central differences.
  private static final double DIFFERENCES = 1e-7;
  /// Of the few hundred roundings to float32 on the way of a sample through a small network and back.
  private static final double FLOAT32 = 500 * 0x1p-24;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  static LongStream graphs() {
    return LongStream.range(0, 60);
  }

  /// Runs a test of a network with both backends.
  private static void onBackends(DenseNetwork network, BiConsumer<Backend, DeviceNetwork> test) {
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
          test.accept(backend, device);
        }
      }
    }
  }

  private static double tolerance(Backend backend) {
    return backend instanceof ReferenceBackend ? DIFFERENCES : FLOAT32;
  }

  /// The last ones have tied layers.
  private static Graph graph(long seed) {
    return seed < 40 ? TestNetworks.graph(seed, 10) : TestNetworks.tiedGraph(seed, 14);
  }

  private DenseNetwork network(long seed) {
    return TestNetworks.network(arena, seed, graph(seed));
  }

  private List<MatrixView> batches(Graph graph) {
    return Arrays.stream(BATCHES)
        .mapToObj(rows -> TestNetworks.normal(arena, TestNetworks.random(rows), rows, graph.inputs(), 1, 0.3)).toList();
  }

  /// Compares with rounding errors of a size that the largest expected value has.
  private static void assertClose(double[] expected, double[] actual, double tolerance, String where) {
    double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
    assertArrayEquals(expected, actual, tolerance * (1e-3 + largest), where);
  }

  private static double[] row(Backend backend, Matrix matrix, int n) {
    return Arrays.copyOfRange(TestNetworks.values(backend, matrix), n * matrix.columns(), (n + 1) * matrix.columns());
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void everyNodeHasItsValue(long seed) {
    DenseNetwork network = network(seed);
    Plain plain = Plain.of(network);
    onBackends(network, (backend, device) -> {
      try (ForwardPass forward = ForwardPass.allocate(backend, network.graph(), 5)) {
        for (MatrixView batch : batches(network.graph())) {
          forward.load(batch);
          forward.run(device);
          assertEquals(batch.rows(), forward.samples());
          for (int n = 0; n < batch.rows(); n++) {
            double[][] values = plain.values(TestNetworks.row(batch, n));
            for (int node = 0; node < values.length; node++) {
              assertClose(values[node], row(backend, forward.value(node), n), tolerance(backend),
                  "%s, node %d".formatted(network.graph(), node));
            }
            assertClose(values[values.length - 1], row(backend, forward.output(), n), tolerance(backend), "output");
          }
        }
      }
    });
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void aChangedLayerChangesWhatDependsOnIt(long seed) {
    DenseNetwork network = network(seed);
    DenseNetwork other = TestNetworks.network(arena, seed + 1000, network.graph());
    onBackends(network, (backend, device) -> {
      try (DeviceNetwork changed = DeviceNetwork.copyOf(backend, other);
          ForwardPass base = ForwardPass.allocate(backend, network.graph(), 5);
          ForwardPass forward = ForwardPass.allocate(backend, network.graph(), 5)) {
        for (MatrixView batch : batches(network.graph())) {
          base.load(batch);
          base.run(device);
          for (int l = 0; l < network.layers().size(); l++) {
            forward.runFrom(l, changed, device, base);
            List<DenseLayer> layers = new ArrayList<>(network.layers());
            layers.set(l, other.layers().get(l));
            Plain plain = Plain.of(new DenseNetwork(network.graph(), layers));
            for (int n = 0; n < batch.rows(); n++) {
              assertClose(plain.output(TestNetworks.row(batch, n)), row(backend, forward.output(), n),
                  tolerance(backend), "%s, layer %d".formatted(network.graph(), l));
            }
          }
        }
      }
    });
  }

  /// ∂y/∂z of one dense node, which is a layer of its own, and sample, which is ∂y/∂b: outputs of the network ×
  /// outputs of the layer.
  private static double[][] jacobian(Plain plain, int l, double[] x) {
    double[][] jacobian = new double[plain.graph().outputs()][plain.biases()[l].length];
    for (int i = 0; i < plain.biases()[l].length; i++) {
      double[] column = plain.derivative(x, plain.biases()[l], i);
      for (int k = 0; k < column.length; k++) {
        jacobian[k][i] = column[k];
      }
    }
    return jacobian;
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void sensitivitiesAreSquaredDerivatives(long seed) {
    DenseNetwork network = network(seed);
    int outputs = network.outputs();
    Plain plain = Plain.of(network).untied();
    onBackends(network, (backend, device) -> {
      for (Sensitivity sensitivity : List.of(new Sensitivity.Jacobian(), new Sensitivity.Probes(3))) {
        int first = 0;
        try (ForwardPass forward = ForwardPass.allocate(backend, network.graph(), 5);
            SensitivityPass pass = SensitivityPass.allocate(backend, network.graph(), sensitivity, 5, SEED)) {
          for (MatrixView batch : batches(network.graph())) {
            forward.load(batch);
            forward.run(device);
            pass.begin(first);
            pass.run(device, forward);
            for (int l = 0; l < plain.graph().layers().size(); l++) {
              for (int n = 0; n < batch.rows(); n++) {
                double[][] jacobian = jacobian(plain, l, TestNetworks.row(batch, n));
                double[][] vectors = vectors(sensitivity, outputs, first + n);
                double[] expected = IntStream.range(0, jacobian[0].length).mapToDouble(i -> {
                  double sum = 0;
                  for (double[] vector : vectors) {
                    sum += Math.pow(IntStream.range(0, outputs).mapToDouble(k -> vector[k] * jacobian[k][i]).sum(), 2);
                  }
                  return sensitivity instanceof Sensitivity.Jacobian ? sum : sum / vectors.length;
                }).toArray();
                assertClose(expected, row(backend, pass.sensitivity(plain.graph().layerNodes()[l], batch.rows()), n),
                    10 * tolerance(backend), "%s, %s, layer %d".formatted(sensitivity, network.graph(), l));
              }
            }
            first += batch.rows();
          }
        }
      }
    });
  }

  /// Σ over classes k of p_k (∂ log p_k/∂z)² with p = softmax(y / T). The logarithms of a last softmax are logits.
  @ParameterizedTest
  @MethodSource("graphs")
  void fisherSensitivitiesAreThoseOfTheClassProbabilities(long seed) {
    DenseNetwork network = network(seed);
    Plain plain = Plain.of(network).untied();
    boolean isSoftmax = network.graph().lastActivation().equals(Activation.SOFTMAX);
    for (double temperature : new double[]{1, 4}) {
      Sensitivity sensitivity = new Sensitivity.Fisher(OptionalInt.empty(), temperature);
      if (!network.graph().givesClasses()) {
        assertThrows(MismatchException.class, () -> sensitivity.requireFits(network.graph()));
        continue;
      }
      sensitivity.requireFits(network.graph());
      MatrixView batch = batches(network.graph()).getFirst();
      onBackends(network, (backend, device) -> {
        try (ForwardPass forward = ForwardPass.allocate(backend, network.graph(), 5);
            SensitivityPass pass = SensitivityPass.allocate(backend, network.graph(), sensitivity, 5, SEED)) {
          forward.load(batch);
          forward.run(device);
          pass.run(device, forward);
          for (int l = 0; l < plain.graph().layers().size(); l++) {
            for (int n = 0; n < batch.rows(); n++) {
              double[] x = TestNetworks.row(batch, n);
              double[] output = plain.output(x);
              double[][] jacobian = jacobian(plain, l, x);
              double[] scaled = Arrays.stream(output).map(y -> (isSoftmax ? Math.log(y) : y) / temperature).toArray();
              double[] expected = IntStream.range(0, jacobian[0].length).mapToDouble(i -> {
                double[] slopes = IntStream.range(0, output.length)
                    .mapToDouble(k -> jacobian[k][i] / (isSoftmax ? output[k] : 1) / temperature).toArray();
                double mean = IntStream.range(0, output.length).mapToDouble(k -> softmax(scaled, k) * slopes[k]).sum();
                return IntStream.range(0, output.length)
                    .mapToDouble(k -> softmax(scaled, k) * Math.pow(slopes[k] - mean, 2)).sum();
              }).toArray();
              assertClose(expected, row(backend, pass.sensitivity(plain.graph().layerNodes()[l], batch.rows()), n),
                  10 * tolerance(backend), "%s, %s, layer %d".formatted(sensitivity, network.graph(), l));
            }
          }
        }
      });
    }
  }

  /// What the backward passes of a sample begin with.
  private static double[][] vectors(Sensitivity sensitivity, int outputs, int sample) {
    double[][] vectors = new double[sensitivity.passes(outputs)][outputs];
    for (int r = 0; r < vectors.length; r++) {
      for (int k = 0; k < outputs; k++) {
        vectors[r][k] = sensitivity instanceof Sensitivity.Jacobian
            ? r == k ? 1 : 0
            : CounterRandom.sign(SEED, r, sample, k, outputs);
      }
    }
    return vectors;
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void gradientsOfLossesAreTheirDerivatives(long seed) {
    DenseNetwork network = network(seed);
    Plain plain = Plain.of(network).untied();
    Activation last = network.graph().lastActivation();
    boolean givesClasses = last.equals(Activation.IDENTITY) || !last.isElementwise();
    onBackends(network, (backend, device) -> {
      List<Loss> losses = new ArrayList<>(List.of(new Loss.SquaredError()));
      if (givesClasses) {
        losses.add(new Loss.CrossEntropy());
      }
      if (last.equals(Activation.IDENTITY) || last.equals(Activation.SIGMOID)) {
        losses.add(new Loss.BinaryCrossEntropy());
      }
      for (Loss loss : losses) {
        try (ForwardPass forward = ForwardPass.allocate(backend, network.graph(), 5);
            LossPass pass = LossPass.allocate(backend, network.graph(), loss, 5)) {
          for (MatrixView batch : batches(network.graph())) {
            MatrixView targets = TestNetworks.normal(arena, TestNetworks.random(SEED), batch.rows(), network.outputs(),
                1, 1);
            forward.load(batch);
            forward.run(device);
            pass.load(targets);
            double[] each = TestNetworks.values(backend, pass.run(device, forward));
            for (int n = 0; n < batch.rows(); n++) {
              double[] x = TestNetworks.row(batch, n);
              double[] t = TestNetworks.row(targets, n);
              assertEquals(loss(loss, plain, x, t), each[n], tolerance(backend) * (1 + Math.abs(each[n])),
                  loss + " of sample");
              for (int l = 0; l < plain.graph().layers().size(); l++) {
                double[] bias = plain.biases()[l];
                double[] expected = IntStream.range(0, bias.length).mapToDouble(i -> {
                  double h = 1e-6;
                  double value = bias[i];
                  bias[i] = value + h;
                  double up = loss(loss, plain, x, t);
                  bias[i] = value - h;
                  double down = loss(loss, plain, x, t);
                  bias[i] = value;
                  return (up - down) / (2 * h);
                }).toArray();
                assertClose(expected, row(backend, pass.gradient(plain.graph().layerNodes()[l], batch.rows()), n),
                    10 * tolerance(backend), "%s, %s, layer %d".formatted(loss, network.graph(), l));
              }
            }
          }
        }
      }
    });
  }

  /// By its definition in docs/method.md.
  private static double loss(Loss loss, Plain plain, double[] x, double[] t) {
    double[] y = plain.output(x);
    boolean isSoftmax = plain.graph().lastActivation().equals(Activation.SOFTMAX);
    boolean isSigmoid = plain.graph().lastActivation().equals(Activation.SIGMOID);
    return IntStream.range(0, y.length).mapToDouble(k -> switch (loss) {
      case Loss.SquaredError() -> (y[k] - t[k]) * (y[k] - t[k]) / y.length;
      case Loss.CrossEntropy() -> -t[k] * Math.log(isSoftmax ? y[k] : softmax(y, k));
      case Loss.BinaryCrossEntropy() -> (isSigmoid
          ? -t[k] * Math.log(y[k]) - (1 - t[k]) * Math.log1p(-y[k])
          : Math.max(y[k], 0) + Math.log1p(Math.exp(-Math.abs(y[k]))) - t[k] * y[k]) / y.length;
    }).sum();
  }

  private static double softmax(double[] z, int k) {
    return Math.exp(z[k]) / Arrays.stream(z).map(Math::exp).sum();
  }

  /// In a chain, products, activations and squares are one operation a layer, and no activation has a gradient of its
  /// own. Its layers are nodes 1, 3 and 5.
  @Test
  void aChainRunsInFusedOperations() {
    Wiring wiring = new Wiring(TestNetworks
        .network(arena, 1, List.of(2, 3, 4, 5), List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX)).graph());
    for (int dense = 1; dense <= 5; dense += 2) {
      assertEquals(dense / 2, wiring.layer(dense));
      assertEquals(dense + 1, wiring.forwardActivation(dense).orElseThrow());
      assertEquals(true, wiring.runsWithDense(dense + 1));
      assertEquals(true, wiring.hasGradient(dense));
    }
    assertEquals(true, wiring.backwardDense(1).isEmpty());
    assertEquals(1, wiring.backwardDense(3).orElseThrow());
    assertEquals(3, wiring.backwardDense(5).orElseThrow());
    assertEquals(List.of(false, false, false, true), IntStream.of(0, 2, 4, 6).mapToObj(wiring::hasGradient).toList());
  }

  /// A value that somebody else reads too needs its whole gradient.
  @Test
  void whatSeveralReadIsNotFused() {
    Graph.Builder builder = new Graph.Builder(2);
    int first = builder.dense("first", 0, 3); // 1
    int hidden = builder.activate(first, Activation.RELU);
    int second = builder.dense("second", hidden, 3); // 3
    int twice = builder.activate(second, Activation.TANH);
    int other = builder.activate(second, Activation.RELU);
    int third = builder.dense("third", twice, 3); // 6
    builder.add(hidden, third, other);
    Wiring wiring = new Wiring(builder.build());
    assertEquals(true, wiring.backwardDense(second).isEmpty(), "the sum reads the activation below");
    assertEquals(true, wiring.backwardDense(third).isEmpty(), "another activation reads the layer below");
    assertEquals(twice, wiring.forwardActivation(second).orElseThrow());
    assertEquals(false, wiring.runsWithDense(other));
    for (int n = 1; n <= 7; n++) {
      assertEquals(true, wiring.hasGradient(n));
    }
  }

  /// No layer is below what is made of the samples alone, so that nobody wants its gradient.
  @Test
  void whatComesBeforeAllLayersHasNoGradient() {
    Graph.Builder builder = new Graph.Builder(2);
    int scaled = builder.scale(0, List.of(1f, 2f), List.of(0f, 0f)); // 1
    int normalized = builder.normalize(scaled, true, 1); // 2
    int dense = builder.dense("first", normalized, 2); // 3
    builder.multiply(dense, scaled);
    Wiring wiring = new Wiring(builder.build());
    assertEquals(List.of(false, false, false, true, true),
        IntStream.range(0, 5).mapToObj(wiring::hasGradient).toList());
    assertEquals(List.of(false, false, false, true, true),
        IntStream.range(0, 5).mapToObj(wiring::wantsGradient).toList());
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void downstreamIsWhatReadsANodeOverOthers(long seed) {
    Graph graph = graph(seed);
    for (int node : graph.layerNodes()) {
      boolean[] downstream = graph.downstream(node);
      for (int n = 0; n < downstream.length; n++) {
        assertEquals(reaches(graph, node, n), downstream[n]);
      }
    }
  }

  private static boolean reaches(Graph graph, int from, int to) {
    return from == to || graph.readers(from).stream().anyMatch(reader -> reaches(graph, reader, to));
  }

  /// A layer without a bias has one of zeros on the device, and none when it comes back.
  @Test
  void aDownloadedNetworkIsTheOneThatWasCopied() {
    for (long seed = 0; seed < 10; seed++) {
      DenseNetwork network = network(seed);
      DenseNetwork other = TestNetworks.network(arena, seed + 1000, network.graph());
      onBackends(network, (backend, device) -> {
        assertSame(network, device.download(arena));
        device.load(other);
        device.load(network);
        assertSame(network, device.download(arena));
      });
    }
  }

  @Test
  void aNetworkOfTheCallersMatricesIsCheckedToo() {
    try (Backend backend = new ReferenceBackend();
        Matrix weights = backend.allocate(3, 2);
        Matrix bias = backend.allocate(1, 3);
        Matrix column = backend.allocate(3, 1)) {
      DeviceNetwork.Layer layer = new DeviceNetwork.Layer("0", weights, bias, true, Activation.RELU);
      assertEquals(Graph.chain(List.of(layer)), new DeviceNetwork(backend, List.of(layer)).graph());
      assertEquals("layer 0: the bias is 3 × 1, not 1 × 3",
          refusal(backend, new DeviceNetwork.Layer("0", weights, column, true, Activation.RELU)));
      assertEquals("layers do not chain: 1 takes 2 inputs, 0 before it has 3 outputs",
          refusal(backend, layer, new DeviceNetwork.Layer("1", weights, bias, true, Activation.RELU)));
    }
  }

  private static String refusal(Backend backend, DeviceNetwork.Layer... layers) {
    return assertThrows(MismatchException.class, () -> new DeviceNetwork(backend, List.of(layers))).getMessage();
  }

  private static void assertSame(DenseNetwork expected, DenseNetwork actual) {
    assertEquals(expected.graph(), actual.graph());
    for (int l = 0; l < expected.layers().size(); l++) {
      DenseLayer layer = expected.layers().get(l);
      DenseLayer found = actual.layers().get(l);
      assertArrayEquals(layer.weights().toArray(), found.weights().toArray());
      assertArrayEquals(layer.bias().map(MatrixView::toArray).orElse(new float[0]),
          found.bias().map(MatrixView::toArray).orElse(new float[0]));
    }
  }
}
