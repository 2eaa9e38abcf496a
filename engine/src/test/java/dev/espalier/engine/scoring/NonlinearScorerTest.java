package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class NonlinearScorerTest {
  private static final int SAMPLES = 12;
  /// Of the few hundred roundings on the way of a sample through a small network.
  private static final double FLOAT32 = 500 * 0x1p-24;

  private final Arena arena = Arena.ofShared(); // of the test's thread and those of the CPU backend

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#kinds")
  void equalsTheDefinition(Activation activation) throws IOException {
    Activation hidden = activation.isElementwise() ? activation : Activation.TANH;
    check(TestNetworks.network(arena, 11, List.of(5, 4, 3), List.of(hidden, activation)));
    check(TestNetworks.network(arena, 11, List.of(4, 5, 4, 3), List.of(hidden, hidden, Activation.IDENTITY)));
  }

  /// Sums and concatenations of values of which one or all columns change.
  @ParameterizedTest
  @MethodSource("graphs")
  void equalsTheDefinitionOnGraphs(long seed) throws IOException {
    check(TestNetworks.network(arena, seed, TestNetworks.graph(seed, 9)));
  }

  static LongStream graphs() {
    return LongStream.range(0, 20);
  }

  private void check(DenseNetwork network) throws IOException {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, network.inputs(), 1, 0.5);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      TrueRemovals.check(network, x, reference, cpu);
    }
  }

  private List<double[]> scores(Backend backend, DenseNetwork network, String criterion, Dataset data, int batchSize)
      throws IOException {
    List<double[]> all = new ArrayList<>();
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = TrueRemovals.score(backend, device, Criterion.parse(criterion), data, batchSize)) {
      for (int i = 0; i < scores.size(); i++) {
        all.add(TestNetworks.values(backend, scores.importance(i)));
        all.add(TestNetworks.values(backend, scores.compensation(i).orElseThrow()));
      }
    }
    return all;
  }

  private Dataset data(int samples, int inputs) {
    return TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), samples, inputs, 1, 0.5));
  }

  /// The smaller the weights of a layer are, the less their removal changes, and the closer the first order is.
  @Test
  void tendsToTheFirstOrder() throws IOException {
    double before = Double.POSITIVE_INFINITY;
    for (double scale : new double[]{1, 0.1, 0.01, 0.001}) {
      DenseNetwork network = TestNetworks.network(arena, 3, List.of(6, 5, 4),
          List.of(Activation.TANH, Activation.SOFTMAX));
      MatrixView first = network.layers().getFirst().weights();
      for (int i = 0; i < first.rows(); i++) {
        for (int j = 0; j < first.columns(); j++) {
          first.set(i, j, (float) (scale * first.get(i, j)));
        }
      }
      try (Backend reference = new ReferenceBackend()) {
        double[] linear = scores(reference, network, "ec", data(40, 6), 16).getFirst();
        double[] nonlinear = scores(reference, network, "ec-nonlinear", data(40, 6), 16).getFirst();
        double deviation = IntStream.range(0, linear.length).mapToDouble(at -> Math.abs(nonlinear[at] / linear[at] - 1))
            .max().orElseThrow();
        assertTrue(deviation < Math.max(before / 5, 2 * Minimisation.TOLERANCE),
            "scale %s: %s after %s".formatted(scale, deviation, before));
        before = deviation;
      }
    }
    assertTrue(before < 0.01);
  }

  /// The first order is all there is.
  @Test
  void equalsEcInALinearNetwork() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 4, List.of(6, 5, 4),
        List.of(Activation.IDENTITY, Activation.IDENTITY));
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        List<double[]> linear = scores(backend, network, "ec", data(40, 6), 16);
        List<double[]> nonlinear = scores(backend, network, "ec-nonlinear", data(40, 6), 16);
        for (int i = 0; i < linear.size(); i++) {
          double largest = Arrays.stream(linear.get(i)).map(Math::abs).max().orElseThrow();
          // Near a minimum, values differ by the square of what arguments differ by.
          assertArrayEquals(linear.get(i), nonlinear.get(i), (i % 2 == 0 ? FLOAT32 : Math.sqrt(FLOAT32)) * largest);
        }
      }
    }
  }

  /// Their number changes the last bits, and with these the trials, but no two runs differ.
  @Test
  void threadsAndBatchesChangeNothingButRounding() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(9, 8, 7, 3),
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
    Dataset data = data(500, 9);
    List<double[]> expected;
    try (Backend reference = new ReferenceBackend()) {
      expected = scores(reference, network, "ec-nonlinear", data, 64);
    }
    for (int threads = 1; threads <= Runtime.getRuntime().availableProcessors(); threads++) {
      for (int batchSize : new int[]{7, 64, 1000}) {
        try (Backend cpu = new CpuBackend(threads, Precision.FP32)) {
          List<double[]> found = scores(cpu, network, "ec-nonlinear", data, batchSize);
          List<double[]> again = scores(cpu, network, "ec-nonlinear", data, batchSize);
          for (int i = 0; i < found.size(); i += 2) {
            for (int at = 0; at < found.get(i).length; at++) {
              double right = expected.get(i)[at];
              assertEquals(right, found.get(i)[at], 2 * Minimisation.TOLERANCE * right + FLOAT32 * FLOAT32);
            }
            assertArrayEquals(found.get(i), again.get(i));
            assertArrayEquals(found.get(i + 1), again.get(i + 1));
          }
        }
      }
    }
  }

  private DenseNetwork withLayer(DenseNetwork network, int l, MatrixView weights, Optional<MatrixView> bias) {
    List<DenseLayer> layers = new ArrayList<>(network.layers());
    layers.set(l, new DenseLayer(layers.get(l).name(), weights, bias, layers.get(l).activation()));
    return new DenseNetwork(layers);
  }

  /// One is off at all samples, the other is not read. The removal of a weight would turn the first on at some samples,
  /// were it not for the bias.
  @Test
  void deadNeuronsCostNothing() throws IOException {
    DenseNetwork random = TestNetworks.network(arena, 5, List.of(4, 6, 3),
        List.of(Activation.RELU, Activation.IDENTITY));
    MatrixView weights = random.layers().getFirst().weights();
    MatrixView bias = random.layers().getFirst().bias().orElseThrow();
    for (int j = 0; j < 4; j++) {
      weights.set(2, j, j == 0 ? -1 : 0.1f);
    }
    bias.set(0, 2, -0.05f);
    MatrixView above = random.layers().getLast().weights();
    IntStream.range(0, 3).forEach(k -> above.set(k, 4, 0));
    MatrixView x = MatrixView.allocate(arena, 30, 4);
    MatrixView normal = TestNetworks.normal(arena, TestNetworks.random(6), 30, 4, 0.5, 0);
    for (int n = 0; n < 30; n++) {
      for (int j = 0; j < 4; j++) {
        x.set(n, j, j == 0 ? 2 + normal.get(n, j) : normal.get(n, j));
      }
    }
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        List<double[]> scores = scores(backend, random, "ec-nonlinear", TestNetworks.source(x), 16);
        for (int j = 0; j < 4; j++) {
          assertEquals(0, scores.getFirst()[2 * 4 + j]);
          assertEquals(0, scores.getFirst()[4 * 4 + j]);
          assertEquals(0, scores.get(1)[4 * 4 + j]);
        }
        TrueRemovals.Removal removal = new TrueRemovals.Removal(Plain.of(random), x, 0, 2, 0);
        assertTrue(removal.error(0) > 0);
        assertEquals(0, removal.error(scores.get(1)[2 * 4]));
      }
    }
  }

  @Test
  void aLayerWithoutABiasIsScoredWithoutAChangeOfIt() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 7, List.of(4, 5, 3),
        List.of(Activation.TANH, Activation.IDENTITY));
    DenseNetwork unbiased = withLayer(network, 0, network.layers().getFirst().weights(), Optional.empty());
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(8), 20, 4, 1, 0.5);
    ScoringPlan plan = new ScoringPlan(new Criterion.NonlinearEliminationCompensation(), new Compensation.Bias(),
        List.of(new ScoringPlan.Layer(0, false), new ScoringPlan.Layer(1, true)), new Sensitivity.Jacobian(),
        Optional.empty(), 8, 1);
    try (Backend reference = new ReferenceBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(reference, unbiased);
        Scores scores = Scorer.score(reference, device, plan, Optional.of(TestNetworks.source(x)),
            ProgressListener.NONE)) {
      double[] importance = TestNetworks.values(reference, scores.importance(0));
      assertArrayEquals(new double[20], TestNetworks.values(reference, scores.compensation(0).orElseThrow()));
      for (int at = 0; at < importance.length; at++) {
        double error = new TrueRemovals.Removal(Plain.of(unbiased), x, 0, at / 4, at % 4).error(0);
        assertEquals(error, importance[at], 0x1p-23 * error);
      }
    }
  }

  @Test
  void weightsThatAreZeroAreNotTried() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 9, List.of(4, 5, 3),
        List.of(Activation.TANH, Activation.IDENTITY));
    network.layers().getFirst().weights().set(1, 2, 0);
    try (Backend cpu = new CpuBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(cpu, network);
        Scores scores = TrueRemovals.score(cpu, device, new Criterion.NonlinearEliminationCompensation(), data(20, 4),
            8)) {
      assertEquals(0, TestNetworks.values(cpu, scores.importance(0))[1 * 4 + 2]);
      scores.rank(device);
      assertEquals(-1, TestNetworks.values(cpu, scores.importance(0))[1 * 4 + 2]);
    }
  }

  /// The change of the output is found where its square is too large for float32, and that of the linearisation too.
  @Test
  void namesTheScoreThatIsNotFinite() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 9, List.of(4, 5, 3),
        List.of(Activation.RELU, Activation.IDENTITY));
    network.layers().getLast().weights().set(1, 4, 3e30f);
    try (Backend cpu = new CpuBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(cpu, network);
        Scores scores = TrueRemovals.score(cpu, device, new Criterion.NonlinearEliminationCompensation(), data(20, 4),
            8)) {
      String message = assertThrows(NonFiniteException.class, () -> scores.rank(device)).getMessage();
      assertTrue(message.matches("the importance of layer0.weight at \\[4, \\d] is not finite: .*"), message);
    }
  }

  @Test
  void canBeCancelledAnywhere() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 10, List.of(9, 8, 7, 3),
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
    Dataset data = data(500, 9);
    ScoringPlan plan = new ScoringPlan(new Criterion.NonlinearEliminationCompensation(), new Compensation.Bias(),
        List.of(new ScoringPlan.Layer(0, true), new ScoringPlan.Layer(1, true)), new Sensitivity.Jacobian(),
        Optional.empty(), 64, 1);
    try (Backend cpu = new CpuBackend(); DeviceNetwork device = DeviceNetwork.copyOf(cpu, network)) {
      List<String> reports = new ArrayList<>();
      ProgressListener all = (task, done, total) -> {
        assertTrue(done <= total && total == 500);
        return reports.add(task);
      };
      Scorer.score(cpu, device, plan, Optional.of(data), all).close();
      assertTrue(reports.contains("scoring layer layer1, trial 3"), reports::toString);
      for (int stop = 1; stop < reports.size(); stop += 37) {
        int last = stop;
        List<String> seen = new ArrayList<>();
        ProgressListener some = (task, _, _) -> seen.add(task) && seen.size() < last;
        String message = assertThrows(CancellationException.class,
            () -> Scorer.score(cpu, device, plan, Optional.of(data), some)).getMessage();
        assertTrue(message.startsWith("cancelled while " + reports.get(last - 1)), message);
      }
    }
  }
}
