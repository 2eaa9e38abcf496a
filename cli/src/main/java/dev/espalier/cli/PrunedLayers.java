package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.io.LayerInputs;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.LayerReport;
import dev.espalier.engine.report.Report;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Collectors;

/// What became of layers that were pruned one by one.
final class PrunedLayers {
  private static final int MOST_NAMED = 5;

  private final GlobalOptions global;
  private final SelectionOptions selection;
  private final Table table = new Table(1, "layer", "shape", "kept", "removed", "sparsity", "predicted change",
      "measured change", "relative");
  private final List<LayerReport> reports = new ArrayList<>();
  private final Set<String> notes = new LinkedHashSet<>();
  private final Map<String, Object> inForce = new LinkedHashMap<>();
  private final Map<String, List<String>> uncompensated = new LinkedHashMap<>();
  private final DoubleSummaryStatistics changes = new DoubleSummaryStatistics();
  private long weights;
  private long removed;
  private long missing;
  private long zeroBefore;
  private Optional<PruningPlan> largest = Optional.empty();

  PrunedLayers(GlobalOptions global, SelectionOptions selection) {
    this.global = global;
    this.selection = selection;
  }

  void note(List<String> facts) {
    notes.addAll(facts);
  }

  /// Notes which layers stay as they are, and what the outputs of the others are weighted by.
  ///
  /// @param given  those of `all` that have inputs
  /// @param chosen those of `given` that are not excluded
  void noteOthers(List<String> all, List<String> given, List<String> chosen, LayerInputs captured) {
    List<String> left = all.stream().filter(name -> !given.contains(name)).toList();
    if (!left.isEmpty()) {
      notes.add("%s without inputs: left as %s (%s)".formatted(counted(left.size()),
          left.size() == 1 ? "it is" : "they are", some(left)));
    }
    long weighted = chosen.stream().filter(name -> captured.sensitivities(name).isPresent()).count();
    String sensitivity = weighted == 0 ? "1" : weighted == chosen.size() ? "given" : "given, else 1";
    inForce.put("sensitivity", sensitivity);
    notes.add(
        "sensitivity: %s (files for %s of %s)".formatted(sensitivity, PLAIN.count(weighted), counted(chosen.size())));
  }

  private static String counted(int layers) {
    return PLAIN.counted(layers, "layer");
  }

  private static String some(List<String> names) {
    String named = names.stream().limit(MOST_NAMED).collect(Collectors.joining(", "));
    return names.size() > MOST_NAMED
        ? "%s and %s more".formatted(named, PLAIN.count(names.size() - MOST_NAMED))
        : named;
  }

  /// @param layer  before
  /// @param result of the layer as a network of its own
  /// @param stop   the number of the target that was reached, of the plan's path; of a layer of one sparsity, any
  void add(DenseLayer layer, PruningPlan plan, PruningResult result, int stop) {
    LayerResult done = result.layers().getFirst();
    OptionalDouble relative = result.measuredChange().isPresent() && result.outputSquare().orElse(0) > 0
        ? OptionalDouble.of(result.measuredChange().getAsDouble() / result.outputSquare().getAsDouble())
        : OptionalDouble.empty();
    table.row(layer.name(), PLAIN.shape(layer.outputs(), layer.inputs()), PLAIN.count(done.kept()),
        PLAIN.count(done.removed()), PLAIN.percent(done.sparsity()), PLAIN.value(done.predictedChange()),
        PLAIN.value(result.measuredChange()), PLAIN.percent(relative));
    reports.add(Reports.layer(layer, done, result.measuredChange(), result.network().layers().getFirst().weights()));
    plan.inForce().forEach(inForce::putIfAbsent);
    inForce.remove("sparsity"); // of this layer; that of all is given
    if (largest.stream().allMatch(other -> other.prunableWeights() < done.weights())) {
      largest = Optional.of(plan);
    }
    weights += done.weights();
    removed += done.removed();
    List<Target> path = plan.options().path();
    relative.ifPresent(changes);
    if (path.get(Math.min(stop, path.size() - 1)) instanceof Target.Fraction fraction) {
      long difference = plan.removedAt(fraction) - done.removed();
      missing += Math.max(0, difference);
      zeroBefore += Math.max(0, -difference);
    }
    String own = plan.uncompensated().orElse("");
    if (!own.isEmpty()) {
      uncompensated.computeIfAbsent(own.substring(own.lastIndexOf(": ") + 2), _ -> new ArrayList<>()).add(layer.name());
    }
    result.notes().stream().filter(note -> !note.equals(own) && !note.startsWith("sensitivity: "))
        .map(note -> note.contains(layer.name()) ? note : "layer %s: %s".formatted(layer.name(), note))
        .forEach(notes::add);
  }

  /// Notes what holds for several layers.
  void noteSums() {
    uncompensated.forEach((what, names) -> notes
        .add("%s without a bias: %s (%s); --new-bias adds one, which takes up the means of what is removed"
            .formatted(counted(names.size()), what, some(names))));
    if (selection.method != Preset.PAPER) {
      notes.add("method %s: schedule %s, repair %s".formatted(selection.method, inForce.get("schedule"),
          inForce.get("repair")));
    }
    if (missing > 0) {
      notes.add("%s short of the sparsity, because of --min-per-layer %s".formatted(PLAIN.counted(missing, "weight"),
          PLAIN.count(selection.minPerLayer)));
    }
    if (zeroBefore > 0) {
      notes.add(
          "%s more than the sparsity asks for: zero before the pruning".formatted(PLAIN.counted(zeroBefore, "weight")));
    }
  }

  /// A row of all layers.
  void row(Table sparsities, String file) {
    sparsities.row(PLAIN.percent((double) removed / weights), PLAIN.count(weights - removed), PLAIN.count(removed),
        changes.getCount() == 0 ? "" : PLAIN.percent(changes.getAverage()), file);
  }

  Set<String> notes() {
    return notes;
  }

  Report report(Path model, boolean dryRun, Backend backend, Optional<Verification> verification) {
    Map<String, Object> options = new LinkedHashMap<>(global.inForce());
    options.putAll(inForce);
    options.put("method", selection.method);
    options.put("backend", backend.description());
    Report.Builder report = Reports.begin("prune").summary(
        "%s of single layers of %s: %s of %s removed (%s), criterion %s, compensation %s, schedule %s, repair %s."
            .formatted(dryRun ? "Trial pruning" : "Pruning", model.getFileName(), PLAIN.count(removed),
                PLAIN.counted(weights, "weight"), PLAIN.percent((double) removed / weights), inForce.get("criterion"),
                inForce.get("compensation"), inForce.get("schedule"), inForce.get("repair")))
        .model(weights, removed).layers(reports).timings(Reports.timings(backend)).notes(List.copyOf(notes))
        .options(options);
    verification.map(Reports::deviations).ifPresent(report::deviations);
    return report.build();
  }

  void print(boolean dryRun) {
    if (dryRun) {
      largest.ifPresent(plan -> global
          .say("plan: the largest layer, %s: %s".formatted(plan.layers().getFirst().name(), plan.memory())));
    }
    table.rule();
    table.row("total", "", PLAIN.count(weights - removed), PLAIN.count(removed),
        PLAIN.percent((double) removed / weights), "", "", "");
    table.lines().forEach(global.out()::println);
    global.out()
        .println("Changes are mean squared changes of the layer's own output on its inputs, each output weighted "
            + "by its sensitivity; relative to its mean square.");
    notes.forEach(global::note);
  }
}
