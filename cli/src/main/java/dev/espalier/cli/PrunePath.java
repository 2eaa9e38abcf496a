package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Prunes to several sparsities, and writes a model for each: all of them or none.
///
/// @param plans one whose path has them, one after the other, or one for each
record PrunePath(PruneJob job, List<PruningPlan> plans) {
  void run(PruneOutputs output) throws IOException {
    List<PruningResult> results = new ArrayList<>();
    List<Optional<Evaluation>> evaluations = new ArrayList<>();
    for (PruningPlan plan : plans) {
      try (DeviceNetwork device = DeviceNetwork.copyOf(job.backend(), job.network())) {
        if (evaluations.isEmpty()) {
          evaluations.add(job.evaluate(device));
        }
        for (PruningResult result : job.prune(plan, device).results()) {
          device.load(result.network());
          evaluations.add(job.evaluate(device));
          results.add(job.noted(plan, targets().get(results.size()), result, Optional.empty()));
        }
      }
    }
    job.progress().clear();
    if (!output.dryRun) {
      write(output, results);
    }
    Table table = new Table(1,
        columns("sparsity", "kept", "neurons", "after shrink", "measured change", "loss", "accuracy", "model"));
    evaluations.getFirst()
        .ifPresent(dense -> table.row(columns("dense", PLAIN.count(results.getFirst().prunableWeights()),
            neurons(job.network()), PLAIN.count(job.network().weights()), "", PLAIN.value(dense.loss()),
            PLAIN.percent(dense.accuracy()), "")));
    for (int i = 0; i < results.size(); i++) {
      PruningResult result = results.get(i);
      Optional<Evaluation> evaluation = evaluations.get(i + 1);
      table.row(columns(PLAIN.percent(result.sparsity()), PLAIN.count(result.prunableWeights() - result.removed()),
          neurons(result.network()),
          PLAIN.count(Reports.gain(job.file(), result.network(), output.output).shrunkMultiplyAdds()),
          PLAIN.value(result.measuredChange()), evaluation.map(e -> PLAIN.value(e.loss())).orElse(""),
          evaluation.map(e -> PLAIN.percent(e.accuracy())).orElse(""),
          output.dryRun ? "" : PruneOutputs.at(output.output, sparsity(i)).toString()));
    }
    table.lines().forEach(job.global().out()::println);
    job.global().out()
        .println("Kept are weights that are not zero; after shrink, so many multiply-adds take a sample.");
    PathNotes.of(job.selection().sparsities(), results.stream().map(result -> notes(result, output)).toList())
        .forEach(job.global()::note);
    job.global()
        .say(output.dryRun
            ? "dry run: no model written"
            : "%s models%s written".formatted(results.size(), output.mask == null ? "" : " and their masks"));
  }

  private List<Target> targets() {
    return plans.stream().flatMap(plan -> plan.options().path().stream()).toList();
  }

  private List<String> notes(PruningResult result, PruneOutputs output) {
    return output.output == null
        ? result.notes()
        : Stream.concat(result.notes().stream(), job.file().conversions(output.output, result.network()).stream())
            .toList();
  }

  /// Without that of neurons, the third, where weights are removed.
  private String[] columns(String... all) {
    return targets().getLast() instanceof Target.Neurons
        ? all
        : IntStream.range(0, all.length).filter(i -> i != 2).mapToObj(i -> all[i]).toArray(String[]::new);
  }

  /// The hidden neurons that are left, of all.
  private static String neurons(DenseNetwork network) {
    HiddenNeurons all = HiddenNeurons.of(network.graph());
    int count = all.units().size();
    return "%s of %s".formatted(PLAIN.count(count - all.removedFrom(network).units().size()), PLAIN.count(count));
  }

  private void write(PruneOutputs output, List<PruningResult> results) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      for (int i = 0; i < results.size(); i++) {
        output.save(outputs, sparsity(i), job.file(), targets().get(i), results.get(i), results.get(i).network());
      }
      outputs.commit();
    }
  }

  private OptionalDouble sparsity(int i) {
    return OptionalDouble.of(job.selection().sparsities().get(i));
  }
}
