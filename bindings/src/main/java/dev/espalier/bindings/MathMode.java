package dev.espalier.bindings;

/// How a matrix product rounds its factors. Sums are float32 in any case.
public enum MathMode {
  /// Not at all.
  FP32,
  /// To TF32: 11 significant bits.
  TF32,
  /// To bfloat16: 8 significant bits; or to TF32 where the library or kernel has no bfloat16.
  BF16
}
