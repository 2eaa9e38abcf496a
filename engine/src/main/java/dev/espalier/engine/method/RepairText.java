package dev.espalier.engine.method;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// The text form of a [Repair]: a name, and options behind colons in any order.
final class RepairText {
  private final String text;
  private final String name;
  private final List<String> left;

  RepairText(String text) {
    this.text = text;
    left = new ArrayList<>(List.of(text.split(":", -1)));
    name = left.removeFirst();
  }

  String name() {
    return name;
  }

  /// `mse`, or `kl` and the temperature behind it.
  Optional<Objective> objective() {
    if (left.remove("mse")) {
      return Optional.of(Objective.parse("mse"));
    }
    int kl = left.indexOf("kl");
    if (kl < 0) {
      return Optional.empty();
    }
    left.remove(kl);
    return Optional.of(Objective.parse("kl:" + (kl < left.size() ? left.remove(kl) : "")));
  }

  OptionalInt integer(String key) {
    Optional<String> value = value(key);
    try {
      return value.isEmpty() ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(value.get()));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("%s: %s is not a whole number".formatted(text, key), e);
    }
  }

  OptionalDouble decimal(String key) {
    Optional<String> value = value(key);
    try {
      return value.isEmpty() ? OptionalDouble.empty() : OptionalDouble.of(Double.parseDouble(value.get()));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("%s: %s is not a number".formatted(text, key), e);
    }
  }

  private Optional<String> value(String key) {
    Optional<String> option = left.stream().filter(part -> part.startsWith(key + "=")).findFirst();
    option.ifPresent(left::remove);
    return option.map(part -> part.substring(key.length() + 1));
  }

  /// @throws IllegalArgumentException if an option was not asked for, or is there twice
  void requireAllRead() {
    if (!left.isEmpty()) {
      throw new IllegalArgumentException(
          "%s: option '%s' is unknown or given twice; use %s".formatted(text, left.getFirst(), switch (name) {
            case "refit" -> "iterations=N or damping=X";
            case "fine-tune" -> "epochs=N, rate=X or patience=N";
            case "joint" -> "mse, kl:T, outer=N, inner=N, damping=X or tolerance=X";
            default -> "mse, kl:T, epochs=N, last=N or rate=X";
          }));
    }
  }

  static String option(String key, OptionalInt value) {
    return value.isPresent() ? ":%s=%s".formatted(key, value.getAsInt()) : "";
  }

  static String option(String key, OptionalDouble value) {
    return value.isPresent()
        ? ":%s=%s".formatted(key, BigDecimal.valueOf(value.getAsDouble()).stripTrailingZeros())
        : "";
  }
}
