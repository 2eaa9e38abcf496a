package dev.espalier.kernels;

/// The activations in double precision.
final class Nonlinearities {
  private Nonlinearities() {}

  static double value(Nonlinearity nonlinearity, double z) {
    return switch (nonlinearity) {
      case IDENTITY -> z;
      case RELU -> Math.max(0, z);
      case LEAKY_RELU -> z > 0 ? z : 0.01 * z;
      case ELU -> z > 0 ? z : Math.expm1(z);
      case GELU -> z * distribution(z);
      case SILU -> z * logistic(z);
      case SOFTPLUS -> Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z)));
      case TANH -> Math.tanh(z);
      case SIGMOID -> logistic(z);
    };
  }

  static double derivative(Nonlinearity nonlinearity, double z) {
    return switch (nonlinearity) {
      case IDENTITY -> 1;
      case RELU -> z > 0 ? 1 : 0;
      case LEAKY_RELU -> z > 0 ? 1 : 0.01;
      case ELU -> z > 0 ? 1 : Math.exp(z);
      case GELU -> distribution(z) + z * density(z);
      case SILU -> logistic(z) * (1 + z * logistic(-z));
      case SOFTPLUS -> logistic(z);
      case TANH -> 1 - Math.tanh(z) * Math.tanh(z);
      case SIGMOID -> logistic(z) * logistic(-z);
    };
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
    double term = z;
    double sum = 0;
    for (int k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) {
      sum += term;
      term *= z * z / (2 * k + 1);
    }
    return 0.5 + density(z) * sum;
  }
}
