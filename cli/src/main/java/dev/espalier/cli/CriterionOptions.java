package dev.espalier.cli;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.pruning.PruningOptions;
import java.util.Optional;
import picocli.CommandLine.Option;

/// How one pruning scores weights.
final class CriterionOptions extends ScoringChoices {
  @Option(names = "--criterion", paramLabel = "NAME", order = 20)
  Criterion criterion = new Criterion.EliminationCompensation();

  @Option(names = "--compensation", paramLabel = "KIND", order = 21)
  Compensation compensation;

  PruningOptions.Builder builder(RunOptions run) {
    return builder(criterion, Optional.ofNullable(compensation), run);
  }

  /// What the choice must know of the samples.
  Needs needs() {
    return criterion.needs().and(inForce().needs());
  }

  /// Whether it is the elimination and compensation of the paper.
  boolean compensates() {
    return criterion instanceof Criterion.EliminationCompensation && inForce() instanceof Compensation.Bias;
  }

  private Compensation inForce() {
    return compensation == null ? criterion.defaultCompensation() : compensation;
  }

  /// Refuses to begin without the data that the choice needs, and with a choice that has no effect.
  void check(DataOptions data, GlobalOptions global) {
    data.check(global);
    global.require(data.data != null || !needs().samples(),
        "--data is missing: criterion %s%s needs calibration samples".formatted(criterion,
            criterion.needs().samples() ? "" : " with --compensation " + inForce()));
    global.require(data.hasLabels() || !needs().labels(),
        "--labels is missing: criterion %s needs a loss, and the loss needs labels".formatted(criterion));
    global.require(sensitivity == null || needs().sensitivities(),
        "--sensitivity %s has no effect: criterion %s with compensation %s needs none; leave it out"
            .formatted(sensitivity, criterion, inForce()));
  }
}
