package dev.espalier.engine.backend;

/// Transcendental functions for float32 results: in double, by polynomials, with relative errors below 10⁻⁹ and no
/// branch, so that the loops around them keep the processor's pipelines full. [Math] costs several times as much for
/// digits that float32 drops.
final class CpuMath {
  private static final double LOG2_E = 1.4426950408889634;
  private static final double LN_2 = 0.6931471805599453;
  private static final double SQRT_HALF = 0.7071067811865476;
  private static final double INVERSE_SQRT_2_PI = 0.3989422804014327;

  /// Beyond it, powers of two leave double's normal range; float32's range ends long before.
  private static final double LARGEST_EXPONENT = 700;

  /// erfc(x) = t exp(−x² + P(2t − 1)) with t = 2 / (2 + x) and x ≥ 0, highest power of P first: a Chebyshev fit for x up
  /// to [#ERFC_END], off by 3·10⁻¹⁰, converted to powers.
  private static final double[] ERFC = {3.920469549981646e-06, 3.570128936246106e-05, -0.00012395299589496806,
      -7.681372785033218e-05, 0.0006367728561350924, -0.00014866718759591144, -0.0023324375852762,
      0.001758478363200574, 0.00882252672637682, -0.009872541014768355, -0.046895419786729495,
      0.047343297170581576, 0.672643219591811, -0.671794083971849};

  /// erfc is below float32's least number here.
  private static final double ERFC_END = 15;

  private CpuMath() {}

  /// eˣ − 1, accurate near 0 too.
  static double expm1(double x) {
    double limited = Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, x));
    // eˣ = 2ⁿ eʳ with |r| ≤ ln 2 / 2; near 0 n is 0 and nothing cancels.
    double n = Math.rint(limited * LOG2_E);
    double power = Double.longBitsToDouble(((long) n + 1023) << 52);
    return power * expm1OfSmall(limited - n * LN_2) + (power - 1);
  }

  /// eʳ − 1 for |r| ≤ ln 2 / 2 by its Taylor series.
  private static double expm1OfSmall(double r) {
    double p = 1 / 40320.0 + r / 362880.0;
    p = 1 / 5040.0 + r * p;
    p = 1 / 720.0 + r * p;
    p = 1 / 120.0 + r * p;
    p = 1 / 24.0 + r * p;
    p = 1 / 6.0 + r * p;
    p = 0.5 + r * p;
    return r + r * r * p;
  }

  /// eˣ
  static double exp(double x) {
    double limited = Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, x));
    double n = Math.rint(limited * LOG2_E);
    double power = Double.longBitsToDouble(((long) n + 1023) << 52);
    return power * expm1OfSmall(limited - n * LN_2) + power;
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

  /// tanh x
  static double tanh(double x) {
    double e = expm1(-2 * Math.abs(x));
    return Math.copySign(e / (2 + e), x);
  }

  /// 1 − tanh² x = 4e / (1 + e)² with e = exp(−2|x|), accurate where tanh is near 1 too.
  static double tanhSlope(double x) {
    double e = exp(-2 * Math.abs(x));
    return 4 * e / ((1 + e) * (1 + e));
  }

  /// 1 / (1 + e⁻ˣ)
  static double logistic(double x) {
    return 1 / (1 + exp(-x));
  }

  /// ln(1 + eˣ)
  static double softplus(double x) {
    return Math.max(0, x) + log1p(exp(-Math.abs(x)));
  }

  /// Φ(x), the normal distribution function.
  static double normalDistribution(double x) {
    double tail = 0.5 * erfcOfPositive(Math.min(ERFC_END, Math.abs(x) * SQRT_HALF));
    return x < 0 ? tail : 1 - tail;
  }

  /// The normal density.
  static double normalDensity(double x) {
    return INVERSE_SQRT_2_PI * exp(-0.5 * x * x);
  }

  private static double erfcOfPositive(double x) {
    double t = 2 / (2 + x);
    double u = 2 * t - 1;
    double p = 0;
    for (double coefficient : ERFC) {
      p = coefficient + u * p;
    }
    return t * exp(p - x * x);
  }
}
