package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleUnaryOperator;
import java.util.function.IntFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/// `ec-nonlinear` by its definition: each weight is removed from a plain network in double, and the best change of its
/// bias sought on a fine grid, and between its points by golden sections.
public final class TrueRemovals {
  private static final int GRID = 60;
  /// Of the way of a sample through a small network.
  private static final int ROUNDINGS = 500;
  private static final int SECTIONS = 25;

  private TrueRemovals() {}

  /// The change of the output that the removal of one weight makes.
  static final class Removal {
    private final Plain plain;
    private final double[][] samples;
    private final double[][] outputs;
    private final double[] row;
    private final double[] bias;
    private final int i;
    private final int j;

    Removal(Plain plain, MatrixView x, int l, int i, int j) {
      this.plain = plain;
      this.i = i;
      this.j = j;
      row = plain.weights()[l][i];
      bias = plain.biases()[l];
      samples = IntStream.range(0, x.rows()).mapToObj(n -> TestNetworks.row(x, n)).toArray(double[][]::new);
      outputs = Arrays.stream(samples).map(plain::output).toArray(double[][]::new);
    }

    /// E‖y − y′‖² with a change of the bias.
    double error(double change) {
      double weight = row[j];
      double before = bias[i];
      row[j] = 0;
      bias[i] = before + change;
      double sum = 0;
      for (int n = 0; n < samples.length; n++) {
        double[] y = plain.output(samples[n]);
        for (int k = 0; k < y.length; k++) {
          sum += Math.pow(y[k] - outputs[n][k], 2);
        }
      }
      row[j] = weight;
      bias[i] = before;
      return sum / samples.length;
    }

    /// The least error over the changes of the bias among which `ec-nonlinear` seeks it: from the least to the largest of
    /// the weight times its input, and 0.
    double least(double... inputs) {
      double[] removed = Arrays.stream(inputs).map(a -> row[j] * a).toArray();
      double from = Arrays.stream(removed).min().orElseThrow();
      double to = Arrays.stream(removed).max().orElseThrow();
      double[] grid = IntStream.rangeClosed(0, GRID).mapToDouble(k -> from + k * (to - from) / GRID).toArray();
      double[] errors = Arrays.stream(grid).map(this::error).toArray();
      int best = IntStream.rangeClosed(0, GRID).reduce(0, (a, b) -> errors[b] < errors[a] ? b : a);
      double between = goldenSection(this::error, grid[Math.max(0, best - 1)], grid[Math.min(GRID, best + 1)]);
      return DoubleStream.of(error(0), errors[best], between).min().orElseThrow();
    }
  }

  private static double goldenSection(DoubleUnaryOperator f, double from, double to) {
    double ratio = (Math.sqrt(5) - 1) / 2;
    double a = from;
    double b = to;
    for (int step = 0; step < SECTIONS; step++) {
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

  /// Scores all layers of a network whose biases may all move.
  static Scores score(Backend backend, DeviceNetwork device, Criterion criterion, Dataset data, int batchSize)
      throws IOException {
    List<ScoringPlan.Layer> layers = IntStream.range(0, device.layers().size())
        .mapToObj(l -> new ScoringPlan.Layer(l, true)).toList();
    return Scorer.score(backend, device, new ScoringPlan(criterion, new Compensation.Bias(), layers,
        new Sensitivity.Jacobian(), Optional.empty(), batchSize, 1), Optional.of(data), ProgressListener.NONE);
  }

  /// By layer, what a backend finds.
  private record Found(Backend backend, List<double[]> importance, List<double[]> compensation,
      List<double[]> linearCompensation) {
    static Found of(Backend backend, DenseNetwork network, Dataset data) throws IOException {
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
          Scores linear = score(backend, device, new Criterion.EliminationCompensation(), data, 5);
          Scores scores = score(backend, device, new Criterion.NonlinearEliminationCompensation(), data, 5)) {
        return new Found(backend, values(backend, scores, scores::importance),
            values(backend, scores, l -> scores.compensation(l).orElseThrow()),
            values(backend, linear, l -> linear.compensation(l).orElseThrow()));
      }
    }

    private static List<double[]> values(Backend backend, Scores scores, IntFunction<Matrix> matrix) {
      return IntStream.range(0, scores.size()).mapToObj(l -> TestNetworks.values(backend, matrix.apply(l))).toList();
    }
  }

  /// Compares scores of all weights of a network with the definition.
  public static void check(DenseNetwork network, MatrixView x, Backend... backends) throws IOException {
    Plain plain = Plain.of(network);
    List<Found> all = new ArrayList<>();
    for (Backend backend : backends) {
      all.add(Found.of(backend, network, TestNetworks.source(x)));
    }
    for (int l = 0; l < network.layers().size(); l++) {
      int inputs = network.layers().get(l).inputs();
      int node = network.graph().layers().get(l).input();
      for (int at = 0; at < network.layers().get(l).outputs() * inputs; at++) {
        int j = at % inputs;
        Removal removal = new Removal(plain, x, l, at / inputs, j);
        double least = removal.least(
            IntStream.range(0, x.rows()).mapToDouble(n -> plain.values(TestNetworks.row(x, n))[node][j]).toArray());
        for (Found found : all) {
          check(removal, least, found.backend, found.importance.get(l)[at], found.compensation.get(l)[at],
              found.linearCompensation.get(l)[at], "%s, %s, layer %d, weight [%d, %d]"
                  .formatted(found.backend.description(), network.graph(), l, at / inputs, j));
        }
      }
    }
  }

  private static void check(Removal removal, double least, Backend backend, double importance, double compensation,
      double linearCompensation, String where) {
    double found = removal.error(compensation);
    String message = "%s: least error %s, found %s at %s".formatted(where, least, found, compensation);
    // (√f + e)² − f, with e the root of the mean squared norm of the rounding errors of the outputs; and (2⁻²⁴ Δb)²,
    // since the change of the bias is rounded to float32 in the end.
    double e = ROUNDINGS * (backend instanceof ReferenceBackend ? 0x1p-53 : 0x1p-24)
        * Math.sqrt(removal.outputs[0].length);
    double rounding = 2 * Math.sqrt(found) * e + e * e + 1e-14;
    assertEquals(found, importance, rounding + 0x1p-23 * found, message);
    assertTrue(found <= (1 + Minimisation.TOLERANCE) * least + rounding, message);
    // The start is rounded to float32.
    double ofLinear = removal.error((float) linearCompensation);
    assertTrue(found <= ofLinear + rounding, () -> "%s, of ec %s".formatted(message, ofLinear));
    double uncompensated = removal.error(0);
    assertTrue(found <= uncompensated + rounding, () -> "%s, without a change %s".formatted(message, uncompensated));
  }
}
