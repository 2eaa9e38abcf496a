package dev.espalier.spark;

import java.util.Locale;
import java.util.stream.Stream;

/// Where the weights to remove are selected. The result is the same.
public enum Selection {
  /// On the driver, where the sums and scores of all layers take at most half of the memory of its machine or container;
  /// otherwise on the executors.
  AUTO,
  /// The driver fetches the sums of all layers and scores them.
  DRIVER,
  /// The scores stay on the executors, which count histograms of their bits; the driver fetches one layer at a time, to
  /// remove its weights.
  EXECUTORS;

  /// Reads what [#toString] writes.
  ///
  /// @throws IllegalArgumentException if there is no such place
  public static Selection parse(String text) {
    return Stream.of(values()).filter(value -> value.toString().equals(text)).findFirst().orElseThrow(
        () -> new IllegalArgumentException("unknown selection '%s': use auto, driver or executors".formatted(text)));
  }

  /// The name in lower case.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
