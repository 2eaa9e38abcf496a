package dev.espalier.cli;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.SampleRange;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.LayerInputs;
import dev.espalier.engine.io.LinearLayers;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.pruning.LayerPruning;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.ReportWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;

/// `prune --layers-from`: prunes layers one by one, each by captured inputs of its own, and holds one at a time.
record PruneLayers(GlobalOptions global, Path model, PruneData data, SelectionOptions selection,
    CriterionOptions scoring, RunOptions run, PruneOutputs output) {
  private static final List<String> OF_NETWORKS = List.of("--data", "--labels", "--label-column", "--scale",
      "--csv-separator", "--csv-decimal", "--csv-header", "--statistics", "--test-data", "--test-labels",
      "--activations", "--layers", "--from", "--max-loss-increase", "--max-accuracy-drop", "--max-output-change",
      "--mask", "--sensitivity", "--loss", "--allow-slow", "--new-bias", "--fine-tune", "--learning-rate", "--verify",
      "--save-mask", "--input-shape", "--checkpoint");

  void prune() throws IOException {
    refuseOthers();
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      LinearLayers layers = LinearLayers.open(model, arena);
      LayerInputs captured = LayerInputs.open(data.layersFrom, layers.names());
      layers.requireFit(captured);
      List<String> given = layers.names().stream().filter(captured.inputs()::containsKey).toList();
      scoring.check(given, global);
      PruningOptions options = options();
      SelectionOptions.check(options, given, global);
      if (!output.dryRun) {
        layers.requireWritable(output.output);
        for (Path part : layers.written(output.output)) {
          OutputOptions.check(global, "--output", part, output.force);
        }
      }
      List<String> chosen = given.stream().filter(name -> !options.excludes(name)).toList();
      PrunedLayers outcome = new PrunedLayers(global, selection);
      outcome.note(layers.notes());
      outcome.note(captured.inputs().values().stream().flatMap(source -> source.notes().stream()).map(SourceNote::text)
          .distinct().toList());
      outcome.noteOthers(layers.names(), given, chosen, captured);
      try (Backend backend = run.open(global)) {
        try (AtomicOutputs outputs = new AtomicOutputs()) {
          if (!output.dryRun) {
            layers.copy(outputs, output.output, output.force);
          }
          for (int i = 0; i < chosen.size(); i++) {
            ProgressListener listener = chosen.size() == 1
                ? progress
                : progress.part("layer %d of %d".formatted(i + 1, chosen.size()), i / (double) chosen.size(),
                    (i + 1.0) / chosen.size());
            try (Arena own = Arena.ofConfined()) {
              DenseLayer layer = layers.layer(chosen.get(i), own);
              LayerPruning pruning = plan(backend, options, layer, captured);
              PruningResult result = pruning.run(listener, own);
              backend.enter(Phase.WRITE);
              if (!output.dryRun) {
                layers.replace(outputs, output.output, result.network().layers().getFirst(),
                    pruning.plan().options().target().sparsity() > 0);
              }
              outcome.add(layer, pruning.plan(), result);
              outcome.note(layers.rounded(result.network().layers().getFirst()));
            }
          }
          progress.clear();
          outcome.noteSums();
          if (output.report != null) {
            ReportWriter.write(outputs, outcome.report(model, output.dryRun, backend), output.report, output.force);
          }
          outputs.commit();
        }
        if (output.report != null) {
          Reports.say(output.report, global);
        }
        outcome.print(output.dryRun);
        global.say(output.dryRun ? "dry run: no model written" : "model: " + output.output);
      }
    }
  }

  /// Refuses what is not of single layers.
  private void refuseOthers() throws IOException {
    for (String option : OF_NETWORKS) {
      global.require(!global.isGiven(option),
          "--layers-from prunes each layer alone, by inputs of its own: leave out %s".formatted(option));
    }
    global.require(output.dryRun || output.output != null,
        "--output is missing: give -o FILE, or --dry-run to write no model");
    global.require(
        !(global.isGiven("--scope") && selection.scope instanceof ScopeOption.Of(Scope among)
            && among instanceof Scope.Global),
        "--scope global compares weights of several layers, and with --layers-from their outputs have no common "
            + "measure: give layer, row or n:m");
    selection.check(global);
    global.require(!selection.isPath(), "--layers-from writes one model: give one value of --sparsity");
    global.require(selection.method != Preset.BEST,
        "--method best trains a network, and --layers-from has its layers alone: give paper or refit");
    global.require(selection.repair(false).steps().stream().allMatch(Repair.Refit.class::isInstance),
        "--repair %s needs the network, and --layers-from has its layers alone: give refit or none"
            .formatted(selection.repair));
    global.require(
        !(scoring.criterion instanceof Criterion.Gradient
            || scoring.criterion instanceof Criterion.NonlinearEliminationCompensation),
        "--criterion %s needs the network, and --layers-from has its layers alone: give ec, magnitude, wanda or random"
            .formatted(scoring.criterion));
    output.check(global, selection, model);
  }

  /// Layers compete with none, so that the default scope is the layer.
  private PruningOptions options() {
    Target target = selection.target();
    if (target instanceof Target.Fraction(double sparsity, Scope among) && among instanceof Scope.Global) {
      target = new Target.Fraction(sparsity, new Scope.PerLayer());
    }
    return scoring.builder(run).preset(selection.method, false).target(target).layerSparsities(selection.own())
        .schedule(selection.schedule()).repair(selection.repair(false)).minPerLayer(selection.minPerLayer)
        .histogramBins(output.report == null ? 0 : PruneCommand.HISTOGRAM_BINS).build();
  }

  private LayerPruning plan(Backend backend, PruningOptions options, DenseLayer layer, LayerInputs captured) {
    return LayerPruning.of(backend, options, layer, limited(captured.inputs().get(layer.name())),
        captured.sensitivities(layer.name()).map(this::limited));
  }

  private SampleSource limited(SampleSource source) {
    return data.maxSamples().isEmpty()
        ? source
        : new SampleRange(source, 0, Math.min(data.maxSamples().getAsLong(), source.samples()));
  }
}
