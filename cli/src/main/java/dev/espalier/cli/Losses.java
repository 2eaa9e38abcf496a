package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.util.Optional;

/// The loss in force: what `--loss` names, else the default for the network and its labels.
final class Losses {
  private Losses() {}

  /// @param asked may be null
  static Loss inForce(Loss asked, Graph network, Dataset data) {
    return asked == null ? Loss.defaultFor(network, data.labels().orElseThrow()) : asked;
  }

  /// Says that the default takes rows of labels for values, which class probabilities, such as one-hot rows, are too.
  ///
  /// @param asked may be null
  static Optional<String> note(Loss asked, Graph network, Dataset data) {
    SampleSource labels = data.labels().orElseThrow();
    Activation last = network.lastActivation();
    boolean probabilities = labels.width() > 1 && (last == Activation.IDENTITY || last == Activation.SOFTMAX);
    return asked == null && probabilities
        ? Optional.of("loss: %s (default for %d label columns); for class probabilities, give --loss cross-entropy"
            .formatted(Loss.defaultFor(network, labels), labels.width()))
        : Optional.empty();
  }
}
