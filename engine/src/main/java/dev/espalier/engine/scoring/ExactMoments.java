package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/// Means and variances of some inputs of a layer, weighted by the sensitivities of its neurons, summed in double on the
/// host. Each neuron has a mean of its own, which moves with the samples, so nothing cancels (docs/method.md, inputs
/// whose variance cancels).
final class ExactMoments {
  /// Weights of the inputs of a layer, so that their means and variances take at most 256 MiB.
  private static final long MOST_WEIGHTS = 1L << 24;

  /// A variance below this multiple of the roundoff, as a fraction of M2, keeps no more than three digits. Terms that are
  /// rounded coarsely have none to lose until it is below the other fraction.
  private static final double CANCELLED_ROUNDOFFS = 1 << 14;
  private static final double CANCELLED = 1.0 / 32;

  /// How many times a typical importance W² M2 must be for its rounding to matter: in float32, it is then off by about
  /// a ten-thousandth of the typical importance.
  private static final double LARGE = 400;
  /// Elements from which a median is estimated.
  private static final int SAMPLED = 4096;
  private static final double GOLDEN_RATIO = 0.6180339887498949;
  /// Updates that are worth several threads.
  private static final long PARALLEL_UPDATES = 1 << 18;

  private final int outputs;
  private final int[] inputs;
  private final double[] totals;
  private final double[] means;
  private final double[] variances;
  /// A weight is this part of a sensitivity, and what is added to it.
  private double kept = 1;
  private final double[] added;

  ExactMoments(int outputs, int... inputs) {
    this.outputs = outputs;
    this.inputs = inputs.clone();
    totals = new double[outputs];
    means = new double[outputs * inputs.length];
    variances = new double[means.length];
    added = new double[outputs];
  }

  /// The fraction of M2 below which a variance that follows from moments has cancelled.
  static double cancelled(double roundoff) {
    return Math.min(CANCELLED, CANCELLED_ROUNDOFFS * roundoff);
  }

  /// Of the inputs at which the rounding of importances matters; empty if there are none.
  ///
  /// @param outputs of the layer
  /// @param cancelled W² M2 of each input's cancelled variances, over `samples` samples
  /// @param typical importance of the network's weights
  static Optional<ExactMoments> of(int outputs, float[] cancelled, long samples, double typical) {
    int[] inputs = IntStream.range(0, cancelled.length).filter(j -> cancelled[j] / (double) samples > LARGE * typical)
        .boxed().sorted(Comparator.comparingDouble((Integer j) -> -cancelled[j]).thenComparing(j -> j))
        .limit(MOST_WEIGHTS / outputs).sorted().mapToInt(j -> j).toArray();
    return inputs.length == 0 ? Optional.empty() : Optional.of(new ExactMoments(outputs, inputs));
  }

  /// About the median of the elements that are above 0; 0 if there are none.
  static double typical(MatrixView importance) {
    float[] positive = new float[SAMPLED];
    int count = 0;
    for (int k = 0; k < SAMPLED; k++) {
      double place = k * GOLDEN_RATIO;
      long at = (long) ((place - Math.floor(place)) * importance.elements());
      float value = importance.segment().getAtIndex(MatrixView.ELEMENT, at);
      if (value > 0) {
        positive[count++] = value;
      }
    }
    Arrays.sort(positive, 0, count);
    return count == 0 ? 0 : positive[count / 2];
  }

  int inputs() {
    return inputs.length;
  }

  /// Smooths the sensitivities, before the first batch (docs/method.md, smoothed sensitivities).
  ///
  /// @param mean sensitivity of each neuron over all samples, and all uses of the layer
  void smooth(double intensity, IntToDoubleFunction mean) {
    kept = 1 - intensity;
    for (int i = 0; i < outputs; i++) {
      added[i] = intensity == 0 ? 0 : intensity * mean.applyAsDouble(i);
    }
  }

  /// The numbers of the inputs, ascending.
  List<Integer> numbers() {
    return Arrays.stream(inputs).boxed().toList();
  }

  /// What was summed.
  ///
  /// @param arena takes its memory
  Sums sums(long samples, Arena arena) {
    Map<String, MatrixView> arrays = new HashMap<>();
    arrays.put("input", view(1, inputs.length, j -> inputs[j], arena));
    arrays.put("m0", view(1, outputs, i -> totals[i], arena));
    arrays.put("mean", view(outputs, inputs.length, i -> means[i], arena));
    arrays.put("mean_rest", view(outputs, inputs.length, i -> means[i] - (float) means[i], arena));
    arrays.put("variance", view(outputs, inputs.length, i -> variances[i], arena));
    return new Sums(new Statistic.Variances(), outputs, inputs.length, samples, arrays);
  }

