package dev.espalier.engine.method;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;

/// A loss: the mean over samples of the distance between a network's output and its labels.
public sealed interface Loss {
  /// The mean over outputs of (y − t)².
  record SquaredError() implements Loss {
    @Override
    public String toString() {
      return "mse";
    }
  }

  /// −Σₖ tₖ ln pₖ, with p the softmax of the last pre-activation.
  record CrossEntropy() implements Loss {
    @Override
    public void requireFits(Graph network) {
      if (network.outputs() == 1) {
        throw new MismatchException("cross-entropy needs two outputs or more, the softmax of one is always 1: use mse");
      }
      if (!givesClasses(network)) {
        throw new MismatchException("cross-entropy needs identity or softmax as the last activation, not %s: use mse"
            .formatted(network.lastActivation()));
      }
    }

    @Override
    public String toString() {
      return "cross-entropy";
    }
  }

  /// Refuses a network that the loss is not defined for.
  ///
  /// @throws MismatchException if it is cross-entropy, and the network has one output or its last activation is neither
  ///                           identity nor softmax
  default void requireFits(Graph network) {
    // Most losses fit every network.
  }

  /// Cross-entropy for class indices and a last activation that allows it, else the squared error.
  static Loss defaultFor(Graph network, SampleSource labels) {
    boolean classes = labels.width() == 1 && network.outputs() > 1;
    return classes && givesClasses(network) ? new CrossEntropy() : new SquaredError();
  }

  private static boolean givesClasses(Graph network) {
    return network.lastActivation() == Activation.IDENTITY || network.lastActivation() == Activation.SOFTMAX;
  }

  /// `mse` or `cross-entropy`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Loss parse(String text) {
    return switch (text) {
      case "mse" -> new SquaredError();
      case "cross-entropy" -> new CrossEntropy();
      default -> throw new IllegalArgumentException("unknown loss '%s': use mse or cross-entropy".formatted(text));
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
