package dev.espalier.cli;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.pruning.PruningOptions;
import java.util.Optional;
import picocli.CommandLine.Option;

/// How one pruning scores weights.
final class CriterionOptions extends ScoringChoices {
  @Option(names = "--criterion", paramLabel = "NAME", order = 20,
      description = {
          "What a weight's importance is: ec (elimination-compensation), magnitude, gradient (needs --labels), wanda or"
              + " random (default: ${DEFAULT-VALUE})."})
  Criterion criterion = Criterion.ELIMINATION_COMPENSATION;

  @Option(names = "--compensation", paramLabel = "KIND", order = 21,
      description = {"What makes up for removed weights: bias or none; default: bias for ec, else none."})
  Compensation compensation;

  private Optional<Compensation> compensation() {
    return Optional.ofNullable(compensation);
  }

  PruningOptions.Builder builder(RunOptions run) {
    return builder(criterion, compensation(), run);
  }

  boolean compensates() {
    return compensation().map(c -> c == Compensation.BIAS).orElse(criterion == Criterion.ELIMINATION_COMPENSATION);
  }

  /// Refuses to begin without the data that the choice needs.
  void check(DataOptions data, GlobalOptions global) {
    global.require(data.data != null || !(criterion.needsSamples() || compensates()),
        "--data is missing: criterion %s%s needs calibration samples".formatted(criterion,
            criterion.needsSamples() ? "" : " with --compensation bias"));
    global.require(data.labels != null || !criterion.needsLabels(),
        "--labels is missing: criterion %s needs a loss, and the loss needs labels".formatted(criterion));
    global.require(data.data != null || data.labels == null, "--labels is of no use without --data");
  }
}
