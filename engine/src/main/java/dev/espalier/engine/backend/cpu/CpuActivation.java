package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.network.Activation;

/// Activations and their derivatives over the first `count` elements of arrays, within [CpuMath]'s errors.
final class CpuActivation {
  private static final float LEAKY_SLOPE = (float) Activation.LEAKY_RELU.derivative(-1);

  private static final double INVERSE_SQRT_2_PI = 0.3989422804014327;

  /// tanh is 1 in float32 here.
  private static final float TANH_END = 20;

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
    double[] x = CpuTile.ofThread().x;
    double[] y = CpuTile.ofThread().y;
    switch (activation) {
      case ELU -> {
        clamp(Float.NEGATIVE_INFINITY, z, 0, 1, x, count);
        CpuMath.expm1(x, count);
        elu(z, x, a, count);
      }
      case GELU -> {
        CpuMath.normalTail(z, y, x, count);
        CpuMath.exp(x, count);
        gelu(z, y, x, a, count);
      }
      case SILU -> {
        scale(-1, z, x, count);
        CpuMath.exp(x, count);
        silu(z, x, a, count);
      }
      case SOFTPLUS -> {
        scaleMagnitude(-1, z, x, count);
        CpuMath.exp(x, count);
        softplus(z, x, a, count);
      }
      case TANH -> {
        clamp(-TANH_END, z, TANH_END, 2, x, count);
        CpuMath.expm1(x, count);
        tanh(x, a, count);
      }
      case SIGMOID -> sigmoid(z, x, a, count);
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> throw new IllegalArgumentException(activation.toString());
    }
  }

  /// x = scale z, with z within `least` and `largest`.
  private static void clamp(float least, float[] z, float largest, double scale, double[] x, int count) {
    for (int i = 0; i < count; i++) {
      x[i] = scale * Math.max(least, Math.min(largest, z[i]));
    }
  }

  /// x = scale z
  private static void scale(double scale, float[] z, double[] x, int count) {
    for (int i = 0; i < count; i++) {
      x[i] = scale * z[i];
    }
  }

  /// x = scale |z|
  private static void scaleMagnitude(double scale, float[] z, double[] x, int count) {
    for (int i = 0; i < count; i++) {
      x[i] = scale * Math.abs(z[i]);
    }
  }

  /// @param x exp(min(z, 0)) − 1
  private static void elu(float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (Math.max(0, z[i]) + x[i]);
    }
  }

  /// z Φ(z) is z less what the tail takes, above 0.
  ///
  /// @param factor of the tail Φ(−|z|)
  /// @param x      the tail's other factor
  private static void gelu(float[] z, double[] factor, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (Math.max(0, z[i]) - Math.abs(z[i]) * (factor[i] * x[i]));
    }
  }

  /// @param x e⁻ᶻ
  private static void silu(float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (z[i] / (1 + x[i]));
    }
  }

  /// @param x exp(−|z|)
  private static void softplus(float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (Math.max(0, z[i]) + CpuMath.log1p(x[i]));
    }
  }

  /// @param x e²ᶻ − 1
  private static void tanh(double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (x[i] / (2 + x[i]));
    }
  }

  private static void sigmoid(float[] z, double[] x, float[] a, int count) {
    scale(-1, z, x, count);
    CpuMath.exp(x, count);
    for (int i = 0; i < count; i++) {
      a[i] = (float) (1 / (1 + x[i]));
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
    double[] x = CpuTile.ofThread().x;
    double[] y = CpuTile.ofThread().y;
    switch (activation) {
      case ELU -> {
        clamp(Float.NEGATIVE_INFINITY, z, 0, 1, x, count);
        CpuMath.exp(x, count);
        round(x, d, count);
      }
      case GELU -> {
        CpuMath.normalTail(z, y, x, count);
        CpuMath.exp(x, count);
        multiplyAndHalveSquares(z, y, x, count);
        CpuMath.exp(x, count);
        geluSlope(z, y, x, d, count);
      }
      case SILU -> {
        scale(-1, z, x, count);
        CpuMath.exp(x, count);
        siluSlope(z, x, d, count);
      }
      case SOFTPLUS -> sigmoid(z, x, d, count);
      case TANH -> {
        scaleMagnitude(-2, z, x, count);
        CpuMath.exp(x, count);
        logisticSlope(4, x, d, count);
      }
      case SIGMOID -> {
        scaleMagnitude(-1, z, x, count);
        CpuMath.exp(x, count);
        logisticSlope(1, x, d, count);
      }
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> throw new IllegalArgumentException(activation.toString());
    }
  }

  private static void round(double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      d[i] = (float) x[i];
    }
  }

  /// y = x ∘ y, then x = −z² / 2.
  private static void multiplyAndHalveSquares(float[] z, double[] y, double[] x, int count) {
    for (int i = 0; i < count; i++) {
      y[i] *= x[i];
      x[i] = -0.5 * z[i] * z[i];
    }
  }

  /// Φ(z) + z φ(z), which is 1 less its value at −z.
  ///
  /// @param tail Φ(−|z|)
  /// @param x    exp(−z² / 2)
  private static void geluSlope(float[] z, double[] tail, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      double below = tail[i] - INVERSE_SQRT_2_PI * Math.abs(z[i]) * x[i];
      double sign = Math.signum(z[i]);
      d[i] = (float) (0.5 * (1 + sign) - sign * below);
    }
  }

  /// p (1 + z (1 − p)) with p = 1 / (1 + e⁻ᶻ).
  ///
  /// @param x e⁻ᶻ
  private static void siluSlope(float[] z, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      double p = 1 / (1 + x[i]);
      d[i] = (float) (p * (1 + z[i] * (x[i] * p)));
    }
  }

  /// d = scale x / (1 + x)², with x = exp(−|z|) the derivative of 1 / (1 + e⁻ᶻ), accurate where that is near 1 too.
  private static void logisticSlope(double scale, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      d[i] = (float) (scale * x[i] / ((1 + x[i]) * (1 + x[i])));
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
}
