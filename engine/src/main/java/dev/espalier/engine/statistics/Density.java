package dev.espalier.engine.statistics;

import dev.espalier.engine.matrix.MatrixView;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.DoubleStream;

/// A picture of the weights that are left: the fraction of weights that are not zero, in cells.
///
/// @param rows of cells
/// @param columns of cells
/// @param kept fractions, 0..1, row by row
public record Density(int rows, int columns, List<Double> kept) {
  /// @throws IllegalArgumentException if there is not a fraction for each cell, or it is not in 0..1
  public Density {
    kept = List.copyOf(kept);
    if (rows < 1 || columns < 1 || kept.size() != rows * columns) {
      throw new IllegalArgumentException("%d × %d cells, %d fractions".formatted(rows, columns, kept.size()));
    }
    kept.forEach(fraction -> {
      if (!(fraction >= 0 && fraction <= 1)) {
        throw new IllegalArgumentException("kept=%s: must lie in [0, 1]".formatted(fraction));
      }
    });
  }

  /// Of a matrix as it lies: outputs downwards, inputs across.
  ///
  /// @param most rows and columns of cells; a larger matrix has several weights in a cell
  public static Density ofMatrix(MatrixView weights, int most) {
    int rows = Math.min(most, weights.rows());
    int columns = Math.min(most, weights.columns());
    double[] left = new double[rows * columns];
    double[] all = new double[rows * columns];
    for (int i = 0; i < weights.rows(); i++) {
      int row = (int) ((long) i * rows / weights.rows());
      for (int j = 0; j < weights.columns(); j++) {
        int cell = row * columns + (int) ((long) j * columns / weights.columns());
        all[cell]++;
        left[cell] += weights.get(i, j) == 0 ? 0 : 1;
      }
    }
    return of(rows, columns, left, all);
  }

  /// Of the inputs of a layer, which are the pixels of a picture, row by row.
  ///
  /// @param weights outputs × (rows · columns)
  /// @throws IllegalArgumentException if the picture has more or fewer pixels than the layer inputs
  public static Density ofInputs(MatrixView weights, int rows, int columns) {
    if ((long) rows * columns != weights.columns()) {
      throw new IllegalArgumentException(
          "a picture of %d × %d for %d inputs".formatted(rows, columns, weights.columns()));
    }
    double[] left = new double[weights.columns()];
    double[] all = DoubleStream.generate(weights::rows).limit(left.length).toArray();
    for (int i = 0; i < weights.rows(); i++) {
      for (int j = 0; j < weights.columns(); j++) {
        left[j] += weights.get(i, j) == 0 ? 0 : 1;
      }
    }
    return of(rows, columns, left, all);
  }

  /// With as many digits as a picture needs.
  private static Density of(int rows, int columns, double[] left, double... all) {
    List<Double> kept = new ArrayList<>();
    for (int c = 0; c < left.length; c++) {
      kept.add(Math.round(1000 * left[c] / all[c]) / 1000.0);
    }
    return new Density(rows, columns, kept);
  }
}
