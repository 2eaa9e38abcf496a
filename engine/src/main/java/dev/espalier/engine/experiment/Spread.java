package dev.espalier.engine.experiment;

import java.util.OptionalDouble;
import java.util.stream.DoubleStream;

/// A figure over repeated runs.
///
/// @param mean of the runs
/// @param deviation the standard deviation of the runs, by n − 1; 0 of a single one
/// @param runs how many, at least 1
public record Spread(double mean, double deviation, int runs) {
  /// The spread of some figures.
  ///
  /// @throws IllegalArgumentException if there are none
  public static Spread of(double... figures) {
    double average = DoubleStream.of(figures).average()
        .orElseThrow(() -> new IllegalArgumentException("no figures have no mean"));
    // Rounding would give equal figures a spread.
    double mean = DoubleStream.of(figures).allMatch(figure -> figure == figures[0]) ? figures[0] : average;
    double squares = DoubleStream.of(figures).map(figure -> (figure - mean) * (figure - mean)).sum();
    return new Spread(mean, figures.length == 1 ? 0 : Math.sqrt(squares / (figures.length - 1)), figures.length);
  }

  /// The deviation, empty of a single run, which has none.
  public OptionalDouble knownDeviation() {
    return runs == 1 ? OptionalDouble.empty() : OptionalDouble.of(deviation);
  }
}
