package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.Curve;
import dev.espalier.engine.report.Gain;
import dev.espalier.engine.report.GraphReport;
import dev.espalier.engine.report.PredictedTime;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What became of a pruning to one sparsity.
///
/// @param plan with the target that was reached
/// @param last the network at the end, which may have been trained since
/// @param dense evaluation of the network before pruning; absent without labels, as the others
/// @param pruned after it
/// @param fineTuned after the training at the end
/// @param search the networks of a search, if there was one
/// @param earlier a sentence about the run that this one has gone on from
record PruneOutcome(PruningPlan plan, PruningResult result, DenseNetwork last, Optional<Evaluation> dense,
    Optional<Evaluation> pruned, Optional<Evaluation> fineTuned, Optional<Curve> search, Optional<String> earlier) {
  private static final double MILLI = 1e3;

  private Optional<Evaluation> now() {
    return fineTuned.or(() -> pruned);
  }

  /// @param model its file
  /// @param inputShape of the picture that a sample is
  /// @param gain of the network at the end
  /// @param notes all that there are
  Report.Builder report(PruneJob job, Path model, boolean dryRun, Optional<Values.Shape> inputShape, Gain gain,
      List<String> notes) {
    DenseNetwork network = job.network();
    Map<String, Object> inForce = new LinkedHashMap<>(job.global().inForce());
    inForce.putAll(plan.inForce());
    inForce.put("method", job.selection().method);
    inForce.putIfAbsent("sparsity", plan.options().target().sparsity());
    now().ifPresent(evaluation -> inForce.put("loss", evaluation.lossName()));
    inForce.put("backend", job.backend().description());
    Report.Builder report = Reports.begin("prune").summary(summary(model, dryRun))
        .model(network.weights(), result.network().zeros()).gain(gain).graph(GraphReport.of(network.graph()))
        .layers(Reports.layers(network, result, inputShape)).comparison(search.stream().toList())
        .timings(Reports.timings(job.backend())).notes(notes).options(inForce);
    plan.work().ifPresent(work -> report.work(work.parts()));
    result.measuredChange().ifPresent(report::outputChange);
    dense.ifPresent(evaluation -> Reports.dense(report, evaluation));
    now().ifPresent(evaluation -> Reports.now(report, evaluation));
    return report;
  }

  private String summary(Path model, boolean dryRun) {
    return "%s of %s: %s of %s removed (%s), criterion %s, compensation %s, schedule %s, repair %s.".formatted(
        dryRun ? "Trial pruning" : "Pruning", model.getFileName(), PLAIN.count(result.removed()),
        PLAIN.counted(result.prunableWeights(), "weight"), PLAIN.percent(result.sparsity()), plan.scoring().criterion(),
        plan.scoring().compensation(), plan.options().schedule(), plan.repair());
  }

  /// @param gain of the network at the end
  /// @param predicted times of it
  /// @param judges what the evaluations are on
  void print(GlobalOptions global, DenseNetwork network, Gain gain, List<PredictedTime> predicted, String judges) {
    Table layers = new Table(3, "layer", "shape", "activation", "neurons", "kept", "removed", "sparsity",
        "predicted change", "measured change");
    Optional<HiddenNeurons> gone = plan.options().target() instanceof Target.Neurons
        ? Optional.of(HiddenNeurons.of(last.graph()).removedFrom(last))
        : Optional.empty();
    for (int l = 0; l < result.layers().size(); l++) {
      int number = l;
      DenseLayer layer = network.layers().get(l);
      LayerResult done = result.layers().get(l);
      layers.row(layer.name() + (done.excluded() ? " (excluded)" : ""), PLAIN.shape(layer.outputs(), layer.inputs()),
          layer.activation().toString(),
          gone.map(neurons -> PLAIN.count(layer.outputs() - neurons.of(number))).orElse(""), PLAIN.count(done.kept()),
          PLAIN.count(done.removed()), PLAIN.percent(done.sparsity()), PLAIN.value(done.predictedChange()),
          PLAIN.value(done.measuredChange()));
    }
    layers.rule();
    layers.row("total", "", "", "", PLAIN.count(result.prunableWeights() - result.removed()),
        PLAIN.count(result.removed()), PLAIN.percent(result.sparsity()), "", PLAIN.value(result.measuredChange()));
    layers.lines().forEach(global.out()::println);
    if (result.measuredChange().isPresent()) {
      global.out().println("Changes are mean squared changes of the network's output on the calibration samples.");
    }
    global.out()
        .println("bytes of weights: %s dense, %s".formatted(PLAIN.count(gain.denseBytes()),
            gain.sparseBytes() < gain.denseBytes()
                ? "%s by convert --sparse %s".formatted(PLAIN.count(gain.sparseBytes()), gain.sparseForm())
                : "and no sparse form is smaller"));
    global.out()
        .println("multiply-adds per sample: %s, %s without zeros, %s after shrink".formatted(
            PLAIN.count(gain.multiplyAdds()), PLAIN.count(gain.nonzeroMultiplyAdds()),
            PLAIN.count(gain.shrunkMultiplyAdds())));
    predicted.forEach(time -> global.out()
        .println("predicted time of a batch of %s: %s ms dense, %s".formatted(PLAIN.count(time.batch()),
            PLAIN.value(MILLI * time.dense()),
            time.sparse().isPresent()
                ? "%s ms as csr (by what was measured with evenly spread zeros)"
                    .formatted(PLAIN.value(MILLI * time.sparse().getAsDouble()))
                : "and csr was not measured at %s zeros".formatted(PLAIN.percent(last.sparsity())))));
    dense.ifPresent(before -> {
      global.out().println();
      Table table = new Table(1, "on " + judges, before.lossName().toString(), "accuracy");
      row(table, "dense", before);
      pruned.ifPresent(evaluation -> row(table, "pruned", evaluation));
      fineTuned.ifPresent(evaluation -> row(table, "fine-tuned", evaluation));
      table.lines().forEach(global.out()::println);
    });
  }

  private static void row(Table table, String name, Evaluation evaluation) {
    table.row(name, PLAIN.value(evaluation.loss()), PLAIN.percent(evaluation.accuracy()));
  }
}
