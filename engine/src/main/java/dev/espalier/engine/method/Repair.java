package dev.espalier.engine.method;

import java.math.BigDecimal;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// What each round does to the weights and biases that are left, once it has removed weights and compensated them. It
/// needs samples, but no labels.
public sealed interface Repair {
  /// Nothing.
  record None() implements Repair {
    @Override
    public String toString() {
      return "none";
    }
  }

  /// Layer by layer from the input, a least-squares fit of the weights that are left and the bias: the pre-activations
  /// of the pruned network are to match those of the dense network on the same samples (docs/method.md, refit).
  ///
  /// @param iterations of conjugate gradients, at least 1; empty: [#ITERATIONS]
  /// @param damping λ, the weight of the squared change relative to the mean variance of the inputs, above 0; empty:
  ///                [#damping] of the number of samples
  record Refit(OptionalInt iterations, OptionalDouble damping) implements Repair {
    /// Iterations unless others are asked for: 10 leave a tenth more error, 100 gain nothing (docs/method.md).
    public static final int ITERATIONS = 30;

    private static final double[] SAMPLES = {300, 1000, 5000};
    private static final double[] DAMPINGS = {1e-1, 1e-2, 1e-3};

    /// The defaults.
    public Refit() {
      this(OptionalInt.empty(), OptionalDouble.empty());
    }

    /// @throws IllegalArgumentException if a number is out of its range
    public Refit {
      if (iterations.orElse(1) < 1) {
        throw new IllegalArgumentException(
            "refit:iterations=%d: use at least one iteration".formatted(iterations.getAsInt()));
      }
      if (!(damping.orElse(1) > 0 && Double.isFinite(damping.orElse(1)))) {
        throw new IllegalArgumentException("refit:damping=%s: use a damping above 0".formatted(damping.getAsDouble()));
      }
    }

    /// The damping in force for a number of samples: the fewer there are, the more a fit follows their noise. 0.1 up to
    /// 300 samples, 0.01 at 1,000, 0.001 from 5,000 on, and a straight line between them in logarithms.
    public double damping(long samples) {
      if (damping.isPresent()) {
        return damping.getAsDouble();
      }
      for (int i = 0; i < SAMPLES.length; i++) {
        if (samples <= SAMPLES[i]) {
          double part = i == 0 ? 0 : Math.log(samples / SAMPLES[i]) / Math.log(SAMPLES[i - 1] / SAMPLES[i]);
          return DAMPINGS[i] * (i == 0 ? 1 : Math.pow(DAMPINGS[i - 1] / DAMPINGS[i], part));
        }
      }
      return DAMPINGS[DAMPINGS.length - 1];
    }

    @Override
    public String toString() {
      StringBuilder text = new StringBuilder("refit");
      iterations.ifPresent(value -> text.append(":iterations=").append(value));
      damping.ifPresent(value -> text.append(":damping=").append(BigDecimal.valueOf(value).stripTrailingZeros()));
      return text.toString();
    }
  }

  /// `none`, or `refit` with `:iterations=…` and `:damping=…` where they are not the defaults.
  ///
  /// @throws IllegalArgumentException for anything else
  static Repair parse(String text) {
    if (text.equals("none")) {
      return new None();
    }
    String[] parts = text.split(":", -1);
    OptionalInt iterations = OptionalInt.empty();
    OptionalDouble damping = OptionalDouble.empty();
    boolean understood = parts[0].equals("refit");
    for (int i = 1; i < parts.length && understood; i++) {
      String value = parts[i].substring(parts[i].indexOf('=') + 1);
      if (parts[i].matches("iterations=\\d{1,6}") && iterations.isEmpty()) {
        iterations = OptionalInt.of(Integer.parseInt(value));
      } else if (parts[i].matches("damping=\\d+(\\.\\d+)?([eE]-?\\d{1,3})?") && damping.isEmpty()) {
        damping = OptionalDouble.of(Double.parseDouble(value));
      } else {
        understood = false;
      }
    }
    if (!understood) {
      throw new IllegalArgumentException(
          "unknown repair '%s': use none, refit or, for example, refit:iterations=50:damping=0.01".formatted(text));
    }
    return new Refit(iterations, damping);
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
