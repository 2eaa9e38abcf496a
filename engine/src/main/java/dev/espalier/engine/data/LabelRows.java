package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;

/// What all rows of labels are; each kind is one of the kinds behind it, save that rows of zeros and ones need not add
/// up to 1.
public enum LabelRows {
  /// A single 1 among zeros, two numbers or more.
  ONE_HOT,
  /// Zeros and ones.
  BINARY,
  /// Numbers from 0 on that add up to 1.
  PROBABILITIES,
  /// Any numbers.
  VALUES;

  /// How far the sum of a row of probabilities may be from 1: that of a thousand numbers in float16.
  static final double SUM_TOLERANCE = 1e-3;
  private static final int BATCH = 1024;

  /// Reads all labels, or as many as it takes to know.
  ///
  /// @throws IOException if they cannot be read
  public static LabelRows of(SampleSource labels) throws IOException {
    boolean oneHot = labels.width() > 1;
    boolean binary = true;
    boolean probabilities = oneHot;
    try (Arena arena = Arena.ofConfined(); SampleSource.Pass pass = labels.open()) {
      MatrixView rows = MatrixView.allocate(arena, (int) Math.min(BATCH, labels.samples()), labels.width());
      for (int read = pass.read(rows); read > 0 && (binary || probabilities); read = pass.read(rows)) {
        for (int n = 0; n < read; n++) {
          boolean sumsToOne = areProbabilities(rows, n);
          boolean zeroOne = areBinary(rows, n);
          probabilities &= sumsToOne;
          binary &= zeroOne;
          oneHot &= sumsToOne && zeroOne;
        }
      }
    }
    if (oneHot) {
      return ONE_HOT;
    } else if (binary) {
      return BINARY;
    }
    return probabilities ? PROBABILITIES : VALUES;
  }

  static boolean areBinary(MatrixView rows, int n) {
    boolean binary = true;
    for (int k = 0; k < rows.columns(); k++) {
      binary &= rows.get(n, k) == 0 || rows.get(n, k) == 1;
    }
    return binary;
  }

  static boolean areProbabilities(MatrixView rows, int n) {
    double sum = 0;
    boolean positive = true;
    for (int k = 0; k < rows.columns(); k++) {
      sum += rows.get(n, k);
      positive &= rows.get(n, k) >= 0;
    }
    return positive && Math.abs(sum - 1) <= SUM_TOLERANCE;
  }
}
