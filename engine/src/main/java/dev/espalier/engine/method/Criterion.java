package dev.espalier.engine.method;

import dev.espalier.engine.statistics.Statistic;

/// A definition of the importance of a weight. The least important weights are removed.
public sealed interface Criterion {
  /// The error that the best change of the adjacent bias leaves when the weight is removed: `W² E[s] Var_s(a)`, with s
  /// the sensitivity of the output to the neuron [Ballini et al. 2026; docs/method.md, factored form].
  record EliminationCompensation() implements Criterion {
    @Override
    public Needs needs() {
      return Needs.of(new Statistic.WeightedMoments());
    }

    @Override
    public Compensation defaultCompensation() {
      return new Compensation.Bias();
    }

    @Override
    public String toString() {
      return "ec";
    }
  }

  /// The same error in the true network: `min over Δb of E‖y(x; W, b) − y(x; W without the weight, b + Δb)‖²`, the
  /// reference of the paper [Ballini et al. 2026; docs/method.md, nonlinear scores]. It passes the change of one
  /// pre-activation through the network several times for each weight: for small networks.
  record NonlinearEliminationCompensation() implements Criterion {
    /// For the scores of [EliminationCompensation], which begin the search for each minimum.
    @Override
    public Needs needs() {
      return Needs.of(new Statistic.WeightedMoments());
    }

    @Override
    public boolean followsFromSums() {
      return false;
    }

    @Override
    public Compensation defaultCompensation() {
      return new Compensation.Bias();
    }

    @Override
    public String toString() {
      return "ec-nonlinear";
    }
  }

  /// |W|
  record Magnitude() implements Criterion {
    @Override
    public Needs needs() {
      return Needs.NOTHING;
    }

    @Override
    public String toString() {
      return "magnitude";
    }
  }

  /// |W ∂L/∂W|, with L the mean loss over the labelled calibration samples.
  record Gradient() implements Criterion {
    @Override
    public Needs needs() {
      return Needs.of(new Statistic.LossGradient());
    }

    @Override
    public String toString() {
      return "gradient";
    }
  }

  /// `|W| √E[a²]` [Sun et al. 2024], with a the weight's input.
  record Wanda() implements Criterion {
    @Override
    public Needs needs() {
      return Needs.of(new Statistic.InputSquares());
    }

    @Override
    public String toString() {
      return "wanda";
    }
  }

  /// Uniform random numbers.
  record Random() implements Criterion {
    @Override
    public Needs needs() {
      return Needs.NOTHING;
    }

    @Override
    public String toString() {
      return "random";
    }
  }

  /// What it must know of the samples.
  Needs needs();

  /// Whether weights and the sums of the statistics tell all that it must know; otherwise it also needs the samples.
  default boolean followsFromSums() {
    return true;
  }

  /// The compensation that belongs to it: the bias for `ec` and `ec-nonlinear`, whose importances count on it, otherwise
  /// none.
  default Compensation defaultCompensation() {
    return new Compensation.None();
  }

  /// `ec`, `ec-nonlinear`, `magnitude`, `gradient`, `wanda` or `random`.
  ///
  /// @throws IllegalArgumentException for anything else; the message lists those there are
  static Criterion parse(String text) {
    return switch (text) {
      case "ec" -> new EliminationCompensation();
      case "ec-nonlinear" -> new NonlinearEliminationCompensation();
      case "magnitude" -> new Magnitude();
      case "gradient" -> new Gradient();
      case "wanda" -> new Wanda();
      case "random" -> new Random();
      default -> throw new IllegalArgumentException(
          "unknown criterion '%s': use ec, ec-nonlinear, magnitude, gradient, wanda or random".formatted(text));
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
