package dev.espalier.engine.network;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.commons.numbers.gamma.Erfc;

/// The activation function φ of a dense layer. All but softmax and its logarithm act on each element alone.
///
/// @param parameter p, finite; 0 for kinds that have none. Only [#PRELU] has NaN.
public record Activation(Kind kind, double parameter) implements Serializable {
  /// The functions. p is their parameter, with PyTorch's default.
  public enum Kind {
    /// z
    IDENTITY,
    /// max(0, z); the derivative at 0 is 0
    RELU,
    /// min(max(0, z), 6); the derivative at 0 and 6 is 0
    RELU6,
    /// z for z > 0, else p z; p = 0.01
    LEAKY_RELU(0.01),
    /// z for z > 0, else p (eᶻ − 1); p = 1
    ELU(1),
    /// [#SELU_SCALE] times the ELU of p = [#SELU_ALPHA] [Klambauer et al. 2017]
    SELU,
    /// z Φ(z) with the normal distribution function Φ, by erf
    GELU,
    /// ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))), an approximation of GELU
    GELU_TANH,
    /// z / (1 + e⁻ᶻ)
    SILU,
    /// z tanh(ln(1 + eᶻ)) [Misra 2019]
    MISH,
    /// z min(max(0, z + 3), 6) / 6
    HARDSWISH,
    /// min(max(0, z + 3), 6) / 6; the derivative at ±3 is 0
    HARDSIGMOID,
    /// ln(1 + eᶻ)
    SOFTPLUS,
    /// z / (1 + |z|)
    SOFTSIGN,
    /// tanh z
    TANH,
    /// 1 / (1 + e⁻ᶻ)
    SIGMOID,
    /// sin(p z), p ≠ 0: SIREN's sine with the frequency factor p [Sitzmann et al. 2020]; p = 1
    SIN(1),
    /// eᶻ over the sum of eᶻ of its row; in a chain of layers only as the last activation
    SOFTMAX,
    /// z − ln of the sum of eᶻ of its row; as softmax
    LOG_SOFTMAX;

    private final boolean hasParameter;
    private final double defaultParameter;

    Kind() {
      hasParameter = false;
      defaultParameter = 0;
    }

    Kind(double defaultParameter) {
      hasParameter = true;
      this.defaultParameter = defaultParameter;
    }

    /// The name in model files and on the command line, without a parameter.
    @Override
    public String toString() {
      return this == GELU_TANH ? "gelu:tanh" : name().toLowerCase(Locale.ROOT);
    }
  }

  public static final Activation IDENTITY = of(Kind.IDENTITY);
  public static final Activation RELU = of(Kind.RELU);
  public static final Activation TANH = of(Kind.TANH);
  public static final Activation SIGMOID = of(Kind.SIGMOID);
  public static final Activation SOFTMAX = of(Kind.SOFTMAX);
  public static final Activation LOG_SOFTMAX = of(Kind.LOG_SOFTMAX);

  /// A leaky ReLU whose slope is a tensor of the model's file; no layer of a network has it.
  public static final Activation PRELU = new Activation(Kind.LEAKY_RELU, Double.NaN);

  /// SELU for z > 0 is this times z.
  public static final double SELU_SCALE = 1.0507009873554805;
  /// SELU tends to −[#SELU_SCALE] times this.
  public static final double SELU_ALPHA = 1.6732632423543772;

  private static final double GELU_CUBIC = 0.044715;
  /// GELU's approximation has a derivative of 0 or 1 beyond ±this, to 10⁻⁵⁰.
  private static final double GELU_END = 15;
  private static final double SQRT_HALF = Math.sqrt(0.5);
  private static final double SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
  private static final double INVERSE_SQRT_2_PI = 1 / Math.sqrt(2 * Math.PI);

  /// @throws IllegalArgumentException if the parameter is not one of the kind
  public Activation {
    boolean fits = switch (kind) {
      case LEAKY_RELU -> !Double.isInfinite(parameter);
      case ELU -> Double.isFinite(parameter);
      case SIN -> Double.isFinite(parameter) && parameter != 0;
      case IDENTITY, RELU, RELU6, SELU, GELU, GELU_TANH, SILU, MISH, HARDSWISH, HARDSIGMOID, SOFTPLUS, SOFTSIGN, TANH,
          SIGMOID, SOFTMAX, LOG_SOFTMAX ->
        parameter == 0;
    };
    if (!fits) {
      throw new IllegalArgumentException("%s has no parameter %s".formatted(kind, parameter));
    }
  }

  /// The function with its default parameter.
  public static Activation of(Kind kind) {
    return new Activation(kind, kind.defaultParameter);
  }

  /// The activation that model files and the command line call `text`: a name, for example `leaky_relu`, and for some
  /// a parameter behind a colon, `leaky_relu:0.2`. Capitals and underscores do not matter, so that the names of
  /// PyTorch's classes are names too; `linear` is identity, and `swish` is SiLU.
  ///
  /// @throws IllegalArgumentException if there is none; the message lists those there are
  public static Activation parse(String text) {
    String[] parts = text.strip().split(":", 2);
    String name = letters(parts[0]);
    if (name.equals("prelu") && parts.length == 1) {
      return PRELU;
    }
    Kind kind = switch (name) {
      case "linear" -> Kind.IDENTITY;
      case "swish" -> Kind.SILU;
      default -> Arrays.stream(Kind.values()).filter(each -> letters(each.toString()).equals(name)).findFirst()
          .orElseThrow(() -> unknown(text));
    };
    if (parts.length == 1) {
      return of(kind);
    } else if (kind == Kind.GELU && letters(parts[1]).equals("tanh")) {
      return of(Kind.GELU_TANH);
    } else if (!kind.hasParameter) {
      throw new IllegalArgumentException(
          "activation '%s': %s has no parameter '%s'".formatted(text.strip(), kind, parts[1]));
    }
    return parameter(parts[1]).filter(Double::isFinite).filter(p -> kind != Kind.SIN || p != 0)
        .map(p -> new Activation(kind, p))
        .orElseThrow(() -> new IllegalArgumentException("activation '%s': give a number%s, such as %s:%s"
            .formatted(text.strip(), kind == Kind.SIN ? " other than 0" : "", kind, kind.defaultParameter)));
  }

