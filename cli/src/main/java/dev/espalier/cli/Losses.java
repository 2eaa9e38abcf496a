package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LabelRows;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.util.List;
import java.util.Optional;

/// The loss in force: what `--loss` names, else the default for the network and its labels.
final class Losses {
  private Losses() {}

  /// Refuses labels of one of several outputs, which `--head` is for.
  static void requireAll(Graph network, Dataset data, GlobalOptions global) {
    int width = data.labels().orElseThrow().width();
    List<String> fitting = network.heads().stream().filter(head -> width == 1 || head.width() == width)
        .map(Graph.Head::name).toList();
    global.require(network.heads().isEmpty() || width == network.outputs() || fitting.isEmpty(),
        "the labels have %s, and the outputs %s together %d: give --head %s for labels of one output".formatted(
            PLAIN.counted(width, "column"), network.headsText(), network.outputs(), String.join(" or ", fitting)));
  }

  /// @param asked may be null
  static Loss inForce(Loss asked, Graph network, Dataset data) throws IOException {
    return Loss.inForce(Optional.ofNullable(asked), network, data.labels().orElseThrow());
  }

  /// Tells the loss where it is not the one that was asked for, and why.
  ///
  /// @param asked may be null
  static Optional<String> note(Loss asked, Graph network, Dataset data) throws IOException {
    SampleSource labels = data.labels().orElseThrow();
    Loss loss = inForce(asked, network, data);
    if (!network.heads().isEmpty()) {
      return Optional.of("loss: %s over all outputs, %s: the mean over their numbers, each of which counts the same"
          .formatted(loss, network.headsText()));
    } else if (loss.equals(asked)) {
      return Optional.empty();
    } else if (asked != null) {
      return Optional.of(
          "loss: %s, which is the %s of %s".formatted(loss, asked, network.outputs() == 1 ? "one output" : "sigmoids"));
    } else if (labels.width() == 1 && network.outputs() > 1) {
      return Optional.of("loss: %s (default for class indices and %s)".formatted(loss, network.lastActivation()));
    }
    LabelRows rows = LabelRows.of(labels);
    Activation last = network.lastActivation();
    String kind = switch (rows) {
      case ONE_HOT -> "one-hot labels and " + last;
      case BINARY -> "labels of 0 and 1 and " + last;
      case PROBABILITIES -> "label columns that add up to 1";
      case VALUES -> Nouns.counted(labels.width(), "label column");
    };
    boolean squared = loss instanceof Loss.SquaredError;
    boolean gives = network.givesClasses();
    String other = "";
    if (squared && gives && rows == LabelRows.PROBABILITIES) {
      other = "; for class probabilities, give --loss cross-entropy";
    } else if (squared && last.equals(Activation.IDENTITY) && rows == LabelRows.BINARY) {
      other = "; for classes, give --loss binary-cross-entropy";
    }
    return Optional.of("loss: %s (default for %s)%s".formatted(loss, kind, other));
  }
}
