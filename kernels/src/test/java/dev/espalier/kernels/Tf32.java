package dev.espalier.kernels;

/// Rounding to TF32.
final class Tf32 {
  private Tf32() {}

  /// To the nearest number with 10 bits of mantissa, ties away from zero.
  static float round(float x) {
    return Float.intBitsToFloat((Float.floatToRawIntBits(x) + 0x1000) & 0xffffe000);
  }

  static float[] round(float[] x) {
    float[] rounded = new float[x.length];
    for (int i = 0; i < x.length; i++) {
      rounded[i] = round(x[i]);
    }
    return rounded;
  }
}
