package dev.espalier.spark.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.experiment.SparsitySearch;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.MaskFile;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Limits.Amount;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.EvaluationPass;
import dev.espalier.spark.Selection;
import dev.espalier.spark.SparkPruner;
import dev.espalier.spark.SparkSamples;
import dev.espalier.spark.SparkScorer;
import dev.espalier.spark.SparkSearch;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `prune`.
@Command(name = "prune", sortOptions = false, header = "Prune a model: remove its least important weights.",
    customSynopsis = "espalier-spark prune MODEL --data PARQUET --columns NAMES --sparsity R -o FILE [OPTION]...",
    description = {"",
        "Gathers statistics on the cluster, removes the least important weights, updates the biases to compensate for "
            + "them, and writes the model.",
        ""})
final class PruneCommand implements Callable<Integer> {
  private final Supplier<SparkSession> session;

  @Mixin
  private GatheringOptions gathering;

  @Option(names = "--sparsity", paramLabel = "R", description = "Fraction of the weights that are zero after pruning, "
      + "from 0 to 1, and of single layers, as in 0.9,fc2=0.5.")
  private String sparsity;

  @Option(names = "--scope", paramLabel = "SCOPE", defaultValue = "global", description = "Which weights compete to "
      + "stay: global, layer, row, or n:m such as 2:4, which sets the sparsity (default: ${DEFAULT-VALUE}).")
  private String scope;

  @Option(names = "--prune-neurons",
      description = "Remove whole neurons: --sparsity is the fraction of the hidden ones " + "that go.")
  private boolean neurons;

  @Option(names = "--method", paramLabel = "NAME", defaultValue = "paper",
      description = "Presets: paper (one shot), refit (rounds that each keep three quarters of the weights that are "
          + "left, and refit them) or best (the same by refit+joint) (default: ${DEFAULT-VALUE}).")
  private Preset method;

  @Option(names = "--schedule", paramLabel = "SCHEDULE",
      description = "Rounds, each of which gathers statistics again: "
          + "oneshot, linear:N, cubic:N or geometric:KEPT; default: that of --method.")
  private Schedule schedule;

  @Option(names = "--repair", paramLabel = "REPAIR",
      description = "What each round does to the weights that are left: none; refit; joint, which keeps the samples "
          + "in the executors, and passes over them in a job for each product; or refit+joint; default: that of "
          + "--method.")
  private Repairs repair;

  @Option(names = "--min-per-layer", paramLabel = "N", defaultValue = "1",
      description = "Weights that every layer keeps " + "at least (default: ${DEFAULT-VALUE}).")
  private long minPerLayer;

  @Option(names = "--selection", paramLabel = "WHERE", defaultValue = "auto",
      description = "Where the weights to remove are selected: driver, which has the scores of all layers; executors, "
          + "which keep the scores, so that the driver has one layer at a time; or auto, which is driver where they fit "
          + "half of its machine's memory. The result is the same (default: ${DEFAULT-VALUE}).")
  private Selection selection;

  @Option(names = "--save-mask", paramLabel = "FILE", description = "Also write which weights are left.")
  private Path mask;

  @Option(names = "--checkpoint", paramLabel = "DIR",
      description = "Keep each round in this folder. The same command then goes on where a driver has ended, and comes to "
          + "the same bits.")
  private Path checkpoint;

  @Option(names = "--max-loss-increase", paramLabel = "X",
      description = "In place of a sparsity: search for the highest one at which the loss on held-out samples, every fifth "
          + "one or --test-data, rises by X at most, or by X%% of itself.")
  private Amount lossIncrease;

  @Option(names = "--max-accuracy-drop", paramLabel = "POINTS",
      description = "The same, where the accuracy falls by so many percentage points at most.")
  private Double accuracyDrop;

  @Option(names = "--max-output-change", paramLabel = "X",
      description = "The same, where the mean squared change of the outputs is X at most, or X%% of their mean square; "
          + "needs no labels.")
  private Amount outputChange;

  @Option(names = "--label-column", paramLabel = "NAME",
      description = "The column of labels, by which a search judges: a "
          + "class index from 0, or the target of one output, or arrays of the targets of all.")
  private String labelColumn;

  @Option(names = "--loss", paramLabel = "NAME", description = "The loss of a search: mse, cross-entropy or "
      + "binary-cross-entropy; default for class indices: cross-entropy, or mse where the last activation is no such one.")
  private Loss loss;

