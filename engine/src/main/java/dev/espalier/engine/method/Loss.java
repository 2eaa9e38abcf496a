package dev.espalier.engine.method;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.Architecture;

/// What a network's output is compared with its labels by; the mean over samples.
public enum Loss {
  /// The mean over outputs of (y − t)².
  MSE("mse"),
  /// −Σₖ tₖ ln pₖ, with p the softmax of the last pre-activation.
  CROSS_ENTROPY("cross-entropy");

  private final String text;

  Loss(String text) {
    this.text = text;
  }

  /// `mse` or `cross-entropy`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Loss parse(String name) {
    for (Loss loss : values()) {
      if (loss.text.equals(name)) {
        return loss;
      }
    }
    throw new IllegalArgumentException("unknown loss '%s': use mse or cross-entropy".formatted(name));
  }

  /// Cross-entropy for class indices and a last activation that allows it, else the squared error.
  public static Loss defaultFor(Architecture network, SampleSource labels) {
    boolean classes = labels.width() == 1 && network.outputs() > 1;
    return classes && givesClasses(network) ? CROSS_ENTROPY : MSE;
  }

  /// @throws IllegalArgumentException if this loss is cross-entropy and the last activation neither identity
  ///                                  nor softmax
  public void requireFits(Architecture network) {
    if (this == CROSS_ENTROPY && !givesClasses(network)) {
      throw new IllegalArgumentException(
          "cross-entropy needs identity or softmax as the last activation, not %s: use mse"
              .formatted(network.layers().getLast().activation()));
    }
  }

  private static boolean givesClasses(Architecture network) {
    return switch (network.layers().getLast().activation()) {
      case IDENTITY, SOFTMAX -> true;
      case RELU, LEAKY_RELU, ELU, GELU, SILU, SOFTPLUS, TANH, SIGMOID -> false;
    };
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return text;
  }
}
