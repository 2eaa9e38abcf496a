package dev.espalier.engine.statistics;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/// The sums of a [Statistic] of one layer over some samples, in host memory. Threads, processes and machines exchange
/// them.
///
/// @param samples how many were summed
/// @param arrays by name, as [Statistic#arrays] lists them
public record Sums(Statistic statistic, int outputs, int inputs, long samples, Map<String, MatrixView> arrays) {
  /// Elements that are merged at a time.
  private static final int TILE = 1024;
  /// Most parts that moments are merged in at once, and the least elements of one.
  private static final int PARTS = 64;
  private static final long PART_ELEMENTS = 1 << 16;

  /// @throws IllegalArgumentException if the arrays are not those of the statistic, or the count is negative
  public Sums {
    arrays = Collections.unmodifiableMap(new LinkedHashMap<>(arrays));
    if (samples < 0) {
      throw new IllegalArgumentException("%d samples".formatted(samples));
    }
    for (Statistic.Array array : statistic.arrays(outputs, inputs)) {
      MatrixView view = arrays.get(array.name());
      if (view == null || view.rows() != array.rows() || view.columns() != array.columns()) {
        throw new IllegalArgumentException("%s of %s is %s, not %d × %d".formatted(array.name(), statistic,
            view == null ? "missing" : view.rows() + " × " + view.columns(), array.rows(), array.columns()));
      }
    }
    if (arrays.size() != statistic.arrays(outputs, inputs).size()) {
      throw new IllegalArgumentException("%s are not the %d arrays of %s".formatted(arrays.keySet(),
          statistic.arrays(outputs, inputs).size(), statistic));
    }
  }

  /// An array by its name.
  public MatrixView array(String name) {
    return arrays.get(name);
  }

  /// The sums over the samples of both, in memory of `arena`; each element is computed in double and rounded once.
  /// Moments are taken around the pilot mean of these sums, unless they are of no samples.
  ///
  /// @throws IllegalArgumentException if they are of another statistic or shape
  public Sums merge(Sums other, Arena arena) {
    return copy(arena).add(other);
  }

  /// As [#merge], in the memory of these sums.
  Sums add(Sums other) {
    other.requireLike(statistic, outputs, inputs);
    if (statistic instanceof Statistic.Covariance || statistic instanceof Statistic.Variances) {
      throw new IllegalArgumentException("%s are added by SumsTotal".formatted(statistic));
    }
    if (samples == 0) {
      other.arrays.forEach((name, from) -> array(name).segment().copyFrom(from.segment()));
    } else if (statistic instanceof Statistic.WeightedMoments) {
      addMoments(other);
    } else if (statistic instanceof Statistic.InputMoments) {
      addMoments(other, distances(other), 0, 1);
    } else {
      other.arrays.forEach((name, from) -> add(from, array(name)));
    }
    return new Sums(statistic, outputs, inputs, samples + other.samples, arrays);
  }

  Sums copy(Arena arena) {
    Map<String, MatrixView> copies = new LinkedHashMap<>();
    arrays.forEach((name, view) -> copies.put(name, view.copy(arena)));
    return new Sums(statistic, outputs, inputs, samples, copies);
  }

  /// The sums of a block, in memory of `arena`.
  public Sums block(Block block, Arena arena) {
    Map<String, MatrixView> parts = new LinkedHashMap<>();
    for (Statistic.Array array : statistic.arrays(block.outputs(), block.inputs())) {
      MatrixView part = MatrixView.allocate(arena, array.rows(), array.columns());
      for (int row = 0; row < part.rows(); row++) {
        part.slice(row, 1).segment().copyFrom(block.row(array, array(array.name()), row));
      }
      parts.put(array.name(), part);
    }
    return new Sums(statistic, block.outputs(), block.inputs(), samples, parts);
  }

