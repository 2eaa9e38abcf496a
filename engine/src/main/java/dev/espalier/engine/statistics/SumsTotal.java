package dev.espalier.engine.statistics;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;

/// Adds up sums over many parts of the samples in double, and rounds once at the end, so that the error does not grow
/// with the number of parts. The same parts in the same order give the same bits. It takes 8 bytes an element on Java's
/// heap, and is for arrays of less than 2³¹ elements, such as those of a [Block].
public final class SumsTotal {
  private final Statistic statistic;
  private final int outputs;
  private final int inputs;
  private final Map<String, double[]> arrays = new LinkedHashMap<>();
  private long samples;

  /// @param first sums to begin with; moments are taken around their pilot mean
  public SumsTotal(Sums first) {
    statistic = first.statistic();
    outputs = first.outputs();
    inputs = first.inputs();
    samples = first.samples();
    first.arrays().forEach((name, values) -> arrays.put(name, toDouble(values)));
    if (statistic instanceof Statistic.Variances) {
      add(first.array("mean_rest"), arrays.get("mean"));
    }
  }

  private static double[] toDouble(MatrixView view) {
    double[] values = new double[Math.toIntExact(view.elements())];
    for (int i = 0; i < values.length; i++) {
      values[i] = view.segment().getAtIndex(MatrixView.ELEMENT, i);
    }
    return values;
  }

  /// Adds the sums of other samples.
  ///
  /// @throws IllegalArgumentException if they are of another statistic or shape
  public void add(Sums part) {
    part.requireLike(statistic, outputs, inputs);
    switch (statistic) {
      case Statistic.WeightedMoments() -> addMoments(part, outputs);
      case Statistic.InputMoments() -> addMoments(part, 1);
      case Statistic.Covariance _ -> addCovariances(part);
      case Statistic.Variances() -> addVariances(part);
      case Statistic.InputSquares _,Statistic.LossGradient _,Statistic.Parameters _ ->
        part.arrays().forEach((name, values) -> add(values, arrays.get(name)));
    }
    samples += part.samples();
  }

  /// Σ (x − x̄)(y − ȳ)ᵀ of both is the sum of those of each, and n m / (n + m) times the product of the distances of their
  /// means [Chan, Golub and LeVeque 1983].
  private void addCovariances(Sums part) {
    double all = samples + part.samples();
    double[] rows = distances(part.array("row_mean"), arrays.get("row_mean"));
    double[] columns = distances(part.array("column_mean"), arrays.get("column_mean"));
    double[] products = arrays.get("products");
    float[] row = new float[inputs];
    for (int i = 0; i < outputs; i++) {
      part.array("products").load((long) i * inputs, row, inputs);
      double factor = samples / all * part.samples() * rows[i];
      for (int j = 0; j < inputs; j++) {
        products[i * inputs + j] += row[j] + factor * columns[j];
      }
    }
    move(arrays.get("row_mean"), rows, part.samples() / all);
    move(arrays.get("column_mean"), columns, part.samples() / all);
  }

  /// As [#addCovariances], of each neuron and input, by the weights of the neuron. Those without weight have no mean.
  private void addVariances(Sums part) {
    double[] m0 = arrays.get("m0");
    double[] means = arrays.get("mean");
    double[] variances = arrays.get("variance");
    float[] mean = new float[inputs];
    float[] rest = new float[inputs];
    float[] variance = new float[inputs];
    for (int i = 0; i < outputs; i++) {
      double weight = part.array("m0").get(0, i);
      if (weight > 0) {
        part.array("mean").load((long) i * inputs, mean, inputs);
        part.array("mean_rest").load((long) i * inputs, rest, inputs);
        part.array("variance").load((long) i * inputs, variance, inputs);
        double share = weight / (m0[i] + weight);
        for (int j = 0; j < inputs; j++) {
          int at = i * inputs + j;
          double distance = (double) mean[j] + rest[j] - means[at];
          variances[at] += variance[j] + m0[i] * share * distance * distance;
          means[at] += share * distance;
        }
      }
      m0[i] += weight;
    }
  }

  private static double[] distances(MatrixView to, double... from) {
    double[] distances = new double[from.length];
    for (int i = 0; i < from.length; i++) {
      distances[i] = to.get(0, i) - from[i];
    }
    return distances;
  }

  private static void move(double[] means, double[] distances, double part) {
    for (int i = 0; i < means.length; i++) {
      means[i] += part * distances[i];
    }
  }

  private static void add(MatrixView values, double[] total) {
    for (int i = 0; i < total.length; i++) {
      total[i] += values.segment().getAtIndex(MatrixView.ELEMENT, i);
    }
  }

  /// As [Sums#merge] does (docs/method.md, merging sums).
  private void addMoments(Sums part, int rows) {
    double[] pilot = arrays.get("pilot_mean");
    double[] m1 = arrays.get("m1");
    double[] m2 = arrays.get("m2");
    double[] shift = new double[inputs];
    for (int j = 0; j < inputs; j++) {
      shift[j] = part.array("pilot_mean").get(0, j) - pilot[j];
    }
    float[] first = new float[inputs];
    float[] second = new float[inputs];
    for (int i = 0; i < rows; i++) {
      int row = i * inputs;
      part.array("m1").load(row, first, inputs);
      part.array("m2").load(row, second, inputs);
      double m0 = part.total(i);
      for (int j = 0; j < inputs; j++) {
        double d = shift[j];
        m2[row + j] += second[j] + 2 * d * first[j] + d * d * m0;
        m1[row + j] += first[j] + d * m0;
      }
    }
    if (arrays.containsKey("m0")) {
      add(part.array("m0"), arrays.get("m0"));
    }
  }

  /// The total so far, each element rounded once.
  ///
  /// @param arena takes its memory
  public Sums sums(Arena arena) {
    Map<String, MatrixView> rounded = new LinkedHashMap<>();
    for (Statistic.Array array : statistic.arrays(outputs, inputs)) {
      MatrixView view = MatrixView.allocate(arena, array.rows(), array.columns());
      boolean isRest = statistic instanceof Statistic.Variances && array.name().equals("mean_rest");
      double[] values = arrays.get(isRest ? "mean" : array.name());
      for (int i = 0; i < values.length; i++) {
        double value = isRest ? values[i] - (float) values[i] : values[i];
        view.segment().setAtIndex(MatrixView.ELEMENT, i, (float) value);
      }
      rounded.put(array.name(), view);
    }
    return new Sums(statistic, outputs, inputs, samples, rounded);
  }
}
