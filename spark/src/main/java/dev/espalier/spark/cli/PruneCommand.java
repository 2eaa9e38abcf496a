package dev.espalier.spark.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.MaskFile;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.spark.Selection;
import dev.espalier.spark.SparkPruner;
import dev.espalier.spark.SparkScorer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
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

  /// Refused by name, because `espalier prune` has them.
  @Option(names = {"--max-accuracy-drop", "--max-loss-increase", "--max-output-change"}, hidden = true, arity = "0..1",
      paramLabel = "LIMIT")
  private String limit;

  @Option(names = "--dry-run", description = "Print what the gathering would cost, and start nothing.")
  private boolean dryRun;

  PruneCommand(Supplier<SparkSession> session) {
    this.session = session;
  }

  @Override
  public Integer call() throws IOException {
    gathering.require(limit == null,
        "searches by limits, such as --max-accuracy-drop, need one machine: use espalier prune, or give --sparsity");
    gathering.require(gathering.output != null || dryRun, "--output is missing: give -o FILE, or --dry-run");
    gathering.check();
    PruningOptions options = options();
    try (Arena arena = Arena.ofShared()) {
      ModelFile file = gathering.load(arena);
      if (gathering.output != null) {
        file.requireWritable(gathering.output);
      }
      SparkPruner pruner = new SparkPruner(options, gathering.device, selection);
      SparkScorer scorer = SparkScorer.of(file.network(), gathering.samples(session.get()), options, gathering.device);
      scorer.plan().toString().lines().forEach(line -> gathering.say("plan: " + line));
      pruner.plan(scorer).lines().forEach(line -> gathering.say("plan: " + line));
      if (dryRun) {
        gathering.say("dry run: no data were read");
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

  private PruningOptions options() {
    return usage(() -> {
      PruningOptions.Builder builder = gathering.builder().minPerLayer(minPerLayer).preset(method,
          OptionalDouble.empty());
      if (schedule != null) {
        builder.schedule(schedule);
      }
      if (repair != null) {
        builder.repair(repair);
      }
      boolean isPattern = scope.matches("\\d+:\\d+");
      gathering.require(isPattern || sparsity != null,
          "--sparsity is missing: give the fraction of weights to remove, " + "for example --sparsity 0.9");
      gathering.require(!isPattern || sparsity == null,
          "--scope %s sets the sparsity: leave out --sparsity".formatted(scope));
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
      return builder.target(new Target.Fraction(fraction(whole.getFirst()), Scope.parse(scope)))
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
