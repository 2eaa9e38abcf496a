package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.SparsitySearch;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.Curve;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Prunes to the highest sparsity that holds limits on held-out samples.
///
/// @param heldOut labelled where the limits need it
record PruneSearch(PruneJob job, Limits limits, Dataset heldOut) {
  PruneOutcome run(PruningOptions options) throws IOException {
    Optional<Loss> loss = heldOut.labels().isEmpty()
        ? Optional.empty()
        : Optional.of(Losses.inForce(job.scoring().loss, job.judged(), heldOut));
    SparsitySearch searching = new SparsitySearch(job.backend(), job.network(), job.calibration(), heldOut, loss,
        job.head(), job.run().batchSize(job.backend(), job.network()), job.progress());
    Optional<Checkpoint> checkpoint = Optional.empty();
    if (job.checkpoint().isPresent()) {
      checkpoint = Optional.of(searching.checkpoint(job.checkpoint().get(), options, limits));
    }
    int done = checkpoint.map(Checkpoint::rounds).orElse(0);
    Optional<String> earlier = job.goingOn("attempt %s of the search".formatted(done), done);
    SparsitySearch.Result search = searching.run(options, limits, checkpoint, job.arena());
    job.progress().clear();
    print(search);
    SparsitySearch.Step found = search.found().orElseThrow(() -> new MismatchException(missing(search)));
    PruningOptions reached = options.withTarget(target(options, found.sparsity()));
    PruningPlan plan = PruningPlan.of(reached, job.network(), job.calibration(), job.backend()).withWork(search.work());
    PruningResult result = job.noted(plan, reached.target(), search.pruned().orElseThrow(), Optional.empty());
    List<String> notes = new ArrayList<>(result.notes());
    notes.add("%s is the highest sparsity found that holds the limit (%s) on %s"
        .formatted(PLAIN.found(found.sparsity()), limits, heldOut.samples().name()));
    return new PruneOutcome(plan, result.withNotes(notes), result.network(), search.dense().evaluation(),
        found.judged().evaluation(), Optional.empty(), Optional.of(curve(search)), earlier);
  }

  private static Target target(PruningOptions options, double sparsity) {
    return options.target() instanceof Target.Fraction(double _, Scope scope)
        ? new Target.Fraction(sparsity, scope)
        : options.target();
  }

  private String missing(SparsitySearch.Result search) {
    if (search.steps().isEmpty()) {
      return "no weight can be removed: every layer keeps %s at least".formatted(job.selection().minPerLayer);
    }
    SparsitySearch.Step least = search.steps().getFirst();
    return "no sparsity holds the limit (%s): with %s removed, %s, and %s before; allow more, or use another method"
        .formatted(limits, PLAIN.found(least.sparsity()), figures(least.judged()), figures(search.dense()));
  }

  private static String figures(EvaluationPass.Result judged) {
    return judged.evaluation()
        .map(e -> "the loss is %s%s, ".formatted(PLAIN.value(e.loss()),
            e.accuracy().isPresent() ? ", the accuracy " + PLAIN.percent(e.accuracy()) : ""))
        .orElse("") + "the output change " + PLAIN.value(judged.outputChange());
  }

  private void print(SparsitySearch.Result search) {
    Table table = new Table(1, "sparsity", "loss", "accuracy", "output change", "");
    row(table, "dense", search.dense(), "");
    for (SparsitySearch.Step step : search.steps()) {
      boolean isFound = search.found().filter(step::equals).isPresent();
      row(table, PLAIN.found(step.sparsity()), step.judged(),
          isFound ? "found" : step.holds() ? "holds" : "beyond the limit");
    }
    table.lines().forEach(job.global().out()::println);
    job.global().out().println();
  }

  private static void row(Table table, String name, EvaluationPass.Result judged, String verdict) {
    Optional<Evaluation> evaluation = judged.evaluation();
    table.row(name, evaluation.map(e -> PLAIN.value(e.loss())).orElse(""),
        evaluation.map(e -> PLAIN.percent(e.accuracy())).orElse(""), PLAIN.value(judged.outputChange()), verdict);
  }

  private Curve curve(SparsitySearch.Result search) {
    return new Curve(job.selection().method.toString(),
        search.steps().stream().map(step -> Reports.point(step.sparsity(), step.judged())).toList());
  }
}
