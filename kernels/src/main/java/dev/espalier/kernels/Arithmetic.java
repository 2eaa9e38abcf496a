package dev.espalier.kernels;

/// How a product rounds its factors. Sums are float32 in any case.
public enum Arithmetic {
  /// To float32.
  FP32,
  /// To TF32, to nearest: 10 bits of mantissa.
  TF32
}
