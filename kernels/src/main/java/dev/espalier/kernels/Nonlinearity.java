package dev.espalier.kernels;

import java.util.Locale;

/// The elementwise activations that [DenseForwardKernel] has kernels for.
///
/// @param parameter p, where the kind has one
public record Nonlinearity(Kind kind, float parameter) {
  /// The functions.
  public enum Kind {
    /// z
    IDENTITY,
    /// max(0, z)
    RELU,
    /// min(max(0, z), 6)
    RELU6,
    /// z for z > 0, else p z
    LEAKY_RELU,
    /// z for z > 0, else p (eᶻ − 1)
    ELU,
    /// 1.0507 times the ELU of p = 1.6733
    SELU,
    /// z Φ(z), by erf
    GELU,
    /// ½ z (1 + tanh(√(2/π) (z + 0.044715 z³)))
    GELU_TANH,
    /// z / (1 + e⁻ᶻ)
    SILU,
    /// z tanh(ln(1 + eᶻ))
    MISH,
    /// z min(max(0, z + 3), 6) / 6
    HARDSWISH,
    /// min(max(0, z + 3), 6) / 6
    HARDSIGMOID,
    /// ln(1 + eᶻ)
    SOFTPLUS,
    /// z / (1 + |z|)
    SOFTSIGN,
    /// tanh z
    TANH,
    /// 1 / (1 + e⁻ᶻ)
    SIGMOID,
    /// sin(p z)
    SIN
  }

  public static final Nonlinearity RELU = new Nonlinearity(Kind.RELU, 0);
  public static final Nonlinearity GELU = new Nonlinearity(Kind.GELU, 0);

  /// The kind, as the kernels' names spell it.
  @Override
  public String toString() {
    return kind.name().toLowerCase(Locale.ROOT);
  }
}
