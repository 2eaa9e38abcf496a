package dev.espalier.cli.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.lang.foreign.Arena;

/// The operator that maps a function u on [0, 1] to its antiderivative, at a place y: a sample is u at evenly spaced
/// places and y, and the target ∫₀ʸ u. The functions are random, u(x) = Σₖ aₖ cos(kπx) / (k + 1) with normal aₖ and k
/// from 0 to 7, so that ∫₀ʸ u = a₀ y + Σₖ aₖ sin(kπy) / (kπ (k + 1)) [Lu et al. 2021, DeepONet, has this example].
final class Antiderivative {
  /// Where a function is known.
  private static final int PLACES = 40;
  private static final int WAVES = 8;
  private static final int WIDTH = 64;
  private static final int PRODUCTS = 32;
  private static final Activation TANH = Activation.parse("tanh");

  private Antiderivative() {}

  /// A DeepONet: one part of the network reads the function and one the place, and the output is the sum of the products
  /// of what they make.
  static Graph network() {
    Graph.Builder builder = new Graph.Builder(PLACES + 1);
    int function = part(builder, "branch", builder.slice(0, 0, PLACES));
    int place = builder.activate(part(builder, "trunk", builder.slice(0, PLACES, 1)), TANH);
    builder.sum(builder.multiply(function, place));
    return builder.build();
  }

  private static int part(Graph.Builder builder, String name, int input) {
    int first = builder.activate(builder.dense(name + ".0", input, WIDTH), TANH);
    int second = builder.activate(builder.dense(name + ".2", first, WIDTH), TANH);
    return builder.dense(name + ".4", second, PRODUCTS);
  }

  static Dataset generate(String name, int samples, long seed, Arena arena) {
    MatrixView inputs = MatrixView.allocate(arena, samples, PLACES + 1);
    MatrixView targets = MatrixView.allocate(arena, samples, 1);
    double[] factors = new double[WAVES];
    for (int n = 0; n < samples; n++) {
      for (int k = 0; k < WAVES; k++) {
        factors[k] = CounterRandom.gaussian(seed, 0, (long) n * WAVES + k) / (k + 1);
      }
      for (int p = 0; p < PLACES; p++) {
        double x = (double) p / (PLACES - 1);
        double u = 0;
        for (int k = 0; k < WAVES; k++) {
          u += factors[k] * Math.cos(k * Math.PI * x);
        }
        inputs.set(n, p, (float) u);
      }
      double y = CounterRandom.uniform(seed, 1, n);
      double integral = factors[0] * y;
      for (int k = 1; k < WAVES; k++) {
        integral += factors[k] * Math.sin(k * Math.PI * y) / (k * Math.PI);
      }
      inputs.set(n, PLACES, (float) y);
      targets.set(n, 0, (float) integral);
    }
    return Dataset.of(new MatrixSamples(name, inputs), new MatrixSamples(name + " targets", targets));
  }
}