  private static String letters(String name) {
    return name.strip().toLowerCase(Locale.ROOT).replace("_", "");
  }

  private static Optional<Double> parameter(String text) {
    try {
      return Optional.of(Double.valueOf(text));
    } catch (NumberFormatException _) {
      return Optional.empty();
    }
  }

  private static IllegalArgumentException unknown(String text) {
    Stream<String> names = Stream.concat(
        Arrays.stream(Kind.values()).map(kind -> kind.hasParameter ? "%s[:NUMBER]".formatted(kind) : kind.toString()),
        Stream.of("prelu"));
    return new IllegalArgumentException(
        "unknown activation '%s': use one of %s".formatted(text.strip(), names.collect(Collectors.joining(", "))));
  }

  /// Whether each output element depends on its own pre-activation alone.
  public boolean isElementwise() {
    return kind != Kind.SOFTMAX && kind != Kind.LOG_SOFTMAX;
  }

  /// φ(z) of one element.
  ///
  /// @throws IllegalStateException for softmax and its logarithm, which need a whole row
  public double value(double z) {
    return switch (kind) {
      case IDENTITY -> z;
      case RELU -> Math.max(0, z);
      case RELU6 -> Math.clamp(z, 0.0, 6.0);
      case LEAKY_RELU -> z > 0 ? z : parameter * z;
      case ELU -> z > 0 ? z : parameter * Math.expm1(z);
      case SELU -> SELU_SCALE * (z > 0 ? z : SELU_ALPHA * Math.expm1(z));
      case GELU -> z * normalDistribution(z);
      case GELU_TANH -> z * logistic(geluExponent(z));
      case SILU -> z * logistic(z);
      case MISH -> z * Math.tanh(softplus(z));
      case HARDSWISH -> z * (Math.clamp(z + 3, 0.0, 6.0) / 6);
      case HARDSIGMOID -> Math.clamp(z + 3, 0.0, 6.0) / 6;
      case SOFTPLUS -> softplus(z);
      case SOFTSIGN -> z / (1 + Math.abs(z));
      case TANH -> Math.tanh(z);
      case SIGMOID -> logistic(z);
      case SIN -> Math.sin(parameter * z);
      case SOFTMAX, LOG_SOFTMAX -> throw new IllegalStateException("%s needs a whole row".formatted(kind));
    };
  }

  /// φ′(z) of one element.
  ///
  /// @throws IllegalStateException for softmax and its logarithm, which need a whole row
  public double derivative(double z) {
    return switch (kind) {
      case IDENTITY -> 1;
      case RELU -> z > 0 ? 1 : 0;
      case RELU6 -> z > 0 && z < 6 ? 1 : 0;
      case LEAKY_RELU -> z > 0 ? 1 : parameter;
      case ELU -> z > 0 ? 1 : parameter * Math.exp(z);
      case SELU -> SELU_SCALE * (z > 0 ? 1 : SELU_ALPHA * Math.exp(z));
      case GELU -> normalDistribution(z) + z * INVERSE_SQRT_2_PI * Math.exp(-0.5 * z * z);
      case GELU_TANH -> {
        double x = Math.clamp(z, -GELU_END, GELU_END);
        double p = logistic(geluExponent(x));
        yield p + x * p * (1 - p) * 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);
      }
      case SILU -> {
        double p = logistic(z);
        yield p * (1 + z * (1 - p));
      }
      case MISH -> {
        double t = Math.tanh(softplus(z));
        yield t + z * logistic(z) * (1 - t * t);
      }
      case HARDSWISH -> Math.abs(z) < 3 ? z / 3 + 0.5 : z > 0 ? 1 : 0;
      case HARDSIGMOID -> Math.abs(z) < 3 ? 1 / 6.0 : 0;
      case SOFTPLUS -> logistic(z);
      case SOFTSIGN -> 1 / ((1 + Math.abs(z)) * (1 + Math.abs(z)));
      case TANH -> {
        double t = Math.tanh(z);
        yield 1 - t * t;
      }
      case SIGMOID -> {
        double p = logistic(z);
        yield p * (1 - p);
      }
      case SIN -> parameter * Math.cos(parameter * z);
      case SOFTMAX, LOG_SOFTMAX -> throw new IllegalStateException("%s needs a whole row".formatted(kind));
    };
  }

  /// As [#parse] reads it; a default parameter is left out.
  @Override
  public String toString() {
    if (equals(PRELU)) {
      return "prelu";
    }
    return parameter == kind.defaultParameter ? kind.toString() : "%s:%s".formatted(kind, number(parameter));
  }

  /// The shortest text of a number: 30, not 30.0.
  private static String number(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e9 ? Long.toString((long) value) : Double.toString(value);
  }

  private static double logistic(double z) {
    return 1 / (1 + Math.exp(-z));
  }

  private static double softplus(double z) {
    return Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z)));
  }

  private static double normalDistribution(double z) {
    return 0.5 * Erfc.value(-z * SQRT_HALF);
  }

  /// 2u of ½ (1 + tanh u) = 1 / (1 + e⁻²ᵘ).
  private static double geluExponent(double z) {
    return 2 * SQRT_2_OVER_PI * (z + GELU_CUBIC * z * z * z);
  }
}
