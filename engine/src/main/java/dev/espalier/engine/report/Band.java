package dev.espalier.engine.report;

/// The band of error around a figure that charts fill: mean ± standard deviation. A fraction stays within 0 and 1. What is
/// below the low end of an axis, as 0 is on a logarithmic one, is drawn there.
record Band(double low, double high) {
  /// @param deviation at least 0
  /// @param isFraction whether the figure is one, 0..1
  static Band of(double mean, double deviation, boolean isFraction) {
    double low = mean - deviation;
    double high = mean + deviation;
    return isFraction ? new Band(Math.max(0, low), Math.min(1, high)) : new Band(low, high);
  }
}
