package dev.espalier.bench;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/// Seeded matrices and networks.
final class Inputs {
  private Inputs() {}

  /// Normal numbers, near enough: the sum of four uniform ones, scaled to variance 1.
  static MatrixView normal(Arena arena, long seed, int rows, int columns) {
    SplittableRandom random = new SplittableRandom(seed);
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        double sum = random.nextDouble() + random.nextDouble() + random.nextDouble() + random.nextDouble();
        matrix.set(i, j, (float) ((sum - 2) * Math.sqrt(3)));
      }
    }
    return matrix;
  }

  /// The same, on a backend.
  static Matrix normal(Backend backend, long seed, int rows, int columns) {
    Matrix matrix = backend.allocate(rows, columns);
    try (Arena arena = Arena.ofConfined()) {
      backend.upload(normal(arena, seed, rows, columns), matrix);
    }
    return matrix;
  }

  /// The numbers in `text`, separated by hyphens, or by x in shapes: JMH takes commas for its own.
  static int[] numbers(String text) {
    return Pattern.compile("[-x]").splitAsStream(text).mapToInt(Integer::parseInt).toArray();
  }

  /// A ReLU network of the widths in `text`, such as `784-300-100-10`, its weights scaled by √(2 / inputs).
  static DenseNetwork network(Arena arena, String text) {
    int[] widths = numbers(text);
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l + 1 < widths.length; l++) {
      MatrixView weights = normal(arena, l + 1, widths[l + 1], widths[l]);
      float scale = (float) Math.sqrt(2.0 / widths[l]);
      for (int i = 0; i < weights.rows(); i++) {
        for (int j = 0; j < weights.columns(); j++) {
          weights.set(i, j, weights.get(i, j) * scale);
        }
      }
      layers.add(new DenseLayer("layer" + l, weights, Optional.of(MatrixView.allocate(arena, 1, widths[l + 1])),
          l + 2 == widths.length ? Activation.IDENTITY : Activation.RELU));
    }
    return new DenseNetwork(layers);
  }

  /// Elimination and compensation of every layer.
  static ScoringPlan plan(Architecture network, Sensitivity sensitivity, int batchSize) {
    List<ScoringPlan.Layer> layers = IntStream.range(0, network.layers().size())
        .mapToObj(l -> new ScoringPlan.Layer(l, true)).toList();
    return new ScoringPlan(new Criterion.EliminationCompensation(), new Compensation.Bias(), layers, sensitivity,
        Optional.empty(), batchSize, 1);
  }

  /// Operations of a scoring pass for each sample: forward 2 |W|, backward 2 |W| for each pass but through the first
  /// layer, moments 4 |W|.
  static double scoringFlops(DenseNetwork network, int passes) {
    double flops = 0;
    for (DenseLayer layer : network.layers()) {
      boolean first = layer.equals(network.layers().getFirst());
      flops += (6.0 + (first ? 0 : 2.0 * passes)) * layer.inputs() * layer.outputs();
    }
    return flops;
  }

  /// The elements of a matrix.
  static float[] download(Backend backend, Matrix matrix) {
    try (Arena arena = Arena.ofConfined()) {
      return backend.download(matrix, arena).toArray();
    }
  }

  /// Waits for all work that `backend` has queued.
  static void await(Backend backend) {
    try (Matrix one = backend.allocate(1, 1)) {
      download(backend, one);
    }
  }

  /// @throws IllegalStateException if `actual` is off by more than `tolerance` times the largest of `expected`
  static void requireClose(String what, float[] expected, float[] actual, double tolerance) {
    double largest = 0;
    double worst = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      worst = Math.max(worst, Math.abs(expected[i] - actual[i]));
    }
    if (!(worst <= tolerance * largest)) {
      throw new IllegalStateException("%s is off by %s of its largest value".formatted(what, worst / largest));
    }
  }
}
