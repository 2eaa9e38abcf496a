package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/// A pruning with all that it is made from.
///
/// @param calibration samples to prune with
/// @param judges labelled samples to evaluate by
/// @param head the output of several that the labels are of, if that is not all
/// @param checkpoint folder of rounds, if they are kept
/// @param isClassifier whether the outputs are class probabilities or their logits
record PruneJob(GlobalOptions global, Backend backend, ModelFile file, Optional<Dataset> calibration,
    Optional<Dataset> judges, Optional<String> head, Optional<Path> checkpoint, boolean isClassifier,
    SelectionOptions selection, CriterionOptions scoring, RunOptions run, Progress progress, Arena arena) {
  DenseNetwork network() {
    return file.network();
  }

  /// What labels judge: the network, or the part of one output.
  Graph judged() {
    return head.isEmpty() ? network().graph() : network().graph().head(head.get());
  }

  /// Empty without labels.
  Optional<Evaluation> evaluate(DeviceNetwork device) throws IOException {
    return judges.isEmpty()
        ? Optional.empty()
        : Optional.of(Evaluation.of(backend, head.isEmpty() ? device : device.head(head.get()), judges.get(),
            Losses.inForce(scoring.loss, judged(), judges.get()), run.batchSize(backend, network()), progress));
  }

  /// What a run came to.
  ///
  /// @param results at the stops of the path
  /// @param plan with the work of this run alone
  /// @param earlier a sentence about the run that this one has gone on from
  record Run(List<PruningResult> results, PruningPlan plan, Optional<String> earlier) {}

  /// Prunes along the plan's path; goes on where an earlier run has ended, if its rounds were kept.
  Run prune(PruningPlan plan, DeviceNetwork device) throws IOException {
    Optional<Checkpoint> rounds = Optional.empty();
    if (checkpoint.isPresent()) {
      rounds = Optional.of(Checkpoint.open(checkpoint.get(), plan, backend, network(), calibration));
    }
    int done = rounds.map(Checkpoint::rounds).orElse(0);
    Optional<String> earlier = goingOn("round %s of %s".formatted(done, plan.rounds().size()), done);
    return new Run(
        new Pruner(backend, plan.options()).path(plan, network(), device, calibration, rounds, progress, arena),
        plan.withWork(plan.work().map(work -> work.after(done))), earlier);
  }

  /// Says after which round or attempt a run goes on, and what its report says of that.
  ///
  /// @param done rounds or attempts of an earlier run
  Optional<String> goingOn(String last, int done) {
    if (done == 0) {
      return Optional.empty();
    }
    global.note("going on after %s, from %s".formatted(last, checkpoint.orElseThrow()));
    return Optional.of("went on after %s of an earlier run, whose time and work are not counted here".formatted(last));
  }

  /// With notes of what options do about it.
  ///
  /// @param target of the result
  /// @param trained labelled samples that the network was trained or scored with
  PruningResult noted(PruningPlan plan, Target target, PruningResult result, Optional<Dataset> trained)
      throws IOException {
    List<String> notes = new ArrayList<>(result.notes());
    if (selection.method != Preset.PAPER) {
      String kind = isClassifier
          ? " (for a classifier; the entropy of its outputs sets the temperature)"
          : network().outputs() == 1 || !network().graph().heads().isEmpty()
              ? " (for a regression)"
              : " (for a regression; --loss cross-entropy makes it one for a classifier)";
      notes.add("method %s: schedule %s, repair %s%s".formatted(selection.method, plan.options().schedule(),
          plan.repair(), selection.method == Preset.BEST ? kind : ""));
    }
    ScoringChoices.uncompensated(plan)
        .ifPresent(note -> notes.replaceAll(fact -> fact.equals(plan.uncompensated().orElseThrow()) ? note : fact));
    if (target instanceof Target.Fraction fraction) {
      long asked = plan.removedAt(fraction);
      String sparsity = PLAIN.exactPercent(fraction.sparsity());
      if (!selection.own().isEmpty()) {
        notes.add("sparsity %s, and %s: %s of all prunable weights asked for".formatted(sparsity,
            selection.own().stream().map(LayerSparsity::toString).collect(Collectors.joining(", ")),
            PLAIN.percent((double) asked / result.prunableWeights())));
        sparsity = PLAIN.percent((double) asked / result.prunableWeights());
      }
      long missing = asked - result.removed();
      if (missing > 0) {
        notes.add("%s short of a sparsity of %s, because of --min-per-layer %s"
            .formatted(PLAIN.counted(missing, "weight"), sparsity, PLAIN.count(selection.minPerLayer)));
      } else if (missing < 0) {
        notes.add("%s more than a sparsity of %s asks for: zero before the pruning"
            .formatted(PLAIN.counted(-missing, "weight"), sparsity));
      }
    }
    if (target instanceof Target.Neurons) {
      notes.add("the weights of removed neurons are zero in the file: espalier shrink leaves them out, exactly");
    }
    if (target instanceof Target.Mask mask && result.removed() > mask.removed()) {
      notes.add("%s more than the mask removes: zero before the pruning"
          .formatted(PLAIN.counted(result.removed() - mask.removed(), "weight")));
    }
    if (judges.isPresent()) {
      Losses.note(scoring.loss, judged(), judges.get()).ifPresent(notes::add);
    }
    head.ifPresent(output -> notes.add("loss and accuracy are of output %s alone".formatted(output)));
    if (trained.isPresent()) {
      Losses.note(scoring.loss, network().graph(), trained.get()).filter(note -> !notes.contains(note))
          .ifPresent(notes::add);
    }
    return result.withNotes(notes);
  }
}
