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
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.ReportWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/// `prune --layers-from`: prunes layers one by one, each by captured inputs of its own, and holds one at a time.
record PruneLayers(GlobalOptions global, Path model, PruneData data, SelectionOptions selection,
    CriterionOptions scoring, RunOptions run, PruneOutputs output) {
  private static final List<String> OF_NETWORKS = List.of("--data", "--labels", "--label-column", "--head", "--scale",
      "--csv-separator", "--csv-decimal", "--csv-header", "--statistics", "--test-data", "--test-labels",
      "--activations", "--layers", "--from", "--max-loss-increase", "--max-accuracy-drop", "--max-output-change",
      "--mask", "--sensitivity", "--loss", "--allow-slow", "--fine-tune", "--learning-rate", "--input-shape", "--times",
      "--checkpoint", "--augment");

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
      requireWritable(layers);
      List<String> chosen = given.stream().filter(name -> !options.excludes(name)).toList();
      List<PrunedLayers> outcomes = networks().stream().map(_ -> new PrunedLayers(global, selection)).toList();
      for (PrunedLayers outcome : outcomes) {
        outcome.note(layers.notes());
        outcome.note(captured.inputs().values().stream().flatMap(source -> source.notes().stream())
            .map(SourceNote::text).distinct().toList());
        outcome.noteOthers(layers.names(), given, chosen, captured);
      }
      List<Verification> verifications = new ArrayList<>();
      try (Backend backend = run.open(global); AtomicOutputs outputs = new AtomicOutputs()) {
        List<Files> files = output.dryRun ? List.of() : files(layers, chosen, outputs, arena);
        for (int i = 0; i < chosen.size(); i++) {
          ProgressListener listener = chosen.size() == 1
              ? progress
              : progress.part("layer %d of %d".formatted(i + 1, chosen.size()), i / (double) chosen.size(),
                  (i + 1.0) / chosen.size());
          try (Arena own = Arena.ofConfined()) {
            DenseLayer layer = layers.layer(chosen.get(i), own);
            LayerPruning pruning = plan(backend, options, layer, captured);
            List<PruningResult> results = pruning.path(listener, own);
            backend.enter(Phase.WRITE);
            for (int n = 0; n < outcomes.size(); n++) {
              PruningResult result = results.get(Math.min(n, results.size() - 1)); // one of its own sparsity
              DenseLayer pruned = result.network().layers().getFirst();
              if (!output.dryRun) {
                files.get(n).put(pruned, pruning.plan().options().path().get(Math.min(n, results.size() - 1)));
              }
              outcomes.get(n).add(layer, pruning.plan(), result, n);
              outcomes.get(n).note(layers.rounded(pruned));
            }
            if (run.isVerifying() && List.of(0, chosen.size() / 2, chosen.size() - 1).contains(i)) {
              verifications.add(pruning.verify());
            }
          }
        }
        progress.clear();
        outcomes.forEach(PrunedLayers::noteSums);
        Optional<Verification> verification = joined(verifications);
        if (output.report != null) {
          ReportWriter.write(outputs, outcomes.getFirst().report(model, output.dryRun, backend, verification),
              output.report, output.force);
        }
        outputs.commit();
        tell(outcomes);
        verification.ifPresent(it -> VerifyOptions.print(global, it));
      }
    }
  }

  /// The files of a sparsity.
  private record Files(LinearLayers.Copy model, Optional<LinearLayers.Masks> masks) {
    void put(DenseLayer pruned, Target target) throws IOException {
      model.replace(pruned, target.sparsity() > 0);
      if (masks.isPresent()) {
        masks.get().set(pruned);
      }
    }
  }

  /// The sparsities that names of files tell; one without a number if there is one model.
  private List<OptionalDouble> networks() {
    return PruneOutputs.networks(selection);
  }

  private void requireWritable(LinearLayers layers) throws IOException {
    for (OptionalDouble sparsity : output.dryRun ? List.<OptionalDouble>of() : networks()) {
      Path target = PruneOutputs.at(output.output, sparsity);
      layers.requireWritable(target);
      for (Path part : layers.written(target)) {
        OutputOptions.check(global, "--output", part, output.force);
      }
      if (output.mask != null) {
        layers.requireWritable(PruneOutputs.at(output.mask, sparsity));
      }
    }
  }

  private List<Files> files(LinearLayers layers, List<String> chosen, AtomicOutputs outputs, Arena arena)
      throws IOException {
    List<String> gaining = scoring.newBias ? layers.withoutBias(chosen) : List.of();
    List<Files> files = new ArrayList<>();
    for (OptionalDouble sparsity : networks()) {
      LinearLayers.Copy copy = layers.copy(outputs, PruneOutputs.at(output.output, sparsity), output.force, gaining);
      files.add(new Files(copy, output.mask == null
          ? Optional.empty()
          : Optional.of(layers.masks(outputs, PruneOutputs.at(output.mask, sparsity), chosen, output.force, arena))));
    }
    return files;
  }

  /// Of layers whose samples may differ in number.
  private static Optional<Verification> joined(List<Verification> each) {
    return each.isEmpty()
        ? Optional.empty()
        : Optional.of(new Verification(each.stream().mapToLong(Verification::samples).min().orElseThrow(),
            each.getFirst().target(), each.stream().flatMap(one -> one.layers().stream()).toList()));
  }

  private void tell(List<PrunedLayers> outcomes) {
    if (output.report != null) {
      Reports.say(output.report, global);
    }
    if (outcomes.size() == 1) {
      outcomes.getFirst().print(output.dryRun);
      global.say(output.dryRun ? "dry run: no model written" : "model: " + output.output);
      if (output.mask != null && !output.dryRun) {
        global.say("mask: " + output.mask);
      }
      return;
    }
    Table table = new Table(1, "sparsity", "kept", "removed", "mean change", "model");
    for (int n = 0; n < outcomes.size(); n++) {
      outcomes.get(n).row(table, output.dryRun ? "" : PruneOutputs.at(output.output, networks().get(n)).toString());
    }
    table.lines().forEach(global.out()::println);
    global.out().println("Changes are those of the layers' own outputs on their inputs, each output weighted by its "
        + "sensitivity, relative to their mean squares; the mean is over the layers.");
    PathNotes.of(selection.sparsities(), outcomes.stream().map(PrunedLayers::notes).toList()).forEach(global::note);
    global.say(output.dryRun
        ? "dry run: no model written"
        : "%s models%s written".formatted(outcomes.size(), output.mask == null ? "" : " and their masks"));
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
    selection.check(false, global);
    global.require(!selection.isPath() || output.report == null,
        "--report is for one model: give one value of --sparsity");
    global.require(selection.method != Preset.BEST,
        "--method best trains a network, and --layers-from has its layers alone: give paper or refit");
    global.require(selection.repair().steps().stream().allMatch(Repair.Refit.class::isInstance),
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
    return scoring.builder(run).preset(selection.method, OptionalDouble.empty())
        .target(withinLayers(selection.target()))
        .stops(selection.stops().stream().map(PruneLayers::withinLayers).toList()).layerSparsities(selection.own())
        .schedule(selection.schedule()).repair(selection.repair()).minPerLayer(selection.minPerLayer)
        .histogramBins(output.report == null ? 0 : PruneCommand.HISTOGRAM_BINS).build();
  }

  private static Target withinLayers(Target target) {
    return target instanceof Target.Fraction(double sparsity, Scope among) && among instanceof Scope.Global
        ? new Target.Fraction(sparsity, new Scope.PerLayer())
        : target;
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