  /// Writes the sums of a block into these.
  ///
  /// @param part of the block's shape and of as many samples
  /// @throws IllegalArgumentException if it is of another statistic, shape or number of samples
  public void put(Block block, Sums part) {
    part.requireLike(statistic, block.outputs(), block.inputs());
    if (part.samples != samples) {
      throw new IllegalArgumentException("sums of %s samples, not of %s".formatted(part.samples, samples));
    }
    for (Statistic.Array array : statistic.arrays(block.outputs(), block.inputs())) {
      for (int row = 0; row < array.rows(); row++) {
        block.row(array, array(array.name()), row).copyFrom(part.array(array.name()).slice(row, 1).segment());
      }
    }
  }

  void requireLike(Statistic like, int likeOutputs, int likeInputs) {
    if (!statistic.equals(like) || outputs != likeOutputs || inputs != likeInputs) {
      throw new IllegalArgumentException("%s of a %d × %d layer do not merge with %s of a %d × %d layer"
          .formatted(statistic, outputs, inputs, like, likeOutputs, likeInputs));
    }
  }

  private static void add(MatrixView from, MatrixView to) {
    float[] x = new float[(int) Math.min(TILE, to.elements())];
    float[] y = new float[x.length];
    for (long first = 0; first < to.elements(); first += x.length) {
      int count = (int) Math.min(x.length, to.elements() - first);
      from.load(first, x, count);
      to.load(first, y, count);
      for (int i = 0; i < count; i++) {
        y[i] = (float) ((double) y[i] + x[i]);
      }
      to.store(y, count, first);
    }
  }

  /// With d = c − c′ of the other's pilot mean c and this one's c′: M2 += M2 + 2 d∘M1 + d² M0, M1 += M1 + d M0 and
  /// M0 += M0 of the other (docs/method.md, merging sums).
  private void addMoments(Sums other) {
    double[] d = distances(other);
    int part = Math.ceilDiv(outputs, Math.max(1, (int) Math.min(PARTS, (long) outputs * inputs / PART_ELEMENTS)));
    IntStream parts = IntStream.range(0, Math.ceilDiv(outputs, part));
    (isThreadConfined() || other.isThreadConfined() ? parts : parts.parallel())
        .forEach(p -> addMoments(other, d, p * part, Math.min(outputs, (p + 1) * part)));
    add(other.array("m0"), array("m0"));
  }

  private double[] distances(Sums other) {
    float[] shift = new float[inputs];
    float[] pilot = new float[inputs];
    other.array("pilot_mean").load(0, shift, inputs);
    array("pilot_mean").load(0, pilot, inputs);
    double[] d = new double[inputs];
    for (int j = 0; j < inputs; j++) {
      d[j] = (double) shift[j] - pilot[j];
    }
    return d;
  }

  private boolean isThreadConfined() {
    return arrays.values().stream().anyMatch(MatrixView::isThreadConfined);
  }

  /// M1 and M2 of the rows `begin` to `end` − 1.
  private void addMoments(Sums other, double[] d, int begin, int end) {
    float[] otherFirst = new float[inputs];
    float[] otherSecond = new float[inputs];
    float[] first = new float[inputs];
    float[] second = new float[inputs];
    for (int i = begin; i < end; i++) {
      long row = (long) i * inputs;
      other.array("m1").load(row, otherFirst, inputs);
      other.array("m2").load(row, otherSecond, inputs);
      array("m1").load(row, first, inputs);
      array("m2").load(row, second, inputs);
      addMoments(other.total(i), d, otherFirst, otherSecond, first, second);
      array("m1").store(first, inputs, row);
      array("m2").store(second, inputs, row);
    }
  }

  /// M0 of a row.
  double total(int row) {
    return statistic instanceof Statistic.InputMoments ? samples : array("m0").get(0, row);
  }

  /// @param total M0 of the row of the other
  private static void addMoments(double total, double[] d, float[] otherFirst, float[] otherSecond, float[] first,
      float[] second) {
    for (int j = 0; j < d.length; j++) {
      second[j] = (float) (second[j] + (otherSecond[j] + 2 * d[j] * otherFirst[j] + d[j] * d[j] * total));
      first[j] = (float) (first[j] + (otherFirst[j] + d[j] * total));
    }
  }
}
