package dev.espalier.engine.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ParameterVector;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class JointRefitTest {
  private static final int SAMPLES = 13;
  private static final int BATCH = 5;
  /// Of sums of central differences.
  private static final double DIFFERENCES = 1e-6;
  /// Of the few hundred roundings to float32 on the way of a sample through a small network and back.
  private static final double FLOAT32 = 500 * 0x1p-24;

  private final Arena arena = Arena.ofShared();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Random graphs of all nodes and activations, the last ones with tied layers.
  static LongStream graphs() {
    return LongStream.range(0, 45);
  }

  private DenseNetwork network(long seed) {
    return TestNetworks.network(arena, seed,
        seed < 30 ? TestNetworks.graph(seed, 9) : TestNetworks.tiedGraph(seed, 12));
  }

  /// A copy of which about half of the weights are removed, and the others have moved.
  private DenseNetwork pruned(DenseNetwork network, long seed) {
    RandomGenerator random = TestNetworks.random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      MatrixView weights = layer.weights().copy(arena);
      for (int i = 0; i < weights.rows(); i++) {
        for (int j = 0; j < weights.columns(); j++) {
          weights.set(i, j, random.nextBoolean() ? 0 : 1.2f * weights.get(i, j));
        }
      }
      layers.add(new DenseLayer(layer.name(), weights, layer.bias(), layer.activation()));
    }
    return new DenseNetwork(network.graph(), layers);
  }

  private MatrixView samples(DenseNetwork network, int count) {
    return TestNetworks.normal(arena, TestNetworks.random(3), count, network.inputs(), 1, 0.5);
  }

  private static ScoringPlan plan(DenseNetwork network, int... layers) {
    return new ScoringPlan(new Criterion.Magnitude(), new Compensation.None(),
        IntStream.of(layers).mapToObj(l -> new ScoringPlan.Layer(l, network.layers().get(l).hasBias())).toList(),
        new Sensitivity.Jacobian(), Optional.empty(), BATCH, 1);
  }

  private static int[] all(DenseNetwork network) {
    return IntStream.range(0, network.layers().size()).toArray();
  }

  private static List<Objective> objectives(Graph graph) {
    return graph.givesClasses()
        ? List.of(new Objective.SquaredError(), new Objective.Divergence(1), new Objective.Divergence(3))
        : List.of(new Objective.SquaredError());
  }

  private static List<Backend> backends() {
    return List.of(new ReferenceBackend(), new CpuBackend(), streaming(new ReferenceBackend()));
  }

  /// A backend whose memory is too small to keep values.
  private static Backend streaming(Backend backend) {
    return (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[]{Backend.class},
        (proxy, method, arguments) -> switch (method.getName()) {
          case "memory" -> Optional.of(new MemoryBudget(0, 0));
          case "workers" -> Workers.alone((Backend) proxy);
          default -> method.invoke(backend, arguments);
        });
  }

  /// What the sums should be, from Jacobians by central differences, parameter by parameter: by layer the weights, then
  /// the bias if there is one.
  private static final class Expected {
    final double[] gradient;
    final double[] product;
    /// Of a tied layer the sum of those of its uses, in a network in which the others do not follow.
    final double[] diagonal;
    final double[][] matrix;

    Expected(DenseNetwork dense, DenseNetwork pruned, MatrixView x, Objective objective, double[] direction) {
      Plain target = logits(Plain.of(dense), objective);
      Plain plain = logits(Plain.of(pruned), objective);
      List<double[]> parameters = parameters(plain, pruned);
      int count = parameters.stream().mapToInt(p -> p.length).sum();
      gradient = new double[count];
      matrix = new double[count][count];
      for (int n = 0; n < x.rows(); n++) {
        double[] sample = TestNetworks.row(x, n);
        double[][] jacobian = new double[count][];
        int c = 0;
        for (double[] part : parameters) {
          for (int i = 0; i < part.length; i++) {
            jacobian[c++] = plain.derivative(sample, part, i);
          }
        }
        double[] y = plain.output(sample);
        double[] t = target.output(sample);
        int m = y.length;
        double[] slope = new double[m];
        double[][] curvature = new double[m][m];
        switch (objective) {
          case Objective.SquaredError() -> {
            for (int k = 0; k < m; k++) {
              slope[k] = 2 * (y[k] - t[k]) / m;
              curvature[k][k] = 2.0 / m;
            }
          }
          case Objective.Divergence(double temperature) -> {
            double[] p = softmax(y, temperature);
            double[] q = softmax(t, temperature);
            for (int k = 0; k < m; k++) {
              slope[k] = p[k] - q[k];
              for (int l = 0; l < m; l++) {
                curvature[k][l] = ((k == l ? p[k] : 0) - p[k] * p[l]) / temperature;
              }
            }
          }
        }
        for (int i = 0; i < count; i++) {
          gradient[i] += dot(jacobian[i], slope);
          for (int j = 0; j < count; j++) {
            for (int k = 0; k < m; k++) {
              matrix[i][j] += jacobian[i][k] * dot(curvature[k], jacobian[j]);
            }
          }
        }
      }
      diagonal = plain.graph().tiedText().isEmpty()
          ? IntStream.range(0, count).mapToDouble(i -> matrix[i][i]).toArray()
          : diagonalOfUses(dense, pruned, x, objective);
      product = Arrays.stream(matrix).mapToDouble(row -> dot(row, direction)).toArray();
    }

    private static double[] diagonalOfUses(DenseNetwork dense, DenseNetwork pruned, MatrixView x, Objective objective) {
      DenseNetwork untied = untied(pruned);
      int count = untied.layers().stream()
          .mapToInt(layer -> (int) layer.weights().elements() + (layer.hasBias() ? layer.outputs() : 0)).sum();
      double[] ofUses = new Expected(untied(dense), untied, x, objective, new double[count]).diagonal;
      List<double[]> byLayer = pruned.layers().stream()
          .map(layer -> new double[(int) layer.weights().elements() + (layer.hasBias() ? layer.outputs() : 0)])
          .toList();
      int at = 0;
      for (int l : Plain.of(pruned).layersOfNodes()) {
        for (int i = 0; i < byLayer.get(l).length; i++) {
          byLayer.get(l)[i] += ofUses[at++];
        }
      }
      return byLayer.stream().flatMapToDouble(Arrays::stream).toArray();
    }

    private static DenseNetwork untied(DenseNetwork network) {
      Graph graph = Plain.of(network).untied().graph();
      int[] layers = Plain.of(network).layersOfNodes();
      return new DenseNetwork(graph, IntStream.range(0, layers.length).mapToObj(u -> {
        DenseLayer layer = network.layers().get(layers[u]);
        return new DenseLayer(graph.layers().get(u).name(), layer.weights(), layer.bias(), graph.activation(u));
      }).toList());
    }

    /// The network up to what the objective compares.
    private static Plain logits(Plain plain, Objective objective) {
      Graph graph = plain.graph();
      return objective instanceof Objective.Divergence && graph.endsInSoftmax()
          ? new Plain(new Graph(graph.nodes().subList(0, graph.nodes().size() - 1)), plain.weights(), plain.biases())
          : plain;
    }

    private static List<double[]> parameters(Plain plain, DenseNetwork network) {
      List<double[]> parameters = new ArrayList<>();
      for (int l = 0; l < network.layers().size(); l++) {
        parameters.addAll(List.of(plain.weights()[l]));
        if (network.layers().get(l).hasBias()) {
          parameters.add(plain.biases()[l]);
        }
      }
      return parameters;
    }
  }

  private static double dot(double[] x, double[] y) {
    return IntStream.range(0, x.length).mapToDouble(i -> x[i] * y[i]).sum();
  }

  private static double[] softmax(double[] y, double temperature) {
    double sum = Arrays.stream(y).map(k -> Math.exp(k / temperature)).sum();
    return Arrays.stream(y).map(k -> Math.exp(k / temperature) / sum).toArray();
  }

  private static double[] values(Backend backend, ParameterVector vector) {
    return vector.matrices().stream().flatMapToDouble(matrix -> Arrays.stream(TestNetworks.values(backend, matrix)))
        .toArray();
  }

  /// Of a network in which nothing is removed: removed weights have derivatives like others.
  @ParameterizedTest
  @MethodSource("graphs")
  void sumsAreThoseOfTheJacobian(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    assertSums(dense, TestNetworks.network(arena, seed + 1000, dense.graph()), 1);
  }

  static Stream<Activation> activations() {
    return TestNetworks.activations();
  }

  /// Of a chain with the activation behind a hidden layer, and a softmax at its end, or the activation there if it is
  /// of a row. A steep one magnifies the rounding of its argument.
  @ParameterizedTest
  @MethodSource("activations")
  void sumsAreThoseOfTheJacobianForEachActivation(Activation activation) throws IOException {
    List<Activation> chain = activation.isElementwise()
        ? List.of(Activation.TANH, activation, Activation.SOFTMAX)
        : List.of(Activation.TANH, Activation.TANH, activation);
    List<Integer> widths = List.of(3, 5, 4, 3);
    assertSums(TestNetworks.network(arena, 1, widths, chain), TestNetworks.network(arena, 2, widths, chain),
        activation.toString().equals("sin:30") ? 30 : 1);
  }

  /// @param steepness of the steepest activation
  private void assertSums(DenseNetwork dense, DenseNetwork pruned, double steepness) throws IOException {
    MatrixView x = samples(dense, SAMPLES);
    ScoringPlan plan = plan(pruned, all(dense));
    for (Objective objective : objectives(dense.graph())) {
      for (Backend backend : backends()) {
        double tolerance = steepness * (backend instanceof CpuBackend ? FLOAT32 : DIFFERENCES);
        try (backend;
            DeviceNetwork teacher = DeviceNetwork.copyOf(backend, dense);
            DeviceNetwork device = DeviceNetwork.copyOf(backend, pruned)) {
          MatrixSamples source = new MatrixSamples("samples", x);
          ParameterVector parameters = JointRefit.parameters(device, backend, plan.layers());
          try (
              JointSums sums = JointSums.allocate(device, backend, parameters,
                  Teacher.of(teacher, backend, objective, source, BATCH, ProgressListener.NONE, arena), source, BATCH);
              ParameterVector direction = ParameterVector.zeros(backend, parameters);
              ParameterVector found = ParameterVector.zeros(backend, parameters)) {
            double[] d = fill(backend, direction);
            Expected expected = new Expected(dense, pruned, x, objective, d);
            String where = "%s of %s, %s".formatted(objective, dense.graph(), backend.description());
            sums.gradient(found);
            assertClose(expected.gradient, values(backend, found), tolerance, "gradient, " + where);
            sums.curve(direction, found);
            assertClose(expected.product, values(backend, found), tolerance, "product, " + where);
            double factor = sums.diagonal(found, 1);
            assertClose(expected.diagonal, Arrays.stream(values(backend, found)).map(v -> v * factor).toArray(),
                tolerance, "diagonal, " + where);
          }
        }
      }
    }
  }

  private double[] fill(Backend backend, ParameterVector vector) {
    RandomGenerator random = TestNetworks.random(8);
    for (Matrix matrix : vector.matrices()) {
      backend.upload(TestNetworks.normal(arena, random, matrix.rows(), matrix.columns(), 1, 0), matrix);
    }
    return values(backend, vector);
  }

  /// Compares with rounding errors of a size that the largest expected value has.
  private static void assertClose(double[] expected, double[] actual, double tolerance, String where) {
    double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
    assertArrayEquals(expected, actual, SAMPLES * tolerance * (1e-3 + largest), where);
  }

  private DenseNetwork repair(Backend backend, DenseNetwork dense, DenseNetwork pruned, MatrixView x, String method,
      ScoringPlan plan) throws IOException {
    try (DeviceNetwork teacher = DeviceNetwork.copyOf(backend, dense);
        DeviceNetwork device = DeviceNetwork.copyOf(backend, pruned);
        JointRefit refit = JointRefit.towards(teacher, backend, (Repair.Joint) Repair.parse(method), plan,
            new MatrixSamples("samples", x), ProgressListener.NONE, arena)) {
      refit.repair(device, true, ProgressListener.NONE);
      return device.download(arena);
    }
  }

  /// A network of one layer is linear in its parameters: one step ends at the solution of the damped normal equations.
  @Test
  void aStepSolvesTheNormalEquations() throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(6, 4), List.of(Activation.IDENTITY));
    DenseNetwork pruned = pruned(dense, 2);
    MatrixView x = samples(dense, 40);
    double damping = 0.05;
    Expected expected = new Expected(dense, pruned, x, new Objective.SquaredError(), new double[28]);
    float[] before = pruned.layers().getFirst().weights().toArray();
    int[] left = IntStream.range(0, 28).filter(i -> i >= 24 || before[i] != 0).toArray();
    double[][] system = new double[left.length][left.length + 1];
    for (int i = 0; i < left.length; i++) {
      for (int j = 0; j < left.length; j++) {
        system[i][j] = expected.matrix[left[i]][left[j]] * (i == j ? 1 + damping : 1);
      }
      system[i][left.length] = -expected.gradient[left[i]];
    }
    double[] change = LayerRefitTest.gauss(system);
    try (Backend backend = new ReferenceBackend()) {
      DenseLayer found = repair(backend, dense, pruned, x, "joint:mse:outer=1:inner=100:damping=0.05", plan(dense, 0))
          .layers().getFirst();
      float[] weights = found.weights().toArray();
      float[] bias = found.bias().orElseThrow().toArray();
      float[] biasBefore = pruned.layers().getFirst().bias().orElseThrow().toArray();
      for (int i = 0; i < left.length; i++) {
        int at = left[i];
        double changed = at < 24 ? weights[at] - (double) before[at] : bias[at - 24] - (double) biasBefore[at - 24];
        assertEquals(change[i], changed, 1e-5, "parameter " + at);
      }
      IntStream.range(0, 24).filter(i -> before[i] == 0).forEach(i -> assertEquals(0, weights[i]));
    }
  }

  /// A few iterations of a well-conditioned step.
  @ParameterizedTest
  @MethodSource("graphs")
  void machinesAgree(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    DenseNetwork pruned = pruned(dense, seed);
    MatrixView x = samples(dense, 100);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      String method = "joint:mse:outer=1:inner=4:damping=1";
      Plain expected = Plain.of(repair(reference, dense, pruned, x, method, plan(dense, all(dense))));
      Plain found = Plain.of(repair(cpu, dense, pruned, x, method, plan(dense, all(dense))));
      LayerRefitTest.assertClose(expected, found, 1e-3);
    }
  }

  private static double loss(DenseNetwork dense, DenseNetwork pruned, MatrixView x, Objective objective) {
    double loss = 0;
    for (int n = 0; n < x.rows(); n++) {
      double[] sample = TestNetworks.row(x, n);
      double[] t = Expected.logits(Plain.of(dense), objective).output(sample);
      double[] y = Expected.logits(Plain.of(pruned), objective).output(sample);
      double[] p = softmax(y, 4);
      double[] q = softmax(t, 4);
      loss += switch (objective) {
        case Objective.SquaredError() -> IntStream.range(0, y.length).mapToDouble(k -> Math.pow(y[k] - t[k], 2)).sum();
        case Objective.Divergence _ ->
          IntStream.range(0, y.length).mapToDouble(k -> q[k] * Math.log(q[k] / p[k])).sum();
      };
    }
    return loss;
  }

  /// On random graphs, with rows of which nothing is left.
  @ParameterizedTest
  @MethodSource("graphs")
  void bringsTheOutputsCloser(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    DenseNetwork pruned = pruned(dense, seed);
    MatrixView x = samples(dense, 60);
    for (String objective : objectives(dense.graph()).size() > 1 ? List.of("mse", "kl:4") : List.of("mse")) {
      Objective of = Objective.parse(objective);
      double before = loss(dense, pruned, x, of);
      for (Backend backend : List.of(new ReferenceBackend(), new CpuBackend())) {
        try (backend) {
          double after = loss(dense, repair(backend, dense, pruned, x, "joint:" + objective, plan(dense, all(dense))),
              x, of);
          assertTrue(after <= before * (1 + 1e-6) + 1e-9, "%s: %s, %s".formatted(objective, before, after));
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"relu", "tanh", "silu"})
  void gainsMuch(Activation activation) throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(12, 16, 10, 4),
        List.of(activation, activation, Activation.IDENTITY));
    DenseNetwork pruned = pruned(dense, 3);
    MatrixView x = samples(dense, 500);
    for (String objective : List.of("mse", "kl:4")) {
      Objective of = Objective.parse(objective);
      double before = loss(dense, pruned, x, of);
      try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
        for (Backend backend : List.of(reference, cpu)) {
          double after = loss(dense, repair(backend, dense, pruned, x, "joint:" + objective, plan(dense, 0, 1, 2)), x,
              of);
          assertTrue(after < 0.3 * before, "%s: %s, %s".formatted(objective, before, after));
        }
      }
    }
  }

  @Test
  void leavesOtherLayersRemovedWeightsAndMissingBiasesAlone() throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(7, 9, 6, 3),
        List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
    DenseNetwork pruned = pruned(dense, 5);
    ScoringPlan plan = plan(dense, 1);
    ScoringPlan unbiased = new ScoringPlan(plan.criterion(), plan.compensation(),
        List.of(new ScoringPlan.Layer(1, false)), plan.sensitivity(), plan.loss(), BATCH, 1);
    try (Backend backend = new CpuBackend()) {
      DenseNetwork refitted = repair(backend, dense, pruned, samples(dense, 100), "joint:kl:4", unbiased);
      for (int l = 0; l < 3; l++) {
        float[] before = pruned.layers().get(l).weights().toArray();
        float[] after = refitted.layers().get(l).weights().toArray();
        for (int i = 0; i < before.length; i++) {
          assertEquals(before[i] == 0, after[i] == 0, "weight " + i);
        }
        assertEquals(l != 1, Arrays.equals(before, after));
        assertArrayEquals(pruned.layers().get(l).bias().orElseThrow().toArray(),
            refitted.layers().get(l).bias().orElseThrow().toArray());
      }
    }
  }

  /// Fewer samples than parameters, equal samples, a single one, dead neurons, a layer of which nothing is left, and
  /// values whose squares overflow: no NaN, and nothing gets worse.
  @Test
  void hardCasesStayFinite() throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(7, 9, 6, 3),
        List.of(Activation.RELU, Activation.RELU, Activation.SOFTMAX));
    DenseNetwork pruned = pruned(dense, 5);
    DenseNetwork dead = pruned(dense, 5);
    dead.layers().get(1).bias().orElseThrow().segment().fill((byte) 0);
    for (int i = 0; i < 6; i++) {
      dead.layers().get(0).bias().orElseThrow().set(0, i, -100);
    }
    DenseNetwork empty = pruned(dense, 5);
    empty.layers().get(1).weights().segment().fill((byte) 0);
    MatrixView equal = MatrixView.allocate(arena, 20, 7);
    MatrixView huge = TestNetworks.normal(arena, TestNetworks.random(3), 10, 7, 1e25, 0);
    try (Backend backend = new CpuBackend()) {
      for (DenseNetwork network : List.of(pruned, dead, empty)) {
        for (MatrixView x : List.of(samples(dense, 1), samples(dense, 3), equal, huge)) {
          for (String method : List.of("joint:mse", "joint:kl:4")) {
            DenseNetwork refitted = repair(backend, dense, network, x, method, plan(dense, 0, 1, 2));
            Objective objective = Objective.parse(method.substring(6));
            for (DenseLayer layer : refitted.layers()) {
              assertEquals(-1, layer.weights().firstNonFinite());
              assertEquals(-1, layer.bias().orElseThrow().firstNonFinite());
            }
            if (!x.equals(huge)) {
              assertTrue(loss(dense, refitted, x, objective) <= loss(dense, network, x, objective) + 1e-6);
            }
          }
        }
      }
    }
  }

  /// A network that has lost neurons and inputs, with constants that its biases take up, comes back as large as it was,
  /// with the outputs of the compact one.
  @Test
  void worksOnACompactNetwork() throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(9, 8, 7, 3),
        List.of(Activation.TANH, Activation.RELU, Activation.IDENTITY));
    DenseNetwork pruned = TestNetworks.network(arena, 2, List.of(9, 8, 7, 3),
        List.of(Activation.TANH, Activation.RELU, Activation.IDENTITY));
    MatrixView first = pruned.layers().get(0).weights();
    for (int i = 0; i < 8; i++) {
      first.set(i, 2, 0); // an input that is not read
      first.set(3, i, 0); // a neuron that is constant
    }
    first.set(3, 8, 0);
    for (int i = 0; i < 7; i++) {
      pruned.layers().get(1).weights().set(i, 6, 0); // a neuron that is not read
    }
    MatrixView x = samples(dense, 50);
    try (Backend backend = new ReferenceBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(backend, pruned);
        CompactNetwork compact = CompactNetwork.of(device, backend, true)) {
      assertEquals(List.of(6, 7, 3), compact.network().layers().stream().map(LayerShape::outputs).toList());
      assertEquals(8, CompactNetwork.narrow(new MatrixSamples("samples", x), compact.inputs()).width());
      MatrixView read = compact.narrow(x, arena);
      for (DeviceNetwork.Layer layer : compact.network().layers()) {
        backend.network().add(0.25, layer.bias(), layer.bias());
      }
      compact.writeBack(device);
      DenseNetwork moved = compact.network().download(arena);
      DenseNetwork back = device.download(arena);
      for (int n = 0; n < x.rows(); n++) {
        double[] sample = TestNetworks.row(x, n);
        double[] narrow = IntStream.range(0, 9).filter(j -> j != 2).mapToDouble(j -> sample[j]).toArray();
        assertArrayEquals(narrow, TestNetworks.row(read, n));
        assertArrayEquals(Plain.of(moved).output(narrow), Plain.of(back).output(sample), 1e-5);
      }
      assertEquals(pruned.layers().get(0).bias().orElseThrow().get(0, 3),
          back.layers().get(0).bias().orElseThrow().get(0, 3));
    }
  }

  /// A neuron without inputs stays, because a normalisation reads it, and another reads nothing else. When a repair moves
  /// the bias of the first, both move.
  @Test
  void constantsThatARepairMovesAreNone() {
    Graph.Builder builder = new Graph.Builder(3);
    int first = builder.dense("first", 0, 4);
    int second = builder.activate(builder.dense("second", first, 3), Activation.TANH);
    int normal = builder.normalize(first, true, 1e-5);
    builder.dense("last", builder.concat(normal, second), 2);
    DenseNetwork network = TestNetworks.network(arena, 1, builder.build());
    MatrixView weights = network.layers().getFirst().weights();
    MatrixView reader = network.layers().get(1).weights();
    for (int j = 0; j < 3; j++) {
      weights.set(0, j, 0);
      reader.set(1, j + 1, 0);
    }
    try (Backend backend = new ReferenceBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        CompactNetwork compact = CompactNetwork.of(device, backend, true)) {
      for (DeviceNetwork.Layer layer : compact.network().layers()) {
        backend.network().add(0.25, layer.bias(), layer.bias());
      }
      compact.writeBack(device);
      double[] sample = {0.5, -1, 2};
      assertArrayEquals(Plain.of(compact.network().download(arena)).output(sample),
          Plain.of(device.download(arena)).output(sample), 1e-6);
    }
  }

  /// A round in between repairs only what has few weights left, and says where nothing was gained.
  @Test
  void roundsInBetweenWaitForFewWeights() throws IOException {
    DenseNetwork dense = TestNetworks.network(arena, 1, List.of(20, 30, 4),
        List.of(Activation.RELU, Activation.IDENTITY));
    DenseNetwork half = pruned(dense, 5);
    DenseNetwork few = pruned(pruned(pruned(pruned(dense, 5), 6), 7), 8);
    MatrixView x = samples(dense, 100);
    try (Backend backend = new CpuBackend();
        DeviceNetwork teacher = DeviceNetwork.copyOf(backend, dense);
        DeviceNetwork device = DeviceNetwork.copyOf(backend, half);
        JointRefit refit = JointRefit.towards(teacher, backend, new Repair.Joint(), plan(dense, 0, 1),
            new MatrixSamples("samples", x), ProgressListener.NONE, arena)) {
      refit.repair(device, false, ProgressListener.NONE);
      assertArrayEquals(half.layers().getFirst().weights().toArray(),
          device.download(arena).layers().getFirst().weights().toArray());
      device.load(few);
      refit.repair(device, false, ProgressListener.NONE);
      assertNotEquals(Arrays.toString(few.layers().getFirst().weights().toArray()),
          Arrays.toString(device.download(arena).layers().getFirst().weights().toArray()));
      assertEquals(List.of(), refit.notes());
      device.load(dense);
      refit.repair(device, true, ProgressListener.NONE);
      assertEquals(
          List.of("joint: no step brought the outputs closer to the dense network's in round 3, which kept the "
              + "weights as they were"),
          refit.notes());
    }
  }
}
