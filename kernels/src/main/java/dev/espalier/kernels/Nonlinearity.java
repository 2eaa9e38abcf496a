package dev.espalier.kernels;

import java.util.Locale;

/// The elementwise activations that [DenseForwardKernel] has kernels for.
public enum Nonlinearity {
  /// z
  IDENTITY,
  /// max(0, z)
  RELU,
  /// z for z > 0, else 0.01 z
  LEAKY_RELU,
  /// z for z > 0, else eᶻ − 1
  ELU,
  /// z Φ(z), by erf
  GELU,
  /// z / (1 + e⁻ᶻ)
  SILU,
  /// ln(1 + eᶻ)
  SOFTPLUS,
  /// tanh z
  TANH,
  /// 1 / (1 + e⁻ᶻ)
  SIGMOID;

  /// As the kernels' names spell it.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
