package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.network.Activation;

/// Activations and their derivatives over the first `count` elements of arrays, within [CpuMath]'s errors.
final class CpuActivation {
  private static final double INVERSE_SQRT_2_PI = 0.3989422804014327;

  private static final double GELU_CUBIC = 0.044715;

  /// 2 √(2/π)
  private static final double GELU_FACTOR = 1.5957691216057308;

  /// tanh is 1 in float32 here.
  private static final float TANH_END = 20;

  /// Mish is z from here on, and the approximation of GELU is 0 or z; what they are made of is in double's range.
  private static final float MISH_END = 40;
  private static final float GELU_END = 15;

  private CpuActivation() {}

  /// a = φ(z) of an elementwise activation.
  static void forward(Activation activation, float[] z, float[] a, int count) {
    switch (activation.kind()) {
      case IDENTITY -> System.arraycopy(z, 0, a, 0, count);
      case RELU -> rectify(z, a, count);
      case RELU6 -> clampTo6(z, a, count);
      case LEAKY_RELU -> rectifyLeaky((float) activation.parameter(), z, a, count);
      case HARDSWISH -> hardSwish(z, a, count);
      case HARDSIGMOID -> hardSigmoid(z, a, count);
      case SOFTSIGN -> softSign(z, a, count);
      case ELU, SELU, GELU, GELU_TANH, SILU, MISH, SOFTPLUS, TANH, SIGMOID, SIN -> curve(activation, z, a, count);
      case SOFTMAX, LOG_SOFTMAX -> throw new IllegalArgumentException("%s needs a whole row".formatted(activation));
    }
  }

  // A loop is a method of its own: it is compiled by itself, with nothing around it.