  @Option(names = "--test-data", paramLabel = "PARQUET",
      description = "Samples for a search to judge by, with the same columns; it then prunes with all of --data.")
  private String testData;

  @Option(names = "--dry-run", description = "Print what the gathering would cost, and start nothing.")
  private boolean dryRun;

  PruneCommand(Supplier<SparkSession> session) {
    this.session = session;
  }

  @Override
  public Integer call() throws IOException {
    gathering.require(gathering.output != null || dryRun, "--output is missing: give -o FILE, or --dry-run");
    gathering.check();
    PruningOptions options = options();
    try (Arena arena = Arena.ofShared()) {
      ModelFile file = gathering.load(arena);
      if (gathering.output != null) {
        file.requireWritable(gathering.output);
      }
      Optional<Limits> limits = limits();
      if (limits.isPresent()) {
        search(file, options, limits.get(), arena);
        return 0;
      }
      SparkPruner pruner = new SparkPruner(options, gathering.device, selection);
      SparkScorer scorer = SparkScorer.of(file.network(), gathering.samples(session.get()), options, gathering.device);
      scorer.plan().toString().lines().forEach(line -> gathering.say("plan: " + line));
      pruner.plan(scorer).lines().forEach(line -> gathering.say("plan: " + line));
      if (isDryRun()) {
        return 0;
      }
      PruningResult result = checkpoint == null
          ? pruner.prune(file.network(), scorer, arena)
          : pruner.prune(file.network(), scorer, checkpoint, arena);
      write(file, result);
      print(file, result);
    }
    return 0;
  }

  private boolean isDryRun() {
    if (dryRun) {
      gathering.say("dry run: no data were read");
    }
    return dryRun;
  }

  private Optional<Limits> limits() {
    return lossIncrease == null && accuracyDrop == null && outputChange == null
        ? Optional.empty()
        : Optional.of(new Limits(Optional.ofNullable(lossIncrease),
            accuracyDrop == null ? OptionalDouble.empty() : OptionalDouble.of(accuracyDrop),
            Optional.ofNullable(outputChange)));
  }

  private void search(ModelFile file, PruningOptions options, Limits limits, Arena arena) throws IOException {
    SparkSamples samples = gathering.samples(session.get(), Optional.ofNullable(labelColumn));
    SparkSearch search = testData == null
        ? SparkSearch.of(file.network(), samples, options, limits, gathering.device, selection)
        : SparkSearch.of(file.network(), samples,
            gathering.samples(session.get(), testData, Optional.ofNullable(labelColumn)), options, limits,
            gathering.device, selection);
    search.plan().lines().forEach(line -> gathering.say("plan: " + line));
    if (isDryRun()) {
      return;
    }
    SparsitySearch.Result found = search.run(Optional.ofNullable(checkpoint), arena);
    print("dense", found.dense(), "");
    found.steps()
        .forEach(step -> print(PLAIN.found(step.sparsity()), step.judged(),
            found.found().filter(step::equals).isPresent()
                ? ": found"
                : step.holds() ? ": holds the limit" : ": beyond the limit"));
    PruningResult pruned = found.pruned().orElseThrow(() -> new MismatchException(
        "no sparsity holds the limit (%s): allow more, or use another method".formatted(limits)));
    write(file, pruned);
    print(file, pruned);
  }

  private void print(String name, EvaluationPass.Result judged, String verdict) {
    gathering.print("%s: %soutput change %s%s".formatted(name,
        judged.evaluation()
            .map(e -> "loss %s, %s".formatted(PLAIN.value(e.loss()),
                e.accuracy().isPresent() ? "accuracy %s, ".formatted(PLAIN.percent(e.accuracy())) : ""))
            .orElse(""),
        PLAIN.value(judged.outputChange()), verdict));
  }

