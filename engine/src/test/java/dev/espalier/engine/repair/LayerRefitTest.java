package dev.espalier.engine.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class LayerRefitTest {
  private static final int SAMPLES = 150;
  private static final double DAMPING = 1e-2;
  /// Enough for small layers to be solved.
  private static final Repair.Refit EXACT = new Repair.Refit(OptionalInt.of(60), OptionalDouble.of(DAMPING));

  /// What a pruning leaves.
  private enum Left {
    /// About half of the weights, and none of row 1.
    SCATTERED,
    /// As scattered, without about half of the inputs.
    SOME_INPUTS,
    /// The weights of the last input, but for row 0.
    ONE_INPUT,
    /// Weights of every other layer.
    SOME_LAYERS,
    /// All weights.
    ALL
  }

  /// Of float32, in systems whose condition the damping keeps below 1000 times the number of inputs.
  private static final double ROUNDING = 1e-4;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Random graphs, the last ones with tied layers, and a chain.
  static LongStream graphs() {
    return LongStream.range(0, 24);
  }

  /// Those without tied layers.
  static LongStream untied() {
    return LongStream.range(0, 12);
  }

  private DenseNetwork network(long seed) {
    return seed == 0
        ? TestNetworks.network(arena, 1, List.of(7, 9, 6, 3),
            List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX))
        : TestNetworks.network(arena, seed,
            seed < 12 ? TestNetworks.graph(seed, 9) : TestNetworks.tiedGraph(seed + 100, 12));
  }

  private DenseNetwork pruned(DenseNetwork network, long seed) {
    return pruned(network, seed, Left.SCATTERED);
  }

  private DenseNetwork pruned(DenseNetwork network, long seed, Left left) {
    RandomGenerator random = TestNetworks.random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      MatrixView weights = layer.weights().copy(arena);
      boolean[] unread = new boolean[weights.columns()];
      for (int j = 0; j < unread.length && left == Left.SOME_INPUTS; j++) {
        unread[j] = random.nextBoolean();
      }
      for (int i = 0; i < weights.rows(); i++) {
        for (int j = 0; j < weights.columns(); j++) {
          boolean isRemoved = switch (left) {
            case SCATTERED, SOME_INPUTS -> i == 1 || unread[j] || random.nextBoolean();
            case ONE_INPUT -> i == 0 || j != weights.columns() - 1;
            case SOME_LAYERS -> layers.size() % 2 == seed % 2;
            case ALL -> false;
          };
          if (isRemoved) {
            weights.set(i, j, 0);
          }
        }
      }
      layers.add(new DenseLayer(layer.name(), weights, layer.bias(), layer.activation()));
    }
    return new DenseNetwork(network.graph(), layers);
  }

  private MatrixView samples(DenseNetwork network, int count) {
    return TestNetworks.normal(arena, TestNetworks.random(3), count, network.inputs(), 1, 0.5);
  }

  private static List<ScoringPlan.Layer> all(DenseNetwork network) {
    return IntStream.range(0, network.layers().size())
        .mapToObj(l -> new ScoringPlan.Layer(l, network.layers().get(l).hasBias())).toList();
  }

  private DenseNetwork refit(Backend backend, DenseNetwork dense, DenseNetwork pruned, MatrixView x,
      Repair.Refit method, List<ScoringPlan.Layer> layers, int rounds) throws IOException {
    try (DeviceNetwork to = DeviceNetwork.copyOf(backend, dense);
        DeviceNetwork device = DeviceNetwork.copyOf(backend, pruned);
        LayerRefit refit = LayerRefit.towards(to, backend, method, layers, new MatrixSamples("samples", x), 64)) {
      for (int round = 0; round < rounds; round++) {
        refit.repair(device, round == rounds - 1, ProgressListener.NONE);
      }
      return device.download(arena);
    }
  }

  /// Layer by layer, each with the inputs that the layers below it give, refitted or not yet, at all its uses: E‖z₀ −
  /// W a − b‖² + λ h ‖W − W₁‖² by Gaussian elimination, with W₁ as it was pruned and h the mean variance of the
  /// inputs.
  @ParameterizedTest
  @MethodSource("graphs")
  void isTheSolutionOfDampedLeastSquares(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    MatrixView x = samples(dense, SAMPLES);
    Plain before = Plain.of(dense);
    for (Left left : Left.values()) {
      DenseNetwork pruned = pruned(dense, seed, left);
      Plain expected = Plain.of(pruned);
      for (int l = 0; l < dense.layers().size(); l++) {
        solve(l, before, expected, x, dense.layers().get(l).hasBias());
      }
      try (Backend backend = new ReferenceBackend()) {
        Plain found = Plain.of(refit(backend, dense, pruned, x, EXACT, all(dense), 1));
        assertClose(left.toString(), expected, found, 1e-5);
      }
    }
  }

  static void assertClose(Plain expected, Plain found, double tolerance) {
    assertClose("repaired", expected, found, tolerance);
  }

  /// @param tolerance of the largest value of a row, if that is above 1
  private static void assertClose(String of, Plain expected, Plain found, double tolerance) {
    for (int l = 0; l < expected.weights().length; l++) {
      for (int i = 0; i < expected.weights()[l].length; i++) {
        double[] row = expected.weights()[l][i];
        assertArrayEquals(row, found.weights()[l][i], tolerance * scale(row),
            "%s: layer %d, row %d".formatted(of, l, i));
      }
      double[] biases = expected.biases()[l];
      assertArrayEquals(biases, found.biases()[l], tolerance * scale(biases),
          "%s: biases of layer %d".formatted(of, l));
    }
  }

  private static double scale(double... values) {
    return Arrays.stream(values).map(Math::abs).reduce(1, Math::max);
  }

  /// From the sums of all inputs: the systems of the rows and inputs with weights, and those of all.
  @ParameterizedTest
  @MethodSource("graphs")
  void leavingOutWhatHasNoWeightsRoundsOnly(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    MatrixView x = samples(dense, SAMPLES);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Left left : Left.values()) {
        DenseNetwork pruned = pruned(dense, seed, left);
        assertLeavingOutRoundsOnly(left, reference, dense, pruned, x, 1e-6);
        assertLeavingOutRoundsOnly(left, cpu, dense, pruned, x, ROUNDING);
      }
    }
  }

  private void assertLeavingOutRoundsOnly(Left left, Backend backend, DenseNetwork dense, DenseNetwork pruned,
      MatrixView x, double tolerance) throws IOException {
    try (DeviceNetwork to = DeviceNetwork.copyOf(backend, dense);
        DeviceNetwork parts = DeviceNetwork.copyOf(backend, pruned);
        DeviceNetwork whole = DeviceNetwork.copyOf(backend, pruned)) {
      for (ScoringPlan.Layer layer : all(dense)) {
        List<Sums> sums = LayerFit.sums(backend, to, whole, layer, new MatrixSamples("samples", x), 64,
            ProgressListener.NONE, arena);
        LayerFit.fit(backend, parts.layers().get(layer.number()), layer.compensable(), sums, iterations(60));
        fitWhole(backend, whole.layers().get(layer.number()), layer.compensable(), sums, iterations(60));
      }
      assertClose(left.toString(), Plain.of(whole.download(arena)), Plain.of(parts.download(arena)), tolerance);
    }
  }

  private static void fitWhole(Backend backend, DeviceNetwork.Layer layer, boolean compensable, List<Sums> sums,
      Repair.Refit method) {
    try (Resources memory = new Resources()) {
      LayerSums.Inputs inputs = LayerSums.Inputs.allocate(backend, layer, layer.inputs(), sums.getFirst().samples(),
          memory);
      LayerSums.Errors errors = LayerSums.Errors.allocate(backend, layer, layer.inputs(), memory);
      backend.upload(sums.getFirst().array("column_mean"), inputs.mean());
      backend.upload(sums.getFirst().array("products"), inputs.gram());
      backend.solving().diagonal(inputs.gram(), inputs.squares());
      backend.upload(sums.getLast().array("row_mean"), errors.mean());
      backend.upload(sums.getLast().array("products"), errors.cross());
      LayerFit.apply(backend, layer, compensable, LayerPart.all(backend, layer), inputs, errors, method, memory);
    }
  }

  private static void solve(int l, Plain dense, Plain pruned, MatrixView x, boolean hasBias) {
    int[] uses = dense.graph().uses(l);
    int inputs = pruned.weights()[l][0].length;
    double[][] a = new double[x.rows() * uses.length][];
    double[][] z = new double[a.length][];
    double[] mean = new double[inputs];
    double[] meanError = new double[pruned.weights()[l].length];
    for (int n = 0; n < a.length; n++) {
      double[] sample = TestNetworks.row(x, n / uses.length);
      int node = uses[n % uses.length];
      a[n] = pruned.values(sample)[dense.graph().nodes().get(node).inputs().getFirst()];
      z[n] = dense.values(sample)[node];
      for (int i = 0; i < meanError.length; i++) {
        meanError[i] += (z[n][i] - pruned.values(sample)[node][i]) / a.length;
      }
      for (int j = 0; j < inputs; j++) {
        mean[j] += hasBias ? a[n][j] / a.length : 0;
      }
    }
    double variance = 0;
    for (double[] row : a) {
      for (int j = 0; j < inputs; j++) {
        variance += Math.pow(row[j] - mean[j], 2) / a.length / inputs;
      }
    }
    for (int i = 0; i < pruned.weights()[l].length; i++) {
      double[] w = pruned.weights()[l][i];
      int[] left = IntStream.range(0, inputs).filter(j -> w[j] != 0).toArray();
      int unknowns = left.length + (hasBias ? 1 : 0);
      double[][] system = new double[unknowns][unknowns + 1];
      for (int n = 0; n < a.length; n++) {
        double[] row = new double[unknowns];
        for (int k = 0; k < left.length; k++) {
          row[k] = a[n][left[k]];
        }
        if (hasBias) {
          row[left.length] = 1;
        }
        for (int k = 0; k < unknowns; k++) {
          for (int m = 0; m < unknowns; m++) {
            system[k][m] += row[k] * row[m] / a.length;
          }
          system[k][unknowns] += row[k] * (z[n][i] - (hasBias ? 0 : pruned.biases()[l][i])) / a.length;
        }
      }
      for (int k = 0; k < left.length; k++) {
        system[k][k] += DAMPING * variance;
        system[k][unknowns] += DAMPING * variance * w[left[k]];
      }
      if (variance < 1e-12) {
        pruned.biases()[l][i] += hasBias ? meanError[i] : 0; // the inputs are constant
        continue;
      }
      double[] solution = gauss(system);
      for (int k = 0; k < left.length; k++) {
        w[left[k]] = solution[k];
      }
      if (hasBias) {
        pruned.biases()[l][i] = solution[left.length];
      }
    }
  }

  /// With the largest pivot of each column.
  static double[] gauss(double[][] system) {
    int n = system.length;
    for (int k = 0; k < n; k++) {
      int pivot = k;
      for (int i = k; i < n; i++) {
        pivot = Math.abs(system[i][k]) > Math.abs(system[pivot][k]) ? i : pivot;
      }
      double[] row = system[pivot];
      system[pivot] = system[k];
      system[k] = row;
      for (int i = 0; i < n; i++) {
        double factor = i == k ? 0 : system[i][k] / row[k];
        for (int j = k; j <= n; j++) {
          system[i][j] -= factor * row[j];
        }
      }
    }
    return IntStream.range(0, n).mapToDouble(k -> system[k][n] / system[k][k]).toArray();
  }

  @ParameterizedTest
  @MethodSource("untied")
  void bringsALayerCloser(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    MatrixView x = samples(dense, SAMPLES);
    try (Backend backend = new ReferenceBackend()) {
      for (int l = 0; l < dense.layers().size(); l++) {
        List<DenseLayer> layers = new ArrayList<>(dense.layers());
        layers.set(l, pruned(dense, seed).layers().get(l));
        DenseNetwork pruned = new DenseNetwork(dense.graph(), layers);
        DenseNetwork refitted = refit(backend, dense, pruned, x, new Repair.Refit(), List.of(all(dense).get(l)), 1);
        assertTrue(error(l, dense, refitted, x) <= error(l, dense, pruned, x) * (1 + 1e-6), "layer " + l);
      }
    }
  }

  private static double error(int l, DenseNetwork dense, DenseNetwork pruned, MatrixView x) {
    int node = dense.graph().layerNodes()[l];
    double error = 0;
    for (int n = 0; n < x.rows(); n++) {
      double[] target = Plain.of(dense).values(TestNetworks.row(x, n))[node];
      double[] value = Plain.of(pruned).values(TestNetworks.row(x, n))[node];
      error += IntStream.range(0, target.length).mapToDouble(i -> Math.pow(target[i] - value[i], 2)).sum();
    }
    return error;
  }

  /// Sums that are kept over rounds and layers, and sums that are computed again from the samples.
  @ParameterizedTest
  @MethodSource("graphs")
  void keepingValuesChangesNothing(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    DenseNetwork pruned = pruned(dense, seed);
    MatrixView x = samples(dense, SAMPLES);
    try (Backend kept = new ReferenceBackend(); Backend reference = new ReferenceBackend()) {
      Backend streaming = (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(),
          new Class<?>[]{Backend.class},
          (_, method, arguments) -> method.getName().equals("memory")
              ? Optional.of(new MemoryBudget(1 << 20, 1 << 20))
              : method.invoke(reference, arguments));
      Plain expected = Plain.of(refit(streaming, dense, pruned, x, EXACT, all(dense), 3));
      Plain found = Plain.of(refit(kept, dense, pruned, x, EXACT, all(dense), 3));
      for (int l = 0; l < dense.layers().size(); l++) {
        for (int i = 0; i < expected.weights()[l].length; i++) {
          assertArrayEquals(expected.weights()[l][i], found.weights()[l][i]);
        }
        assertArrayEquals(expected.biases()[l], found.biases()[l]);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void machinesAgree(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    MatrixView x = samples(dense, SAMPLES);
    Repair.Refit method = new Repair.Refit(OptionalInt.of(60), OptionalDouble.of(0.1)); // well-conditioned
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Left left : Left.values()) {
        DenseNetwork pruned = pruned(dense, seed, left);
        Plain expected = Plain.of(refit(reference, dense, pruned, x, method, all(dense), 2));
        Plain found = Plain.of(refit(cpu, dense, pruned, x, method, all(dense), 2));
        assertClose(left.toString(), expected, found, ROUNDING);
      }
    }
  }

  /// Steps after the solution follow rounding: they must not be taken.
  @ParameterizedTest
  @MethodSource("graphs")
  void moreIterationsDoNoHarm(long seed) throws IOException {
    DenseNetwork dense = network(seed);
    DenseNetwork pruned = pruned(dense, seed);
    MatrixView x = samples(dense, SAMPLES);
    try (Backend cpu = new CpuBackend()) {
      Plain expected = Plain.of(refit(cpu, dense, pruned, x, iterations(60), all(dense), 1));
      Plain found = Plain.of(refit(cpu, dense, pruned, x, iterations(1000), all(dense), 1));
      assertClose(expected, found, 1e-4);
    }
  }

  private static Repair.Refit iterations(int count) {
    return new Repair.Refit(OptionalInt.of(count), OptionalDouble.of(0.01));
  }

  @Test
  void leavesOtherLayersAndRemovedWeightsAlone() throws IOException {
    DenseNetwork dense = network(0);
    DenseNetwork pruned = pruned(dense, 5);
    try (Backend backend = new CpuBackend()) {
      DenseNetwork refitted = refit(backend, dense, pruned, samples(dense, SAMPLES), new Repair.Refit(),
          List.of(new ScoringPlan.Layer(1, true)), 1);
      for (int l : new int[]{0, 2}) {
        assertArrayEquals(pruned.layers().get(l).weights().toArray(), refitted.layers().get(l).weights().toArray());
        assertArrayEquals(pruned.layers().get(l).bias().orElseThrow().toArray(),
            refitted.layers().get(l).bias().orElseThrow().toArray());
      }
      float[] before = pruned.layers().get(1).weights().toArray();
      float[] after = refitted.layers().get(1).weights().toArray();
      for (int i = 0; i < before.length; i++) {
        assertEquals(before[i] == 0, after[i] == 0, "weight " + i);
      }
      assertFalse(Arrays.equals(before, after));
    }
  }

  /// Fewer samples than inputs, equal samples, and a single one: no division by 0, no weight that runs away.
  @Test
  void fewSamplesAndConstantInputsStayFinite() throws IOException {
    DenseNetwork dense = network(0);
    DenseNetwork pruned = pruned(dense, 5);
    MatrixView equal = MatrixView.allocate(arena, 20, dense.inputs());
    for (int n = 0; n < 20; n++) {
      for (int j = 0; j < dense.inputs(); j++) {
        equal.set(n, j, j);
      }
    }
    try (Backend backend = new CpuBackend()) {
      for (MatrixView x : List.of(samples(dense, 1), samples(dense, 3), equal)) {
        DenseNetwork refitted = refit(backend, dense, pruned, x, new Repair.Refit(), all(dense), 3);
        assertTrue(error(2, dense, refitted, x) <= error(2, dense, pruned, x) + 1e-6);
        for (int l = 0; l < 3; l++) {
          float[] before = pruned.layers().get(l).weights().toArray();
          float[] after = refitted.layers().get(l).weights().toArray();
          for (int i = 0; i < before.length; i++) {
            assertEquals(before[i], after[i], 2, "layer %d, weight %d".formatted(l, i));
          }
        }
      }
    }
  }

  @Test
  void refusesInputsWhoseSquaresOverflow() {
    DenseNetwork dense = network(0);
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(3), 10, dense.inputs(), 1e25, 0);
    try (Backend backend = new CpuBackend()) {
      assertEquals(
          "layer layer0: the sum of the squares of input 0 is not finite: the network's values are too large for a refit",
          assertThrows(NonFiniteException.class,
              () -> refit(backend, dense, pruned(dense, 5), x, new Repair.Refit(), all(dense), 1)).getMessage());
    }
  }
}