  private static void rectify(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(0, z[i]);
    }
  }

  private static void clampTo6(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(0, Math.min(6, z[i]));
    }
  }

  private static void rectifyLeaky(float slope, float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(0, z[i]) + slope * Math.min(0, z[i]);
    }
  }

  private static void hardSwish(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = z[i] * (Math.max(0, Math.min(6, z[i] + 3)) / 6);
    }
  }

  private static void hardSigmoid(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = Math.max(0, Math.min(6, z[i] + 3)) / 6;
    }
  }

  private static void softSign(float[] z, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = z[i] / (1 + Math.abs(z[i]));
    }
  }

  private static void curve(Activation activation, float[] z, float[] a, int count) {
    double[] x = CpuTile.ofThread().x;
    double[] y = CpuTile.ofThread().y;
    switch (activation.kind()) {
      case ELU -> elu(1, activation.parameter(), z, x, a, count);
      case SELU -> elu(Activation.SELU_SCALE, Activation.SELU_SCALE * Activation.SELU_ALPHA, z, x, a, count);
      case GELU -> {
        CpuMath.normalTail(z, y, x, count);
        CpuMath.exp(x, count);
        gelu(z, y, x, a, count);
      }
      case GELU_TANH -> {
        geluExponent(z, x, count);
        CpuMath.exp(x, count);
        silu(z, x, a, count);
      }
      case SILU -> {
        scale(-1, z, x, count);
        CpuMath.exp(x, count);
        silu(z, x, a, count);
      }
      case MISH -> {
        clamp(Float.NEGATIVE_INFINITY, z, MISH_END, 1, x, count);
        CpuMath.exp(x, count);
        mish(z, x, a, count);
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
      case SIN -> {
        scale(activation.parameter(), z, x, count);
        CpuMath.sin(x, 0, count);
        round(1, x, a, count);
      }
      case IDENTITY, RELU, RELU6, LEAKY_RELU, HARDSWISH, HARDSIGMOID, SOFTSIGN, SOFTMAX, LOG_SOFTMAX ->
        throw new IllegalArgumentException(activation.toString());
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

  /// rise z for z > 0, else fall (eᶻ − 1).
  private static void elu(double rise, double fall, float[] z, double[] x, float[] a, int count) {
    clamp(Float.NEGATIVE_INFINITY, z, 0, 1, x, count);
    CpuMath.expm1(x, count);
    joinElu(rise, fall, z, x, a, count);
  }

  /// @param x exp(min(z, 0)) − 1
  private static void joinElu(double rise, double fall, float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (rise * Math.max(0, z[i]) + fall * x[i]);
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

  /// x = −2u of GELU's approximation ½ z (1 + tanh u) = z / (1 + e⁻²ᵘ).
  private static void geluExponent(float[] z, double[] x, int count) {
    for (int i = 0; i < count; i++) {
      double bounded = Math.max(-GELU_END, Math.min(GELU_END, z[i]));
      x[i] = -GELU_FACTOR * bounded * (1 + GELU_CUBIC * bounded * bounded);
    }
  }

  /// z / (1 + x)
  private static void silu(float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      a[i] = (float) (z[i] / (1 + x[i]));
    }
  }

  /// tanh(ln(1 + x)) = w / (w + 2) with w = x (x + 2).
  ///
  /// @param x eᶻ
  private static void mish(float[] z, double[] x, float[] a, int count) {
    for (int i = 0; i < count; i++) {
      double w = x[i] * (x[i] + 2);
      a[i] = (float) (z[i] * (w / (w + 2)));
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
    switch (activation.kind()) {
      case IDENTITY, RELU, LEAKY_RELU -> steps((float) activation.derivative(-1), z, d, count);
      case RELU6 -> band(0, 6, 1, z, d, count);
      case HARDSIGMOID -> band(-3, 3, 1 / 6f, z, d, count);
      case HARDSWISH -> hardSwishSlope(z, d, count);
      case SOFTSIGN -> softSignSlope(z, d, count);
      case ELU, SELU, GELU, GELU_TANH, SILU, MISH, SOFTPLUS, TANH, SIGMOID, SIN -> curveSlopes(activation, z, d, count);
      case SOFTMAX, LOG_SOFTMAX -> throw new IllegalArgumentException("%s needs a whole row".formatted(activation));
    }
  }

  // A comparison would become a branch, which half the elements mispredict.

  /// d = 1 above 0, else `below`.
  private static void steps(float below, float[] z, float[] d, int count) {
    float rise = 1 - below;
    for (int i = 0; i < count; i++) {
      d[i] = below + rise * Math.signum(Math.max(0, z[i]));
    }
  }

  /// d = `height` between `least` and `largest`, else 0.
  private static void band(float least, float largest, float height, float[] z, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      d[i] = height * (Math.signum(Math.max(0, z[i] - least)) * Math.signum(Math.max(0, largest - z[i])));
    }
  }

  /// z/3 + ½ between −3 and 3, 0 below and 1 above.
  private static void hardSwishSlope(float[] z, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      float inside = Math.signum(Math.max(0, 3 - Math.abs(z[i])));
      float above = Math.signum(Math.max(0, z[i] - 3));
      d[i] = inside * (Math.max(-3, Math.min(3, z[i])) / 3 + 0.5f) + above;
    }
  }

  private static void softSignSlope(float[] z, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      float inverse = 1 / (1 + Math.abs(z[i]));
      d[i] = inverse * inverse;
    }
  }

  private static void curveSlopes(Activation activation, float[] z, float[] d, int count) {
    double[] x = CpuTile.ofThread().x;
    double[] y = CpuTile.ofThread().y;
    switch (activation.kind()) {
      case ELU -> eluSlope(1, activation.parameter(), z, x, d, count);
      case SELU -> eluSlope(Activation.SELU_SCALE, Activation.SELU_SCALE * Activation.SELU_ALPHA, z, x, d, count);
      case GELU -> {
        CpuMath.normalTail(z, y, x, count);
        CpuMath.exp(x, count);
        multiplyAndHalveSquares(z, y, x, count);
        CpuMath.exp(x, count);
        geluSlope(z, y, x, d, count);
      }
      case GELU_TANH -> {
        geluExponent(z, x, count);
        CpuMath.exp(x, count);
        geluTanhSlope(z, x, d, count);
      }
      case SILU -> {
        scale(-1, z, x, count);
        CpuMath.exp(x, count);
        siluSlope(z, x, d, count);
      }
      case MISH -> {
        clamp(Float.NEGATIVE_INFINITY, z, MISH_END, 1, x, count);
        CpuMath.exp(x, count);
        mishSlope(z, x, d, count);
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
      case SIN -> {
        scale(activation.parameter(), z, x, count);
        CpuMath.sin(x, 0.5, count);
        round(activation.parameter(), x, d, count);
      }
      case IDENTITY, RELU, RELU6, LEAKY_RELU, HARDSWISH, HARDSIGMOID, SOFTSIGN, SOFTMAX, LOG_SOFTMAX ->
        throw new IllegalArgumentException(activation.toString());
    }
  }

  /// d = scale x
  private static void round(double scale, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      d[i] = (float) (scale * x[i]);
    }
  }

  /// rise for z > 0, else fall eᶻ.
  private static void eluSlope(double rise, double fall, float[] z, double[] x, float[] d, int count) {
    clamp(Float.NEGATIVE_INFINITY, z, 0, 1, x, count);
    CpuMath.exp(x, count);
    joinEluSlope(rise, fall, z, x, d, count);
  }

  /// @param x exp(min(z, 0))
  private static void joinEluSlope(double rise, double fall, float[] z, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      double above = Math.signum(Math.max(0, z[i]));
      d[i] = (float) (rise * above + fall * (1 - above) * x[i]);
    }
  }

  /// p + z p (1 − p) (2u)′ with p = 1 / (1 + e⁻²ᵘ).
  ///
  /// @param x e⁻²ᵘ
  private static void geluTanhSlope(float[] z, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      double p = 1 / (1 + x[i]);
      double bounded = Math.max(-GELU_END, Math.min(GELU_END, z[i]));
      double rise = GELU_FACTOR * (1 + 3 * GELU_CUBIC * bounded * bounded);
      d[i] = (float) (p * (1 + bounded * rise * (x[i] * p)));
    }
  }

  /// t + z σ(z) (1 − t²) with t = w / (w + 2) and w = x (x + 2).
  ///
  /// @param x eᶻ
  private static void mishSlope(float[] z, double[] x, float[] d, int count) {
    for (int i = 0; i < count; i++) {
      double bounded = Math.min(MISH_END, z[i]);
      double w = x[i] * (x[i] + 2);
      double inverse = 1 / (w + 2);
      d[i] = (float) (w * inverse + 4 * bounded * x[i] * (1 + x[i]) * inverse * inverse);
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

  /// An activation of one row as a whole.
  static void rowForward(Activation activation, float[] z, float[] a, int count) {
    switch (activation.kind()) {
      case SOFTMAX -> softmax(z, a, count);
      case LOG_SOFTMAX -> logSoftmax(z, a, count);
      default -> throw new IllegalArgumentException("%s acts on elements".formatted(activation));
    }
  }

  private static void logSoftmax(float[] z, float[] a, int count) {
    float[] p = new float[count];
    double logSum = softmax(z, p, count);
    for (int k = 0; k < count; k++) {
      a[k] = (float) (z[k] - logSum);
    }
  }

  /// u = Jᵀu for one row of the output of an activation of rows.
  static void rowBackward(Activation activation, float[] a, float[] u, int count) {
    switch (activation.kind()) {
      case SOFTMAX -> softmaxBackward(a, u, count);
      case LOG_SOFTMAX -> {
        double sum = 0;
        for (int k = 0; k < count; k++) {
          sum += u[k];
        }
        for (int k = 0; k < count; k++) {
          u[k] = (float) (u[k] - CpuMath.exp(a[k]) * sum);
        }
      }
      default -> throw new IllegalArgumentException("%s acts on elements".formatted(activation));
    }
  }

  /// u = J u for one row of the logarithm of softmax.
  static void logSoftmaxTangent(float[] a, float[] u, int count) {
    double mean = 0;
    for (int k = 0; k < count; k++) {
      mean += CpuMath.exp(a[k]) * u[k];
    }
    for (int k = 0; k < count; k++) {
      u[k] = (float) (u[k] - mean);
    }
  }

  /// u = p ∘ (u − pᵀu) for one row of softmax's output p.
  private static void softmaxBackward(float[] p, float[] u, int count) {
    double mean = 0;
    for (int k = 0; k < count; k++) {
      mean += (double) p[k] * u[k];
    }
    for (int k = 0; k < count; k++) {
      u[k] = (float) (p[k] * (u[k] - mean));
    }
  }
}
