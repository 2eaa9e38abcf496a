package dev.espalier.engine.report;

import java.util.OptionalDouble;

/// Argument checks that the records of a report share; each names the value that it refuses.
final class Checks {
  private Checks() {}

  static String text(String name, String value) {
    if (value.isBlank()) {
      throw new IllegalArgumentException(name + " is blank");
    }
    return value;
  }

  static double finite(String name, double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(name + "=" + value + ": must be finite");
    }
    return value;
  }

  static void nonNegative(String name, double value) {
    if (finite(name, value) < 0) {
      throw new IllegalArgumentException(name + "=" + value + ": must not be negative");
    }
  }

  static void fraction(String name, double value) {
    if (!(value >= 0 && value <= 1)) {
      throw new IllegalArgumentException(name + "=" + value + ": must lie in [0, 1]");
    }
  }

  static void finite(String name, OptionalDouble value) {
    value.ifPresent(v -> finite(name, v));
  }

  static void nonNegative(String name, OptionalDouble value) {
    value.ifPresent(v -> nonNegative(name, v));
  }

  static void fraction(String name, OptionalDouble value) {
    value.ifPresent(v -> fraction(name, v));
  }

  static void removed(long weights, long removed) {
    if (weights < 1 || removed < 0 || removed > weights) {
      throw new IllegalArgumentException("weights=%d, removed=%d".formatted(weights, removed));
    }
  }
}
