package dev.espalier.engine.backend.cpu;

/// Transcendental functions for float32 results: in double, with relative errors below 10⁻⁹, over the first `count`
/// elements of arrays. C2 vectorises these loops: they have no branches, no bit patterns and no tables, and none does
/// so much that C2 would not unroll it (docs/decisions/0005-java-loops.md).
final class CpuMath {
  private static final double SQRT_HALF = 0.7071067811865476;

  /// Beyond it, powers of e leave double's normal range; float32's range ends long before.
  private static final double LARGEST_EXPONENT = 700;

  /// erfc is below float32's least number here.
  private static final double ERFC_END = 15;

  private static final double HALF_PI = 1.5707963267948966;
  private static final double INVERSE_PI = 0.3183098861837907;

  /// The first 30 bits of π, the next 30, and the rest.
  private static final double PI_HIGH = 3.141592651605606;
  private static final double PI_MIDDLE = 1.9841871583270443e-09;
  private static final double PI_LOW = 1.034036596358821e-18;

  private CpuMath() {}

  /// eˣ = (eʳ)¹⁰²⁴ with r = x / 1024: ten squarings, which make 1000 times as large an error of 10⁻¹⁶.
  static double exp(double x) {
    double r = reduce(x);
    return fourth(fourth(fourth(fourth(fourth(1 + expm1OfSmall(r))))));
  }

  private static double reduce(double x) {
    return Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, x)) * (1.0 / 1024);
  }

  /// eʳ − 1 by its Taylor series, for |r| ≤ 0.1; roughly up to 0.7, where float32 has no eˣ.
  private static double expm1OfSmall(double r) {
    double p = 1 / 720.0 + r / 5040.0;
    p = 1 / 120.0 + r * p;
    p = 1 / 24.0 + r * p;
    p = 1 / 6.0 + r * p;
    p = 0.5 + r * p;
    return r + r * r * p;
  }

  private static double fourth(double x) {
    double square = x * x;
    return square * square;
  }

  /// (1 + e)⁴ − 1
  private static double fourthm1(double e) {
    double square = e * (2 + e);
    return square * (2 + square);
  }

  /// x ← eˣ
  static void exp(double[] x, int count) {
    for (int i = 0; i < count; i++) {
      x[i] = exp(x[i]);
    }
  }

  /// x ← eˣ − 1, accurate near 0 too.
  static void expm1(double[] x, int count) {
    for (int i = 0; i < count; i++) {
      x[i] = fourthm1(fourthm1(fourthm1(fourthm1(fourthm1(expm1OfSmall(reduce(x[i])))))));
    }
  }

  /// x ← sin x, or cos x: x less the nearest multiple kπ, by a Taylor series, with the sign of (−1)ᵏ. π is split so that
  /// kπ is exact up to |x| = 10⁶; beyond, the error is that of rounding x to double, and never more than 2.
  ///
  /// @param shift 0 for sin, 0.5 for cos
  static void sin(double[] x, double shift, int count) {
    for (int i = 0; i < count; i++) {
      double k = Math.rint(x[i] * INVERSE_PI + shift);
      double turns = k - shift;
      double r = x[i] - turns * PI_HIGH - turns * PI_MIDDLE - turns * PI_LOW;
      r = Math.max(-HALF_PI, Math.min(HALF_PI, r));
      double q = r * r;
      double p = -1 / 1307674368000.0 + q * (1 / 355687428096000.0);
      p = 1 / 6227020800.0 + q * p;
      p = -1 / 39916800.0 + q * p;
      p = 1 / 362880.0 + q * p;
      p = -1 / 5040.0 + q * p;
      p = 1 / 120.0 + q * p;
      p = -1 / 6.0 + q * p;
      double parity = k - 2 * Math.rint(0.5 * k); // 0 or ±1
      x[i] = (1 - 2 * Math.abs(parity)) * (r + r * q * p);
    }
  }

  /// ln(1 + y) for y in [0, 1]: 2 artanh(y / (2 + y)) by its series.
  static double log1p(double y) {
    double s = y / (2 + y);
    double q = s * s;
    double p = 1 / 15.0 + q * (1 / 17.0);
    p = 1 / 13.0 + q * p;
    p = 1 / 11.0 + q * p;
    p = 1 / 9.0 + q * p;
    p = 1 / 7.0 + q * p;
    p = 1 / 5.0 + q * p;
    p = 1 / 3.0 + q * p;
    return 2 * s * (1 + q * p);
  }

  /// The normal distribution's tail Φ(−|z|) as `factor` · exp(`exponent`): erfc(x) = t exp(−x² + P(2t − 1)) with t = 2
  /// / (2 + x) and x ≥ 0. P is a Chebyshev fit for x up to [#ERFC_END], off by 3·10⁻¹⁰, converted to powers.
  static void normalTail(float[] z, double[] factor, double[] exponent, int count) {
    for (int i = 0; i < count; i++) {
      double x = Math.min(ERFC_END, Math.abs(z[i]) * SQRT_HALF);
      double u = 4 / (2 + x) - 1;
      double p = 3.920469549981646e-06;
      p = 3.570128936246106e-05 + u * p;
      p = -0.00012395299589496806 + u * p;
      p = -7.681372785033218e-05 + u * p;
      p = 0.0006367728561350924 + u * p;
      p = -0.00014866718759591144 + u * p;
      p = -0.0023324375852762 + u * p;
      p = 0.001758478363200574 + u * p;
      p = 0.00882252672637682 + u * p;
      p = -0.009872541014768355 + u * p;
      p = -0.046895419786729495 + u * p;
      p = 0.047343297170581576 + u * p;
      p = 0.672643219591811 + u * p;
      p = -0.671794083971849 + u * p;
      factor[i] = 0.25 * (u + 1);
      exponent[i] = p - x * x;
    }
  }
}
