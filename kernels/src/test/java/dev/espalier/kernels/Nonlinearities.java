package dev.espalier.kernels;

import java.util.Arrays;
import java.util.stream.Stream;

/// The activations in double precision.
final class Nonlinearities {
  private Nonlinearities() {}

  /// One of each kind, with a parameter that is no default.
  static Stream<Nonlinearity> all() {
    return Arrays.stream(Nonlinearity.Kind.values())
        .map(kind -> new Nonlinearity(kind, kind == Nonlinearity.Kind.SIN ? 30 : -0.3f));
  }

  static double value(Nonlinearity nonlinearity, double z) {
    double p = nonlinearity.parameter();
    return switch (nonlinearity.kind()) {
      case IDENTITY -> z;
      case RELU -> Math.max(0, z);
      case RELU6 -> Math.clamp(z, 0.0, 6.0);
      case LEAKY_RELU -> z > 0 ? z : p * z;
      case ELU -> z > 0 ? z : p * Math.expm1(z);
      case SELU -> 1.0507009873554805 * (z > 0 ? z : 1.6732632423543772 * Math.expm1(z));
      case GELU -> z * distribution(z);
      case GELU_TANH -> 0.5 * z * (1 + Math.tanh(geluArgument(z)));
      case SILU -> z * logistic(z);
      case MISH -> z * Math.tanh(softplus(z));
      case HARDSWISH -> z * Math.clamp(z + 3, 0.0, 6.0) / 6;
      case HARDSIGMOID -> Math.clamp(z + 3, 0.0, 6.0) / 6;
      case SOFTPLUS -> softplus(z);
      case SOFTSIGN -> z / (1 + Math.abs(z));
      case TANH -> Math.tanh(z);
      case SIGMOID -> logistic(z);
      case SIN -> Math.sin(p * z);
    };
  }

  static double derivative(Nonlinearity nonlinearity, double z) {
    double p = nonlinearity.parameter();
    return switch (nonlinearity.kind()) {
      case IDENTITY -> 1;
      case RELU -> z > 0 ? 1 : 0;
      case RELU6 -> z > 0 && z < 6 ? 1 : 0;
      case LEAKY_RELU -> z > 0 ? 1 : p;
      case ELU -> z > 0 ? 1 : p * Math.exp(z);
      case SELU -> 1.0507009873554805 * (z > 0 ? 1 : 1.6732632423543772 * Math.exp(z));
      case GELU -> distribution(z) + z * density(z);
      case GELU_TANH -> {
        double t = Math.tanh(geluArgument(z));
        yield 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * z * z);
      }
      case SILU -> logistic(z) * (1 + z * logistic(-z));
      case MISH -> {
        double t = Math.tanh(softplus(z));
        yield t + z * (1 - t * t) * logistic(z);
      }
      case HARDSWISH -> Math.abs(z) < 3 ? z / 3 + 0.5 : z > 0 ? 1 : 0;
      case HARDSIGMOID -> Math.abs(z) < 3 ? 1 / 6.0 : 0;
      case SOFTPLUS -> logistic(z);
      case SOFTSIGN -> Math.pow(1 + Math.abs(z), -2);
      case TANH -> 1 - Math.tanh(z) * Math.tanh(z);
      case SIGMOID -> logistic(z) * logistic(-z);
      case SIN -> p * Math.cos(p * z);
    };
  }

  private static double geluArgument(double z) {
    return Math.sqrt(2 / Math.PI) * (z + 0.044715 * z * z * z);
  }

  private static double softplus(double z) {
    return Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z)));
  }

  /// By rows.
  static double[] softmax(float[] z, int columns) {
    double[] p = new double[z.length];
    for (int row = 0; row < z.length; row += columns) {
      double sum = 0;
      for (int k = row; k < row + columns; k++) {
        p[k] = Math.exp(z[k]);
        sum += p[k];
      }
      for (int k = row; k < row + columns; k++) {
        p[k] /= sum;
      }
    }
    return p;
  }

  private static double logistic(double z) {
    return 1 / (1 + Math.exp(-z));
  }

  private static double density(double z) {
    return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
  }

  /// Φ(z) = ½ + φ(z) (z + z³/3 + z⁵/(3·5) + …), whose terms do not alternate.
  private static double distribution(double z) {
    if (Math.abs(z) > 30) {
      return z > 0 ? 1 : 0; // to 10⁻¹⁹⁷
    }
    double term = z;
    double sum = 0;
    for (int k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) {
      sum += term;
      term *= z * z / (2 * k + 1);
    }
    return 0.5 + density(z) * sum;
  }
}
