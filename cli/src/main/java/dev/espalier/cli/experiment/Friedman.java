package dev.espalier.cli.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;

/// A regression table: ten features, uniform in 0..1, of which five matter [Friedman 1991],
///
///     y = 10 sin(π x₁ x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅ + noise
final class Friedman {
  static final int FEATURES = 10;

  private Friedman() {}

  /// @param noise standard deviation of what is added to y
  static Dataset generate(String name, int samples, double noise, long seed, Arena arena) {
    MatrixView x = MatrixView.allocate(arena, samples, FEATURES);
    MatrixView y = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      for (int j = 0; j < FEATURES; j++) {
        x.set(n, j, CounterRandom.uniform(seed, 0, (long) n * FEATURES + j));
      }
      double third = x.get(n, 2) - 0.5;
      y.set(n, 0, (float) (10 * Math.sin(Math.PI * x.get(n, 0) * x.get(n, 1)) + 20 * third * third + 10 * x.get(n, 3)
          + 5 * x.get(n, 4) + noise * CounterRandom.gaussian(seed, 1, n)));
    }
    return Dataset.of(new MatrixSamples(name, x), new MatrixSamples(name + " targets", y));
  }
}