  private PruningOptions options() {
    return usage(() -> {
      PruningOptions.Builder builder = gathering.builder().minPerLayer(minPerLayer).preset(method,
          OptionalDouble.empty());
      if (schedule != null) {
        builder.schedule(schedule);
      }
      if (repair != null || method == Preset.BEST) {
        builder.repair(repair == null ? Repairs.parse("refit+joint") : repair);
      }
      boolean isPattern = scope.matches("\\d+:\\d+");
      boolean searches = limits().isPresent();
      gathering.require(isPattern || sparsity != null || searches,
          "--sparsity is missing: give the fraction of weights to remove, for example --sparsity 0.9, or a limit to "
              + "search by, for example --max-accuracy-drop 0.5");
      gathering.require(!isPattern || (sparsity == null && !searches),
          "--scope %s sets the sparsity: leave out --sparsity and limits".formatted(scope));
      gathering.require(sparsity == null || !searches,
          "--sparsity and a limit both say how much is removed: give one of them");
      gathering.require(
          !searches || schedule == null || schedule instanceof Schedule.OneShot || schedule instanceof Schedule.Keeping,
          "--schedule %s divides the way to a known sparsity: to search, give oneshot or geometric:0.75"
              .formatted(schedule));
      gathering.require((lossIncrease == null && accuracyDrop == null) || labelColumn != null,
          "--label-column is missing: --max-loss-increase and --max-accuracy-drop need labels");
      gathering.require(searches || (labelColumn == null && loss == null && testData == null),
          "--label-column, --loss and --test-data are those of a search: give a limit, for example --max-accuracy-drop "
              + "0.5, or leave them out");
      gathering.require(loss == null || labelColumn != null, "--loss needs --label-column: give both, or neither");
      Optional.ofNullable(loss).ifPresent(builder::loss);
      gathering.require(!neurons || (!searches && !isPattern && !scope.equals("row")),
          "--prune-neurons counts neurons, and limits, --scope n:m and row do not: leave one of them out");
      if (searches) {
        return builder.target(new Target.Fraction(0.5, Scope.parse(scope))).build();
      }
      if (isPattern) {
        gathering.require(schedule == null || schedule instanceof Schedule.OneShot,
            "--scope %s is reached in one round: leave out --schedule %s".formatted(scope, schedule));
        builder.schedule(new Schedule.OneShot());
        return builder.target(Target.parse(scope)).build();
      }
      List<String> parts = List.of(sparsity.split(",", -1));
      List<String> whole = parts.stream().filter(part -> !part.contains("=")).toList();
      gathering.require(whole.size() == 1,
          "--sparsity %s: give one sparsity, and those of single layers behind it".formatted(sparsity));
      gathering.require(!neurons || parts.size() == 1,
          "--prune-neurons counts the neurons of all layers: give no sparsity of single ones");
      double value = fraction(whole.getFirst());
      return builder
          .target(
              neurons ? new Target.Neurons(value, Scope.parse(scope)) : new Target.Fraction(value, Scope.parse(scope)))
          .layerSparsities(parts.stream().filter(part -> part.contains("=")).map(LayerSparsity::parse).toList())
          .build();
    });
  }

  private double fraction(String text) {
    double value;
    try {
      value = Double.parseDouble(text);
    } catch (NumberFormatException _) {
      value = Double.NaN;
    }
    gathering.require(value >= 0 && value <= 1,
        "--sparsity '%s' is not a fraction from 0 to 1, for example 0.9 to ".formatted(text)
            + "remove 90 % of the weights");
    return value;
  }

  /// Values that options refuse are usage errors.
  private PruningOptions usage(Supplier<PruningOptions> read) {
    try {
      return read.get();
    } catch (IllegalArgumentException e) {
      gathering.require(false, e.getMessage());
      throw e;
    }
  }

  private void write(ModelFile file, PruningResult result) throws IOException {
    boolean removes = result.removed() > 0;
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      file.save(outputs, gathering.output, result.network(), l -> removes && !result.layers().get(l).excluded(),
          gathering.force);
      if (mask != null) {
        MaskFile.write(outputs, mask, file, result.network(), l -> !result.layers().get(l).excluded(), gathering.force);
      }
      outputs.commit();
    }
  }

  private void print(ModelFile file, PruningResult result) {
    for (LayerResult layer : result.layers()) {
      gathering.print("%s%s: %s kept, %s removed (%s)".formatted(layer.name(), layer.excluded() ? " (excluded)" : "",
          PLAIN.count(layer.kept()), PLAIN.count(layer.removed()), PLAIN.percent(layer.sparsity())));
    }
    gathering
        .print("total: %s kept, %s removed (%s)".formatted(PLAIN.count(result.prunableWeights() - result.removed()),
            PLAIN.count(result.removed()), PLAIN.percent(result.sparsity())));
    result.notes().forEach(gathering::note);
    file.conversions(gathering.output, result.network()).forEach(gathering::note);
    Stream.of("model: " + gathering.output, mask == null ? "" : "mask: " + mask).filter(line -> !line.isEmpty())
        .forEach(gathering::say);
  }
}
