package dev.espalier.engine.network;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import org.apache.commons.numbers.gamma.Erfc;

/// The activation function φ of a dense layer. All but [#SOFTMAX] act on each element alone; their parameters
/// are PyTorch's defaults.
public enum Activation {
  /// z
  IDENTITY,
  /// max(0, z); the derivative at 0 is 0
  RELU,
  /// z for z > 0, else 0.01 z
  LEAKY_RELU,
  /// z for z > 0, else eᶻ − 1
  ELU,
  /// z Φ(z) with the normal distribution function Φ, by erf and not by its tanh approximation
  GELU,
  /// z / (1 + e⁻ᶻ)
  SILU,
  /// ln(1 + eᶻ)
  SOFTPLUS,
  /// tanh z
  TANH,
  /// 1 / (1 + e⁻ᶻ)
  SIGMOID,
  /// eᶻ over the sum of eᶻ of its row; only as a network's last activation
  SOFTMAX;

  private static final double LEAKY_SLOPE = 0.01;
  private static final double SQRT_HALF = Math.sqrt(0.5);
  private static final double INVERSE_SQRT_2_PI = 1 / Math.sqrt(2 * Math.PI);

  /// The activation that model files and the command line call `name`, for example `leaky_relu`. Capitals and
  /// underscores do not matter, so that PyTorch's class names are names too; `linear` is identity, and `swish` is SiLU.
  ///
  /// @throws IllegalArgumentException if there is none; the message lists those there are
  public static Activation parse(String name) {
    String letters = letters(name.strip());
    String known = switch (letters) {
      case "linear" -> "identity";
      case "swish" -> "silu";
      default -> letters;
    };
    return Arrays.stream(values()).filter(activation -> letters(activation.toString()).equals(known)).findFirst()
        .orElseThrow(() -> new IllegalArgumentException("unknown activation '%s': use one of %s".formatted(name.strip(),
            Arrays.stream(values()).map(Activation::toString).collect(Collectors.joining(", ")))));
  }

  private static String letters(String name) {
    return name.toLowerCase(Locale.ROOT).replace("_", "");
  }

  /// Whether each output element depends on its own pre-activation alone.
  public boolean isElementwise() {
    return this != SOFTMAX;
  }

  /// φ(z) of one element.
  ///
  /// @throws IllegalStateException for softmax, which needs a whole row
  public double value(double z) {
    return switch (this) {
      case IDENTITY -> z;
      case RELU -> Math.max(0, z);
      case LEAKY_RELU -> z > 0 ? z : LEAKY_SLOPE * z;
      case ELU -> z > 0 ? z : Math.expm1(z);
      case GELU -> z * normalDistribution(z);
      case SILU -> z * logistic(z);
      case SOFTPLUS -> Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z)));
      case TANH -> Math.tanh(z);
      case SIGMOID -> logistic(z);
      case SOFTMAX -> throw new IllegalStateException("softmax needs a whole row");
    };
  }

  /// φ′(z) of one element.
  ///
  /// @throws IllegalStateException for softmax, which needs a whole row
  public double derivative(double z) {
    return switch (this) {
      case IDENTITY -> 1;
      case RELU -> z > 0 ? 1 : 0;
      case LEAKY_RELU -> z > 0 ? 1 : LEAKY_SLOPE;
      case ELU -> z > 0 ? 1 : Math.exp(z);
      case GELU -> normalDistribution(z) + z * INVERSE_SQRT_2_PI * Math.exp(-0.5 * z * z);
      case SILU -> {
        double p = logistic(z);
        yield p * (1 + z * (1 - p));
      }
      case SOFTPLUS -> logistic(z);
      case TANH -> {
        double t = Math.tanh(z);
        yield 1 - t * t;
      }
      case SIGMOID -> {
        double p = logistic(z);
        yield p * (1 - p);
      }
      case SOFTMAX -> throw new IllegalStateException("softmax needs a whole row");
    };
  }

  /// The name in model files and on the command line.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }

  private static double logistic(double z) {
    return 1 / (1 + Math.exp(-z));
  }

  private static double normalDistribution(double z) {
    return 0.5 * Erfc.value(-z * SQRT_HALF);
  }
}
