package dev.espalier.engine.method;

import dev.espalier.engine.statistics.Statistic;

/// The change of the remaining network that compensates removed weights.
public sealed interface Compensation {
  /// Nothing.
  record None() implements Compensation {
    @Override
    public Needs needs() {
      return Needs.NOTHING;
    }

    @Override
    public String toString() {
      return "none";
    }
  }

  /// Each bias gains the sum of Δb of the weights removed from its row [Ballini et al. 2026]. For any set of weights of
  /// one row that is the best single change (docs/method.md, joint compensation).
  record Bias() implements Compensation {
    @Override
    public Needs needs() {
      return Needs.of(new Statistic.WeightedMoments());
    }

    @Override
    public String toString() {
      return "bias";
    }
  }

  /// What it must know of the samples.
  Needs needs();

  /// `none` or `bias`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Compensation parse(String text) {
    return switch (text) {
      case "none" -> new None();
      case "bias" -> new Bias();
      default -> throw new IllegalArgumentException("unknown compensation '%s': use none or bias".formatted(text));
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
