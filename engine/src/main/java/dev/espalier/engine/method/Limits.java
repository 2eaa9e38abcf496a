package dev.espalier.engine.method;

import java.math.BigDecimal;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.StringJoiner;

/// How much worse than the dense network a pruned one may be, on the same samples. All limits that are given hold together.
///
/// @param lossIncrease by which the loss may rise; relative to that of the dense network
/// @param accuracyDrop percentage points by which the accuracy may fall, 0..100
/// @param outputChange E‖y − y′‖² at the most; relative to E‖y‖²
public record Limits(Optional<Amount> lossIncrease, OptionalDouble accuracyDrop, Optional<Amount> outputChange) {
  private static final double PERCENT = 100;

  /// @throws IllegalArgumentException if there is no limit, or points are out of their range
  public Limits {
    if (lossIncrease.isEmpty() && accuracyDrop.isEmpty() && outputChange.isEmpty()) {
      throw new IllegalArgumentException("a search needs a limit: of the loss, the accuracy or the output change");
    }
    if (!(accuracyDrop.orElse(0) >= 0 && accuracyDrop.orElse(0) <= PERCENT)) {
      throw new IllegalArgumentException(
          "an accuracy drop of %s points: use 0 to 100".formatted(accuracyDrop.getAsDouble()));
    }
  }

  /// A number, or a part of another one.
  ///
  /// @param value 0 or more; 0.005 of 0.5 %
  public record Amount(double value, boolean isRelative) {
    /// @throws IllegalArgumentException if the value is negative or not finite
    public Amount {
      if (!(value >= 0 && Double.isFinite(value))) {
        throw new IllegalArgumentException("'%s' is not a number of 0 or more".formatted(value));
      }
    }

    /// `0.01`, or `0.5%` of what it is compared with.
    ///
    /// @throws IllegalArgumentException for anything else
    public static Amount parse(String text) {
      boolean isRelative = text.endsWith("%");
      try {
        double number = Double.parseDouble(isRelative ? text.substring(0, text.length() - 1) : text);
        return new Amount(isRelative ? number / PERCENT : number, isRelative);
      } catch (IllegalArgumentException e) {
        throw new IllegalArgumentException(
            "'%s' is not a number of 0 or more, such as 0.01, or a percentage, such as 0.5%%".formatted(text), e);
      }
    }

    /// The amount itself.
    ///
    /// @param whole what a relative amount is a part of
    public double of(double whole) {
      return isRelative ? value * whole : value;
    }

    /// As [#parse] reads it.
    @Override
    public String toString() {
      BigDecimal number = BigDecimal.valueOf(value);
      return isRelative
          ? number.movePointRight(2).stripTrailingZeros().toPlainString() + "%"
          : number.stripTrailingZeros().toString();
    }
  }

  /// Whether labels are needed to tell.
  public boolean needsLabels() {
    return lossIncrease.isPresent() || accuracyDrop.isPresent();
  }

  /// The highest loss that holds the limit.
  public double highestLoss(double dense) {
    return lossIncrease.map(amount -> dense + amount.of(dense)).orElse(Double.POSITIVE_INFINITY);
  }

  /// The lowest accuracy that holds the limit.
  ///
  /// @param dense 0..1
  public double lowestAccuracy(double dense) {
    return accuracyDrop.isEmpty() ? Double.NEGATIVE_INFINITY : dense - accuracyDrop.getAsDouble() / PERCENT;
  }

  /// The largest output change that holds the limit.
  ///
  /// @param square E‖y‖² of the dense network
  public double largestChange(double square) {
    return outputChange.map(amount -> amount.of(square)).orElse(Double.POSITIVE_INFINITY);
  }

  @Override
  public String toString() {
    StringJoiner text = new StringJoiner(", ");
    lossIncrease.ifPresent(amount -> text.add("loss increase " + amount));
    accuracyDrop.ifPresent(
        points -> text.add("accuracy drop " + BigDecimal.valueOf(points).stripTrailingZeros().toPlainString()));
    outputChange.ifPresent(amount -> text.add("output change " + amount));
    return text.toString();
  }
}
