package dev.espalier.engine.backend;

import dev.espalier.engine.network.Activation;

/// Activations and their derivatives over the first `count` elements of arrays, within [CpuMath]'s errors.
final class CpuActivation {
  private static final float LEAKY_SLOPE = (float) Activation.LEAKY_RELU.derivative(-1);

  private CpuActivation() {}

  /// a = φ(z) of an elementwise activation.
  static void forward(Activation activation, float[] z, float[] a, int count) {
    switch (activation) {
      case IDENTITY -> System.arraycopy(z, 0, a, 0, count);
      case RELU -> rectify(z, a, count);
      case LEAKY_RELU -> rectifyLeaky(z, a, count);
      case ELU, GELU, SILU, SOFTPLUS, TANH, SIGMOID -> curve(activation, z, a, count);
      case SOFTMAX -> throw new IllegalArgumentException("softmax needs a whole row");
    }
  }

  // A loop is a method of its own: it is compiled by itself, with nothing around it.

  private static void rectify(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(0, z[i]);
    }
  }

  private static void rectifyLeaky(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(z[i], LEAKY_SLOPE * z[i]);
    }
  }

  private static void curve(Activation activation, float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) value(activation, z[i]);
    }
  }

  /// d = φ′(z) of an elementwise activation.
  static void slopes(Activation activation, float[] z, float[] d, int count) {
    switch (activation) {
      case IDENTITY, RELU, LEAKY_RELU -> steps((float) activation.derivative(-1), z, d, count);
      case ELU, GELU, SILU, SOFTPLUS, TANH, SIGMOID -> curveSlopes(activation, z, d, count);
      case SOFTMAX -> throw new IllegalArgumentException("softmax needs a whole row");
    }
  }

  /// d = 1 above 0, else `below`.
  private static void steps(float below, float[] z, float[] d, int count) {
    float rise = 1 - below;
    for (int i = 0; i < count; i++) {
      // A comparison would become a branch, which half the elements mispredict.
      d[i] = below + rise * Math.signum(Math.max(0, z[i]));
    }
  }

  private static void curveSlopes(Activation activation, float[] z, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      d[i] = (float) slope(activation, z[i]);
    }
  }

  /// p = softmax(z) for one row.
  ///
  /// @return ln Σ eᶻ
  static double softmax(float[] z, float[] p, int count) {
    double max = Double.NEGATIVE_INFINITY;
    for (int k = 0; k < count; k++) {
      max = Math.max(max, z[k]);
    }
    double sum = 0;
    for (int k = 0; k < count; k++) {
      sum += CpuMath.exp(z[k] - max);
    }
    for (int k = 0; k < count; k++) {
      p[k] = (float) (CpuMath.exp(z[k] - max) / sum);
    }
    return max + Math.log(sum);
  }

  /// u = p ∘ (u − pᵀu) for one row of softmax's output p.
  static void softmaxBackward(float[] p, float[] u, int count) {
    double mean = 0;
    for (int k = 0; k < count; k++) {
      mean += (double) p[k] * u[k];
    }
    for (int k = 0; k < count; k++) {
      u[k] = (float) (p[k] * (u[k] - mean));
    }
  }

  private static double value(Activation activation, double z) {
    return switch (activation) {
      case ELU -> z > 0 ? z : CpuMath.expm1(z);
      case GELU -> z * CpuMath.normalDistribution(z);
      case SILU -> z * CpuMath.logistic(z);
      case SOFTPLUS -> CpuMath.softplus(z);
      case TANH -> CpuMath.tanh(z);
      case SIGMOID -> CpuMath.logistic(z);
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> activation.value(z);
    };
  }

  private static double slope(Activation activation, double z) {
    return switch (activation) {
      case ELU -> z > 0 ? 1 : CpuMath.exp(z);
      case GELU -> CpuMath.normalDistribution(z) + z * CpuMath.normalDensity(z);
      case SILU -> {
        double p = CpuMath.logistic(z);
        yield p * (1 + z * (1 - p));
      }
      case SOFTPLUS -> CpuMath.logistic(z);
      case TANH -> CpuMath.tanhSlope(z);
      case SIGMOID -> {
        double e = CpuMath.exp(-Math.abs(z));
        yield e / ((1 + e) * (1 + e));
      }
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> activation.derivative(z);
    };
  }
}
