package dev.espalier.engine.method;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.LabelEncoder;
import dev.espalier.engine.data.LabelRows;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.util.Optional;

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
    public LabelRows rows() {
      return LabelRows.PROBABILITIES;
    }

    @Override
    public void requireFits(Graph network) {
      network.requireOneOutput(this, "mse");
      if (network.outputs() == 1) {
        throw new MismatchException("cross-entropy needs two outputs or more, the softmax of one is always 1: %s"
            .formatted("use binary-cross-entropy, or mse"));
      }
      if (!network.givesClasses()) {
        throw new MismatchException("cross-entropy needs identity or softmax as the last activation, not %s: use mse"
            .formatted(network.lastActivation()));
      }
    }

    @Override
    public String toString() {
      return "cross-entropy";
    }
  }

  /// The mean over outputs of −t ln p − (1 − t) ln(1 − p), with p the sigmoid of the last pre-activation and labels t of
  /// 0 and 1: a class and its opposite for one output, several labels at once for several.
  record BinaryCrossEntropy() implements Loss {
    @Override
    public LabelRows rows() {
      return LabelRows.BINARY;
    }

    @Override
    public void requireFits(Graph network) {
      network.requireOneOutput(this, "mse");
      if (!network.lastActivation().equals(Activation.IDENTITY)
          && !network.lastActivation().equals(Activation.SIGMOID)) {
        throw new MismatchException(
            "binary-cross-entropy needs identity or sigmoid as the last activation, not %s: use mse"
                .formatted(network.lastActivation()));
      }
    }

    @Override
    public String toString() {
      return "binary-cross-entropy";
    }
  }

  /// What makes target rows of the labels of a network.
  ///
  /// @throws MismatchException if the labels have another width, or are of one of several outputs
  default LabelEncoder encoder(Graph network, SampleSource labels) {
    if (!network.heads().isEmpty() && labels.width() != network.outputs()) {
      throw new MismatchException(
          "%s has %s, and the network several outputs, %s: give targets for all their %d numbers%s".formatted(
              labels.name(), Nouns.counted(labels.width(), "column"), network.headsText(), network.outputs(),
              ", or prune without labels and evaluate one output"));
    }
    return new LabelEncoder(labels, network.outputs(), rows());
  }

  /// What target rows must be.
  default LabelRows rows() {
    return LabelRows.VALUES;
  }

  /// Refuses a network that the loss is not defined for.
  ///
  /// @throws MismatchException if it is a cross-entropy, and the network has one output or its last activation gives no
  ///                           such probabilities
  default void requireFits(Graph network) {
    // Most losses fit every network.
  }

  /// The loss that `asked` means for a network: cross-entropy is binary for one output, and for sigmoids.
  static Loss inForce(Optional<Loss> asked, Graph network, SampleSource labels) throws IOException {
    if (asked.isEmpty()) {
      return defaultFor(network, labels);
    }
    boolean binary = network.lastActivation().equals(Activation.SIGMOID)
        || (network.outputs() == 1 && network.lastActivation().equals(Activation.IDENTITY));
    return binary && asked.get() instanceof CrossEntropy ? new BinaryCrossEntropy() : asked.get();
  }

  /// Cross-entropy for class indices and one-hot rows and a last activation that allows it, binary cross-entropy for
  /// sigmoids and labels of 0 and 1, else the squared error. Rows of labels are read to find out what they are.
  ///
  /// @throws IOException if that fails
  static Loss defaultFor(Graph network, SampleSource labels) throws IOException {
    boolean sigmoid = network.lastActivation().equals(Activation.SIGMOID);
    if (labels.width() == 1 && network.outputs() > 1) {
      return network.givesClasses() ? new CrossEntropy() : new SquaredError();
    } else if (labels.width() != network.outputs() || !(sigmoid || network.givesClasses())) {
      return new SquaredError();
    }
    return switch (LabelRows.of(labels)) {
      case ONE_HOT -> sigmoid ? new BinaryCrossEntropy() : new CrossEntropy();
      case BINARY -> sigmoid ? new BinaryCrossEntropy() : new SquaredError();
      case PROBABILITIES, VALUES -> new SquaredError();
    };
  }

  /// `mse`, `cross-entropy` or `binary-cross-entropy`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Loss parse(String text) {
    return switch (text) {
      case "mse" -> new SquaredError();
      case "cross-entropy" -> new CrossEntropy();
      case "binary-cross-entropy" -> new BinaryCrossEntropy();
      default -> throw new IllegalArgumentException(
          "unknown loss '%s': use mse, cross-entropy or binary-cross-entropy".formatted(text));
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
