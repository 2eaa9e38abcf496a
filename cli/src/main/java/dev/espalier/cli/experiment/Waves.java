package dev.espalier.cli.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;

/// Points of the square (−1, 1)² and a function with several length scales there, such as a SIREN represents:
///
///     f(x, y) = sin(3π x) cos(2π y) + ½ sin(8π (x + y)) exp(−2 (x² + y²))
final class Waves {
  private Waves() {}

  static Dataset generate(String name, int samples, long seed, Arena arena) {
    MatrixView points = MatrixView.allocate(arena, samples, 2);
    MatrixView values = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      double x = 2.0 * CounterRandom.uniform(seed, 0, 2L * n) - 1;
      double y = 2.0 * CounterRandom.uniform(seed, 0, 2L * n + 1) - 1;
      points.set(n, 0, (float) x);
      points.set(n, 1, (float) y);
      values.set(n, 0, (float) (Math.sin(3 * Math.PI * x) * Math.cos(2 * Math.PI * y)
          + 0.5 * Math.sin(8 * Math.PI * (x + y)) * Math.exp(-2 * (x * x + y * y))));
    }
    return Dataset.of(new MatrixSamples(name, points), new MatrixSamples(name + " targets", values));
  }
}
