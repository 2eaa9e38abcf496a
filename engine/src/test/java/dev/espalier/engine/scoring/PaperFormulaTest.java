package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The engine's scores against the paper's formula, term by term in double: per-sample Jacobians of every weight and
/// bias by central differences of a plain network evaluation that shares no code with the engine.
final class PaperFormulaTest {
  private static final int SAMPLES = 12;
  /// Of the few hundred roundings to float32 on the way of a sample through a small network and back.
  private static final double FLOAT32 = 500 * 0x1p-24;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#kinds")
  void equalsThePapersFormula(Activation activation) throws IOException {
    Activation hidden = activation.isElementwise() ? activation : Activation.TANH;
    check(List.of(5, 4, 3), List.of(hidden, activation));
    check(List.of(4, 5, 4, 3), List.of(hidden, hidden, Activation.IDENTITY));
  }

  /// Layers that several nodes read, sums and concatenations of them: the formula knows nothing of the graph.
  @ParameterizedTest
  @MethodSource("graphs")
  void equalsThePapersFormulaOnGraphs(long seed) throws IOException {
    DenseNetwork network = TestNetworks.network(arena, seed, TestNetworks.graph(seed, 9));
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      check(reference, network, 1e-7);
      check(cpu, network, FLOAT32);
    }
  }

  static LongStream graphs() {
    return LongStream.range(0, 20);
  }

  /// The formula of a tied layer sums over its uses: the derivatives at each are those of a network in which the others
  /// do not follow, and one bias compensates at all.
  @ParameterizedTest
  @MethodSource("graphs")
  void sumsThePapersFormulaOverTheUsesOfATiedLayer(long seed) throws IOException {
    DenseNetwork network = TestNetworks.network(arena, seed, TestNetworks.tiedGraph(seed, 12));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, network.inputs(), 1, 0.5);
    Plain untied = Plain.of(network).untied();
    int[] layers = Plain.of(network).layersOfNodes();
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        double tolerance = backend instanceof CpuBackend ? FLOAT32 : 1e-7;
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
            Scores scores = Scorer.score(backend, device, plan(network, new Sensitivity.Jacobian(), 5),
                Optional.of(TestNetworks.source(x)), ProgressListener.NONE)) {
          for (int l = 0; l < network.layers().size(); l++) {
            int number = l;
            int[] uses = IntStream.range(0, layers.length).filter(u -> layers[u] == number).toArray();
            double[] importance = TestNetworks.values(backend, scores.importance(l));
            double[] compensation = TestNetworks.values(backend, scores.compensation(l).orElseThrow());
            int inputs = network.layers().get(l).inputs();
            List<Paper> papers = IntStream.range(0, importance.length)
                .mapToObj(at -> Paper.stacked(
                    Arrays.stream(uses).mapToObj(use -> Paper.of(untied, x, use, at / inputs, at % inputs)).toList()))
                .toList();
            double largest = papers.stream().mapToDouble(Paper::uncompensated).max().orElseThrow();
            for (int at = 0; at < importance.length; at++) {
              Paper paper = papers.get(at);
              String where = "%s, %s, layer %d, weight %d".formatted(backend.description(), network.graph(), l, at);
              // Means over samples, not over uses.
              double error = uses.length
                  * (tolerance * (backend instanceof ReferenceBackend ? paper.uncompensated() : largest)
                      + 2 * Math.sqrt(paper.uncompensated()) * Math.abs(paper.weight) * 2e-10);
              assertEquals(uses.length * paper.importance(), importance[at], error, where);
              assertEquals(paper.compensation(), compensation[at], 10 * tolerance * Math.abs(paper.weight), where);
            }
          }
        }
      }
    }
  }

  /// One mean of the sensitivities at all uses. Sums of two parts of the samples give the same scores.
  @ParameterizedTest
  @MethodSource("graphs")
  void smoothsOverTheUsesOfATiedLayer(long seed) throws IOException {
    DenseNetwork network = TestNetworks.network(arena, seed, TestNetworks.tiedGraph(seed, 12));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, network.inputs(), 1, 0.5);
    Plain untied = Plain.of(network).untied();
    int[] layers = Plain.of(network).layersOfNodes();
    Sensitivity smoothed = new Sensitivity.Smoothed(new Sensitivity.Jacobian(), 0.3);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        ScoringPlan plan = plan(network, smoothed, 5);
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
            Scores scores = Scorer.score(backend, device, plan, Optional.of(TestNetworks.source(x)),
                ProgressListener.NONE);
            Scores merged = Scorer.score(backend, device, plan,
                Scorer.sums(backend, device, plan, TestNetworks.source(x.slice(0, 3)), ProgressListener.NONE, arena)
                    .merge(Scorer.sums(backend, device, plan, TestNetworks.source(x.slice(3, SAMPLES - 3)),
                        ProgressListener.NONE, arena), arena))) {
          for (int l = 0; l < network.layers().size(); l++) {
            int number = l;
            int inputs = network.layers().get(l).inputs();
            int[] uses = IntStream.range(0, layers.length).filter(u -> layers[u] == number).toArray();
            double[][] s = new double[network.layers().get(l).outputs()][uses.length * SAMPLES];
            MatrixView a = MatrixView.allocate(arena, uses.length * SAMPLES, inputs);
            for (int n = 0; n < a.rows(); n++) {
              double[] sample = TestNetworks.row(x, n / uses.length);
              int use = uses[n % uses.length];
              double[] input = untied.values(sample)[untied.graph().layers().get(use).input()];
              for (int j = 0; j < inputs; j++) {
                a.set(n, j, (float) input[j]);
              }
              for (int i = 0; i < s.length; i++) {
                s[i][n] = Arrays.stream(untied.derivative(sample, untied.biases()[use], i)).map(d -> d * d).sum();
              }
            }
            double[] importance = TestNetworks.values(backend, scores.importance(l));
            double[] ofMerged = TestNetworks.values(backend, merged.importance(l));
            double[] compensation = TestNetworks.values(backend, scores.compensation(l).orElseThrow());
            for (int at = 0; at < importance.length; at++) {
              double[] own = s[at / inputs];
              double mean = Arrays.stream(own).average().orElseThrow();
              if (mean < 1e-12) {
                assertEquals(0, importance[at], 1e-9);
                continue; // nothing depends on the neuron
              }
              double weight = untied.weights()[uses[0]][at / inputs][at % inputs];
              double[] expected = smoothed(weight, Arrays.stream(own).map(one -> 0.7 * one + 0.3 * mean).toArray(), a,
                  at % inputs, true);
              double tolerance = 1e-5 * uses.length * (expected[2] + 1e-6);
              String where = "%s, %s, layer %d, weight %d".formatted(backend.description(), network.graph(), l, at);
              assertEquals(uses.length * expected[0], importance[at], tolerance, where);
              assertEquals(importance[at], ofMerged[at], tolerance, where);
              assertEquals(expected[1], compensation[at], 1e-4 * (Math.abs(expected[1]) + Math.abs(weight)), where);
            }
          }
        }
      }
    }
  }

  /// Root mean squares of the inputs, and gradients of the loss, of which those of all uses add up.
  @ParameterizedTest
  @MethodSource("graphs")
  void otherCriteriaSumOverTheUsesOfATiedLayer(long seed) throws IOException {
    checkDefinitions(TestNetworks.network(arena, seed, TestNetworks.tiedGraph(seed, 12)));
  }

  private void check(List<Integer> widths, List<Activation> activations) throws IOException {
    try (Backend reference = new ReferenceBackend()) {
      check(reference, TestNetworks.network(arena, 11, widths, activations), 1e-7);
    }
  }

  /// @param tolerance as a fraction of what the removal costs without compensation; in float32 the costliest one of the
  ///                  layer
  private void check(Backend backend, DenseNetwork network, double tolerance) throws IOException {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, network.inputs(), 1, 0.5);
    Plain plain = Plain.of(network);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan(network, new Sensitivity.Jacobian(), 5),
            Optional.of(TestNetworks.source(x)), ProgressListener.NONE)) {
      for (int l = 0; l < network.layers().size(); l++) {
        double[] importance = TestNetworks.values(backend, scores.importance(l));
        double[] compensation = TestNetworks.values(backend, scores.compensation(l).orElseThrow());
        int inputs = network.layers().get(l).inputs();
        List<Paper> papers = new ArrayList<>();
        for (int at = 0; at < importance.length; at++) {
          papers.add(Paper.of(plain, x, l, at / inputs, at % inputs));
        }
        double largest = papers.stream().mapToDouble(Paper::uncompensated).max().orElseThrow();
        for (int at = 0; at < importance.length; at++) {
          Paper paper = papers.get(at);
          String where = "%s, %s, layer %d, weight [%d, %d]".formatted(backend.description(), network.graph(), l,
              at / inputs, at % inputs);
          // The difference quotients of outputs about 1 are off by some 2⁻⁵³ / 10⁻⁶.
          double quotients = 2 * Math.sqrt(paper.uncompensated()) * Math.abs(paper.weight) * 2e-10;
          double error = tolerance * (backend instanceof ReferenceBackend ? paper.uncompensated() : largest)
              + quotients;
          assertEquals(paper.importance(), importance[at], error, where);
          assertEquals(paper.compensation(), compensation[at], 10 * tolerance * Math.abs(paper.weight), where);
          assertEquals(paper.bruteForceMinimum(), importance[at], error, where + ", brute force");
        }
      }
    }
  }

  /// Of the first layer, whose inputs are the samples; where its bias may not move, too. The mean is that of all samples,
  /// whatever the batch.
  @Test
  void smoothsSensitivitiesTowardsTheirMeans() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 11, List.of(5, 4, 3), List.of(Activation.RELU, Activation.TANH));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, 5, 1, 0.5);
    Plain plain = Plain.of(network);
    double[][] s = new double[4][SAMPLES];
    for (int i = 0; i < 4; i++) {
      for (int n = 0; n < SAMPLES; n++) {
        s[i][n] = Arrays.stream(plain.derivative(TestNetworks.row(x, n), plain.biases()[0], i)).map(d -> d * d).sum();
      }
      double mean = Arrays.stream(s[i]).average().orElseThrow();
      s[i] = Arrays.stream(s[i]).map(one -> 0.7 * one + 0.3 * mean).toArray();
    }
    Sensitivity smoothed = new Sensitivity.Smoothed(new Sensitivity.Jacobian(), 0.3);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        for (boolean compensable : new boolean[]{true, false}) {
          for (int batch : new int[]{5, SAMPLES}) {
            ScoringPlan plan = new ScoringPlan(new Criterion.EliminationCompensation(), new Compensation.Bias(),
                List.of(new ScoringPlan.Layer(0, compensable)), smoothed, Optional.empty(), batch, 9);
            try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
                Scores scores = Scorer.score(backend, device, plan, Optional.of(TestNetworks.source(x)),
                    ProgressListener.NONE)) {
              double[] importance = TestNetworks.values(backend, scores.importance(0));
              double[] compensation = TestNetworks.values(backend, scores.compensation(0).orElseThrow());
              for (int at = 0; at < importance.length; at++) {
                double[] expected = smoothed(plain.weights()[0][at / 5][at % 5], s[at / 5], x, at % 5, compensable);
                assertEquals(expected[0], importance[at], 1e-5 * expected[2], backend.description());
                assertEquals(expected[1], compensation[at], 1e-5 * Math.abs(expected[1]) + 1e-9);
              }
            }
          }
        }
      }
    }
  }

  /// `W² (E[s̃ a²] − E[s̃ a]² / E[s̃])`, `W E[s̃ a] / E[s̃]` and `W² E[s̃ a²]`.
  private static double[] smoothed(double weight, double[] s, MatrixView x, int j, boolean compensable) {
    double[] sums = new double[3];
    for (int n = 0; n < s.length; n++) {
      double a = x.get(n, j);
      sums[0] += s[n] / s.length;
      sums[1] += s[n] * a / s.length;
      sums[2] += s[n] * a * a / s.length;
    }
    double mean = compensable ? sums[1] / sums[0] : 0;
    return new double[]{weight * weight * (sums[2] - mean * mean * sums[0]), weight * mean, weight * weight * sums[2]};
  }

  private static ScoringPlan plan(DenseNetwork network, Sensitivity sensitivity, int batchSize) {
    return plan(network, new Criterion.EliminationCompensation(), new Compensation.Bias(), sensitivity,
        Optional.empty(), batchSize);
  }

  private static ScoringPlan plan(DenseNetwork network, Criterion criterion, Compensation compensation,
      Sensitivity sensitivity, Optional<Loss> loss, int batchSize) {
    return new ScoringPlan(criterion, compensation,
        IntStream.range(0, network.layers().size()).mapToObj(l -> new ScoringPlan.Layer(l, true)).toList(), sensitivity,
        loss, batchSize, 9);
  }

  /// ∂y/∂W and ∂y/∂b of one weight and its adjacent bias for every sample, samples × outputs.
  @SuppressWarnings("ArrayRecordComponent")
  private record Paper(double weight, double[][] byWeight, double[][] byBias) {
    static Paper of(Plain plain, MatrixView x, int l, int i, int j) {
      double[] row = plain.weights()[l][i];
      double[] bias = plain.biases()[l];
      double[][] byWeight = new double[x.rows()][];
      double[][] byBias = new double[x.rows()][];
      for (int n = 0; n < x.rows(); n++) {
        double[] sample = TestNetworks.row(x, n);
        byWeight[n] = plain.derivative(sample, row, j);
        byBias[n] = plain.derivative(sample, bias, i);
      }
      return new Paper(row[j], byWeight, byBias);
    }

    /// The derivatives at several uses of a weight, one below the other.
    static Paper stacked(List<Paper> uses) {
      return new Paper(uses.getFirst().weight,
          uses.stream().flatMap(use -> Arrays.stream(use.byWeight)).toArray(double[][]::new),
          uses.stream().flatMap(use -> Arrays.stream(use.byBias)).toArray(double[][]::new));
    }

    /// Wᵢⱼ Σₖ E[∂W y ∂b y] / Σₖ E[(∂b y)²]
    double compensation() {
      double cross = 0;
      double square = 0;
      for (int n = 0; n < byWeight.length; n++) {
        for (int k = 0; k < byWeight[n].length; k++) {
          cross += byWeight[n][k] * byBias[n][k];
          square += byBias[n][k] * byBias[n][k];
        }
      }
      return square == 0 ? 0 : weight * cross / square;
    }

    /// E Σₖ (∂W y Wᵢⱼ − ∂b y Δb)²
    double linearisedError(double change) {
      double sum = 0;
      for (int n = 0; n < byWeight.length; n++) {
        for (int k = 0; k < byWeight[n].length; k++) {
          double error = byWeight[n][k] * weight - byBias[n][k] * change;
          sum += error * error;
        }
      }
      return sum / byWeight.length;
    }

    double importance() {
      return linearisedError(compensation());
    }

    double uncompensated() {
      return linearisedError(0) + 1e-12;
    }

    double bruteForceMinimum() {
      double radius = 10 * (Math.abs(weight) + 1);
      return goldenSection(this::linearisedError, -radius, radius);
    }

    private static double goldenSection(DoubleUnaryOperator f, double from, double to) {
      double ratio = (Math.sqrt(5) - 1) / 2;
      double a = from;
      double b = to;
      for (int step = 0; step < 80; step++) {
        double c = b - ratio * (b - a);
        double d = a + ratio * (b - a);
        if (f.applyAsDouble(c) < f.applyAsDouble(d)) {
          b = d;
        } else {
          a = c;
        }
      }
      return f.applyAsDouble((a + b) / 2);
    }
  }

  /// The sum of the compensations of a set of weights of one row is the least-squares bias of the set: the minimiser of
  /// E s (Σⱼ Wᵢⱼ aⱼ − Δb)², found here by its normal equation.
  @Test
  void sumsToTheJointLeastSquaresBias() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 3, List.of(6, 5, 4),
        List.of(Activation.of(Activation.Kind.SILU), Activation.SOFTMAX));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(4), 40, 6, 1, 1);
    Plain plain = Plain.of(network);
    int[] set = {0, 2, 5};
    int neuron = 3;
    try (Backend backend = new ReferenceBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan(network, new Sensitivity.Jacobian(), 16),
            Optional.of(TestNetworks.source(x)), ProgressListener.NONE)) {
      double[] compensation = TestNetworks.values(backend, scores.compensation(0).orElseThrow());
      double sum = 0;
      for (int j : set) {
        sum += compensation[neuron * 6 + j];
      }
      double numerator = 0;
      double denominator = 0;
      for (int n = 0; n < x.rows(); n++) {
        double[] sample = TestNetworks.row(x, n);
        double removed = 0;
        for (int j : set) {
          removed += plain.weights()[0][neuron][j] * sample[j];
        }
        double sensitivity = 0;
        for (double gradient : plain.derivative(sample, plain.biases()[0], neuron)) {
          sensitivity += gradient * gradient;
        }
        numerator += sensitivity * removed;
        denominator += sensitivity;
      }
      assertEquals(numerator / denominator, sum, 1e-7);
    }
  }

  @Test
  void probesAgreeWithTheJacobianInTheMean() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 5, List.of(6, 5, 4),
        List.of(Activation.TANH, Activation.of(Activation.Kind.SOFTPLUS)));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(6), 3000, 6, 1, 0);
    try (Backend backend = new ReferenceBackend()) {
      double[] exact = importance(backend, network, x, new Sensitivity.Jacobian());
      double[] probed = importance(backend, network, x, new Sensitivity.Probes(4));
      for (int at = 0; at < exact.length; at++) {
        assertEquals(exact[at], probed[at], 0.1 * exact[at]);
      }
    }
  }

  @Test
  void drawnClassesAgreeWithAllClassesInTheMean() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 5, List.of(6, 5, 4),
        List.of(Activation.TANH, Activation.SOFTMAX));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(6), 3000, 6, 1, 0);
    try (Backend backend = new ReferenceBackend()) {
      double[] exact = importance(backend, network, x, new Sensitivity.Fisher(OptionalInt.empty(), 2));
      double[] drawn = importance(backend, network, x, new Sensitivity.Fisher(OptionalInt.of(32), 2));
      for (int at = 0; at < exact.length; at++) {
        assertEquals(exact[at], drawn[at], 0.05 * exact[at]);
      }
    }
  }

  private static double[] importance(Backend backend, DenseNetwork network, MatrixView x, Sensitivity sensitivity)
      throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan(network, sensitivity, 500),
            Optional.of(TestNetworks.source(x)), ProgressListener.NONE)) {
      return TestNetworks.values(backend, scores.importance(0));
    }
  }

  /// The other criteria by their definitions in docs/method.md, all criteria: gradients by central differences.
  @ParameterizedTest
  @MethodSource("graphs")
  void equalsTheDefinitionsOfTheOtherCriteria(long seed) throws IOException {
    checkDefinitions(TestNetworks.network(arena, seed, TestNetworks.graph(seed, 9)));
  }

  private void checkDefinitions(DenseNetwork network) throws IOException {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, network.inputs(), 1, 0.5);
    MatrixView t = TestNetworks.normal(arena, TestNetworks.random(13), SAMPLES, network.outputs(), 1, 0);
    Plain plain = Plain.of(network);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        double tolerance = backend instanceof CpuBackend ? FLOAT32 : 1e-6;
        for (Criterion criterion : List.of(new Criterion.Magnitude(), new Criterion.Wanda(),
            new Criterion.Gradient())) {
          ScoringPlan plan = plan(network, criterion, new Compensation.None(), new Sensitivity.Jacobian(),
              Optional.of(new Loss.SquaredError()), 5);
          try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
              Scores scores = Scorer.score(backend, device, plan, Optional.of(TestNetworks.source(x, t)),
                  ProgressListener.NONE)) {
            for (int l = 0; l < network.layers().size(); l++) {
              double[] importance = TestNetworks.values(backend, scores.importance(l));
              int inputs = network.layers().get(l).inputs();
              for (int at = 0; at < importance.length; at++) {
                double[] row = plain.weights()[l][at / inputs];
                double scale = factor(criterion, plain, x, t, l, row, at % inputs, true);
                double expected = factor(criterion, plain, x, t, l, row, at % inputs, false);
                assertEquals(Math.abs(row[at % inputs]) * expected, importance[at],
                    tolerance * Math.abs(row[at % inputs]) * (1 + scale),
                    "%s, %s, layer %d, weight %d".formatted(backend.description(), criterion, l, at));
              }
            }
          }
        }
      }
    }
  }

  /// Importance divided by |W|.
  ///
  /// @param ofTerms whether samples add up by their absolute values
  private static double factor(Criterion criterion, Plain plain, MatrixView x, MatrixView t, int l, double[] row, int j,
      boolean ofTerms) {
    double sum = 0;
    for (int n = 0; n < x.rows(); n++) {
      double[] sample = TestNetworks.row(x, n);
      sum += switch (criterion) {
        case Criterion.Wanda() -> {
          double[][] values = plain.values(sample);
          yield Arrays.stream(plain.graph().uses(l))
              .mapToDouble(use -> Math.pow(values[plain.graph().nodes().get(use).inputs().getFirst()][j], 2)).sum();
        }
        case Criterion.Gradient() -> {
          double[] y = plain.output(sample);
          double[] derivative = plain.derivative(sample, row, j);
          double gradient = 0;
          for (int k = 0; k < y.length; k++) {
            double term = 2 * (y[k] - t.get(n, k)) * derivative[k] / y.length;
            gradient += ofTerms ? Math.abs(term) : term;
          }
          yield gradient;
        }
        default -> 1;
      };
    }
    double mean = sum / x.rows();
    return criterion instanceof Criterion.Wanda ? Math.sqrt(mean) : Math.abs(mean);
  }
}
