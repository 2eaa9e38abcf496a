package dev.espalier.engine.report;

import dev.espalier.bindings.MatrixView;
import java.util.Arrays;
import java.util.List;

/// How the importance of a layer's weights is distributed: equal steps of its decimal logarithm.
///
/// @param logMin log10 of the importance where the first bin begins
/// @param logMax where the last bin ends; above `logMin`
/// @param counts weights in each bin
/// @param zeros weights of importance 0, which are in no bin
public record Histogram(double logMin, double logMax, List<Long> counts, long zeros) {
  /// @throws IllegalArgumentException if there is no bin, a count is negative, or the range is empty or not
  ///                                  finite
  public Histogram {
    if (!(Checks.finite("logMin", logMin) < Checks.finite("logMax", logMax))) {
      throw new IllegalArgumentException("logMin=%s, logMax=%s".formatted(logMin, logMax));
    }
    counts = List.copyOf(counts);
    if (counts.isEmpty() || zeros < 0 || counts.stream().anyMatch(count -> count < 0)) {
      throw new IllegalArgumentException("counts=%s, zeros=%d".formatted(counts, zeros));
    }
  }

  /// Counts the importances of one layer, from the smallest positive one to the largest.
  ///
  /// @param importance all ≥ 0 and finite
  /// @param bins at least 1
  /// @throws IllegalArgumentException if an importance is negative, infinite or NaN, or `bins` is below 1
  public static Histogram of(MatrixView importance, int bins) {
    if (bins < 1) {
      throw new IllegalArgumentException("bins=" + bins);
    }
    double min = Double.POSITIVE_INFINITY;
    double max = 0;
    for (int row = 0; row < importance.rows(); row++) {
      for (int column = 0; column < importance.columns(); column++) {
        double value = importance.get(row, column);
        if (!(value >= 0 && value < Double.POSITIVE_INFINITY)) {
          throw new IllegalArgumentException("importance[%d, %d] is %s".formatted(row, column, value));
        }
        min = value > 0 ? Math.min(min, value) : min;
        max = Math.max(max, value);
      }
    }
    // All zero, or all the same: a decade around the one value there is.
    double logMin = max == 0 ? -1 : Math.log10(min) - (min == max ? 0.5 : 0);
    double logMax = max == 0 ? 0 : Math.log10(max) + (min == max ? 0.5 : 0);

    long[] counts = new long[bins];
    long zeros = 0;
    double scale = bins / (logMax - logMin);
    for (int row = 0; row < importance.rows(); row++) {
      for (int column = 0; column < importance.columns(); column++) {
        double value = importance.get(row, column);
        if (value == 0) {
          zeros++;
        } else {
          counts[Math.clamp((long) ((Math.log10(value) - logMin) * scale), 0, bins - 1)]++;
        }
      }
    }
    return new Histogram(logMin, logMax, Arrays.stream(counts).boxed().toList(), zeros);
  }

  /// Weights counted, in bins or as zeros.
  public long total() {
    return zeros + counts.stream().mapToLong(Long::longValue).sum();
  }
}
