package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.backend.reference.ReferenceValues;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// The engine's scores against the paper's formula, term by term in double: per-sample Jacobians of every weight and
/// bias by central differences of a plain network evaluation that shares no code with the engine.
final class PaperFormulaTest {
  private static final int SAMPLES = 12;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @EnumSource
  void equalsThePapersFormula(Activation activation) throws IOException {
    Activation hidden = activation.isElementwise() ? activation : Activation.TANH;
    check(List.of(5, 4, 3), List.of(hidden, activation));
    check(List.of(4, 5, 4, 3), List.of(hidden, hidden, Activation.IDENTITY));
  }

  private void check(List<Integer> widths, List<Activation> activations) throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 11, widths, activations);
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(12), SAMPLES, widths.getFirst(), 1, 0.5);
    Plain plain = Plain.of(network);
    try (ReferenceBackend backend = new ReferenceBackend();
        DeviceNetwork device = new DeviceNetwork(backend, network)) {
      List<LayerScores> scores = Scorer.score(backend, device, _ -> true, Optional.of(TestNetworks.source(x)),
          options(Criterion.ELIMINATION_COMPENSATION, 5), ProgressListener.NONE);
      for (int l = 0; l < activations.size(); l++) {
        double[] importance = ReferenceValues.of(backend, scores.get(l).importance());
        double[] compensation = ReferenceValues.of(backend, scores.get(l).compensation().orElseThrow());
        int inputs = widths.get(l);
        for (int at = 0; at < importance.length; at++) {
          Paper paper = Paper.of(plain, x, l, at / inputs, at % inputs);
          String where = "%s, layer %d, weight [%d, %d]".formatted(activations, l, at / inputs, at % inputs);
          double scale = paper.uncompensated();
          assertEquals(paper.importance(), importance[at], 1e-7 * scale, where);
          assertEquals(paper.compensation(), compensation[at], 1e-6 * Math.abs(paper.weight), where);
          assertEquals(paper.bruteForceMinimum(), importance[at], 1e-7 * scale, where + ", brute force");
        }
      }
      scores.forEach(LayerScores::close);
    }
  }

  static ScoringOptions options(Criterion criterion, int batchSize) {
    return new ScoringOptions(criterion, true, true, new Sensitivity.Jacobian(), Optional.empty(), batchSize, 0);
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
        byWeight[n] = derivative(plain, sample, row, j);
        byBias[n] = derivative(plain, sample, bias, i);
      }
      return new Paper(row[j], byWeight, byBias);
    }

    private static double[] derivative(Plain plain, double[] sample, double[] parameters, int at) {
      double h = 1e-6;
      double value = parameters[at];
      parameters[at] = value + h;
      double[] up = plain.output(sample);
      parameters[at] = value - h;
      double[] down = plain.output(sample);
      parameters[at] = value;
      double[] derivative = new double[up.length];
      for (int k = 0; k < up.length; k++) {
        derivative[k] = (up[k] - down[k]) / (2 * h);
      }
      return derivative;
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
        List.of(Activation.SILU, Activation.SOFTMAX));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(4), 40, 6, 1, 1);
    Plain plain = Plain.of(network);
    int[] set = {0, 2, 5};
    int neuron = 3;
    try (ReferenceBackend backend = new ReferenceBackend();
        DeviceNetwork device = new DeviceNetwork(backend, network)) {
      List<LayerScores> scores = Scorer.score(backend, device, _ -> true, Optional.of(TestNetworks.source(x)),
          options(Criterion.ELIMINATION_COMPENSATION, 16), ProgressListener.NONE);
      double[] compensation = ReferenceValues.of(backend, scores.getFirst().compensation().orElseThrow());
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
        for (double gradient : Paper.derivative(plain, sample, plain.biases()[0], neuron)) {
          sensitivity += gradient * gradient;
        }
        numerator += sensitivity * removed;
        denominator += sensitivity;
      }
      assertEquals(numerator / denominator, sum, 1e-7);
      scores.forEach(LayerScores::close);
    }
  }

  @Test
  void probesAgreeWithTheJacobianInTheMean() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 5, List.of(6, 5, 4),
        List.of(Activation.TANH, Activation.SOFTPLUS));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(6), 3000, 6, 1, 0);
    try (ReferenceBackend backend = new ReferenceBackend();
        DeviceNetwork device = new DeviceNetwork(backend, network)) {
      double[] exact = importance(backend, device, x, new Sensitivity.Jacobian());
      double[] probed = importance(backend, device, x, new Sensitivity.Probes(4));
      for (int at = 0; at < exact.length; at++) {
        assertEquals(exact[at], probed[at], 0.1 * exact[at]);
      }
    }
  }

  private static double[] importance(ReferenceBackend backend, DeviceNetwork device, MatrixView x,
      Sensitivity sensitivity) throws IOException {
    ScoringOptions options = new ScoringOptions(Criterion.ELIMINATION_COMPENSATION, true, true, sensitivity,
        Optional.empty(), 500, 9);
    List<LayerScores> scores = Scorer.score(backend, device, l -> l == 0, Optional.of(TestNetworks.source(x)), options,
        ProgressListener.NONE);
    double[] values = ReferenceValues.of(backend, scores.getFirst().importance());
    assertTrue(scores.size() == 1);
    scores.forEach(LayerScores::close);
    return values;
  }
}
