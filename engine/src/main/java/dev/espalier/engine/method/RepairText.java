package dev.espalier.engine.method;

import java.math.BigDecimal;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The text form of the options of a [Repair].
final class RepairText {
  private static final String INTEGER = "(\\d{1,6})";
  private static final String DECIMAL = "(\\d{1,9}(?:\\.\\d{1,12})?(?:[eE]-?\\d{1,3})?)";
  static final Pattern REFIT = pattern("refit", option("iterations", INTEGER) + option("damping", DECIMAL));
  static final Pattern DISTILL = pattern("distill(?::(?<objective>mse|kl:\\d{1,6}(?:\\.\\d{1,6})?))?",
      option("epochs", INTEGER) + option("last", INTEGER) + option("rate", DECIMAL));

  private RepairText() {}

  private static Pattern pattern(String name, String options) {
    return Pattern.compile(name + options);
  }

  private static String option(String name, String value) {
    return "(?::%s=(?<%s>%s))?".formatted(name, name, value);
  }

  static OptionalInt integer(Matcher matcher, String name) {
    String value = matcher.group(name);
    return value == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(value));
  }

  static OptionalDouble decimal(Matcher matcher, String name) {
    String value = matcher.group(name);
    return value == null ? OptionalDouble.empty() : OptionalDouble.of(Double.parseDouble(value));
  }

  static String option(String name, OptionalInt value) {
    return value.isPresent() ? ":%s=%s".formatted(name, value.getAsInt()) : "";
  }

  static String option(String name, OptionalDouble value) {
    return value.isPresent()
        ? ":%s=%s".formatted(name, BigDecimal.valueOf(value.getAsDouble()).stripTrailingZeros())
        : "";
  }
}
