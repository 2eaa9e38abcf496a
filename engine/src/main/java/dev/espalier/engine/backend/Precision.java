package dev.espalier.engine.backend;

import java.util.Locale;

/// The precision of large products. Sums are at least float32 in all of them.
public enum Precision {
  /// float32 throughout.
  FP32,
  /// On GPUs: products round their factors to TF32, 11 bits of precision instead of 24.
  TF32,
  /// Moments and backward products round their factors to bfloat16, 8 bits of precision instead of 24.
  BF16;

  /// `fp32`, `tf32` or `bf16`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Precision parse(String name) {
    return switch (name) {
      case "fp32" -> FP32;
      case "tf32" -> TF32;
      case "bf16" -> BF16;
      default -> throw new IllegalArgumentException("unknown precision '%s': use fp32, tf32 or bf16".formatted(name));
    };
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
