package dev.espalier.engine.backend;

/// Which of a layer's weights are removed: every one whose score is below the threshold, and of those whose
/// score is the threshold the first in row-major order.
///
/// @param threshold score; +∞ stands above every score of a weight that may be removed
/// @param below how many scores are below the threshold
/// @param ties how many scores equal to the threshold are removed
public record Cut(float threshold, long below, long ties) {
  /// Removes nothing.
  public static final Cut NOTHING = new Cut(Float.NEGATIVE_INFINITY, 0, 0);

  /// @throws IllegalArgumentException if the threshold is NaN or a count is negative
  public Cut {
    if (Float.isNaN(threshold) || below < 0 || ties < 0) {
      throw new IllegalArgumentException("threshold=%s, below=%d, ties=%d".formatted(threshold, below, ties));
    }
  }

  /// How many weights are removed.
  public long removed() {
    return below + ties;
  }
}