  private static MatrixView view(int rows, int columns, IntToDoubleFunction value, Arena arena) {
    MatrixView view = MatrixView.allocate(arena, rows, columns);
    for (int i = 0; i < rows * columns; i++) {
      view.segment().setAtIndex(MatrixView.ELEMENT, i, (float) value.applyAsDouble(i));
    }
    return view;
  }

  /// Takes what was summed of the same inputs.
  ///
  /// @return whether they are the same
  boolean load(Sums sums) {
    if (sums.inputs() != inputs.length
        || !IntStream.range(0, inputs.length).allMatch(j -> sums.array("input").get(0, j) == inputs[j])) {
      return false;
    }
    for (int i = 0; i < means.length; i++) {
      means[i] = sums.array("mean").segment().getAtIndex(MatrixView.ELEMENT, i)
          + (double) sums.array("mean_rest").segment().getAtIndex(MatrixView.ELEMENT, i);
      variances[i] = sums.array("variance").segment().getAtIndex(MatrixView.ELEMENT, i);
    }
    return true;
  }

  /// Adds a batch.
  ///
  /// @param sensitivity samples × outputs
  /// @param activation samples × inputs of the layer
  void add(MatrixView sensitivity, MatrixView activation) {
    int samples = activation.rows();
    float[] s = sensitivity.toArray();
    double[] a = new double[samples * inputs.length];
    for (int n = 0; n < samples; n++) {
      for (int k = 0; k < inputs.length; k++) {
        a[n * inputs.length + k] = activation.get(n, inputs[k]);
      }
    }
    boolean large = (long) samples * means.length > PARALLEL_UPDATES;
    int parts = large ? Math.min(outputs, 4 * Runtime.getRuntime().availableProcessors()) : 1;
    IntStream ranges = IntStream.range(0, parts);
    (large ? ranges.parallel() : ranges)
        .forEach(p -> add(s, a, samples, (int) ((long) outputs * p / parts), (int) ((long) outputs * (p + 1) / parts)));
  }

  /// The neurons `begin` to `end` − 1. With T the sum of the weights s so far: μ += s/T (a − μ), and
  /// V += s (a − μ before) (a − μ after).
  private void add(float[] s, double[] a, int samples, int begin, int end) {
    for (int n = 0; n < samples; n++) {
      for (int i = begin; i < end; i++) {
        double weight = kept * s[n * outputs + i] + added[i];
        if (weight != 0) {
          totals[i] += weight;
          add(weight, weight / totals[i], a, n * inputs.length, i * inputs.length);
        }
      }
    }
  }

  private void add(double weight, double share, double[] a, int sample, int neuron) {
    for (int k = 0; k < inputs.length; k++) {
      double distance = a[sample + k] - means[neuron + k];
      double moved = share * distance;
      means[neuron + k] += moved;
      variances[neuron + k] += weight * distance * (distance - moved);
    }
  }

  /// Puts importances and compensations of these inputs in place of those that the moments gave.
  void replace(Backend backend, Matrix weights, Matrix importance, Optional<Matrix> compensation, long samples) {
    try (Arena arena = Arena.ofShared()) {
      MatrixView w = backend.onHost(weights, arena);
      put(backend, arena, importance, (i, k) -> {
        double weight = w.get(i, inputs[k]);
        return weight * weight * variances[i * inputs.length + k] / samples;
      });
      compensation.ifPresent(
          matrix -> put(backend, arena, matrix, (i, k) -> w.get(i, inputs[k]) * means[i * inputs.length + k]));
    }
  }

  @FunctionalInterface
  private interface Value {
    /// Of neuron `i` and the k-th of these inputs.
    double of(int i, int k);
  }

  private void put(Backend backend, Arena arena, Matrix matrix, Value value) {
    MatrixView view = backend.onHost(matrix, arena);
    for (int i = 0; i < outputs; i++) {
      for (int k = 0; k < inputs.length; k++) {
        view.set(i, inputs[k], (float) value.of(i, k));
      }
    }
    backend.upload(view, matrix);
  }
}
