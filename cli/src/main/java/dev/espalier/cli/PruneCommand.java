package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.calibration.ProgressListener;
import dev.espalier.engine.criterion.ScoringOptions;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.report.ReportWriter;
import dev.espalier.engine.schedule.Schedule;
import dev.espalier.engine.selection.Scope;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Loss;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier prune`.
@Command(name = "prune", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier prune MODEL --data FILE --sparsity R -o FILE [OPTION]...",
    header = "Prune a model: remove the weights it can do without.",
    description = "%nReads a safetensors model and calibration samples, removes the least important weights, moves"
        + " the biases to make up for them, and writes the model with everything else in it as it was.%n",
    footerHeading = "%nExamples:%n",
    footer = {"  Remove 90 %% of the weights:",
        "    espalier prune model.safetensors --data samples.npy --sparsity 0.9 -o pruned.safetensors",
        "  The same, with accuracy before and after, and a report:",
        "    espalier prune model.safetensors --data x.npy --labels y.npy --sparsity 0.9 \\",
        "      -o pruned.safetensors --report report",
        "  See what it would do, with two of four weights removed and the last layer left alone:",
        "    espalier prune model.safetensors --data x.npy --scope 2:4 --exclude 4 --dry-run"})
final class PruneCommand implements Callable<Integer> {
  private static final int HISTOGRAM_BINS = 60;
  private static final int FINE_TUNING_BATCH = 128;

  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", description = {
      "A safetensors file of *.weight (outputs x inputs) and *.bias, such as the state dict of a PyTorch Sequential."})
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, heading = "%nData:%n")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nTest data, to judge the result by (default: the data above):%n")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nWhat to remove:%n")
  private Selection selection = new Selection();

  @ArgGroup(validate = false, order = 4, heading = "%nHow weights are scored:%n")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nTraining after it:%n")
  private FineTuning fineTuning = new FineTuning();

  @ArgGroup(validate = false, order = 7, heading = "%nComputation:%n")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 8, heading = "%nOutput:%n")
  private Output output = new Output();

  private static final class Selection {
    @Option(names = "--sparsity", paramLabel = "R", order = 10, converter = Values.Fraction.class,
        description = {"Fraction of the weights that are zero afterwards, 0 to 1: 0.9 removes 90 %%."})
    private Double sparsity;

    @Option(names = "--scope", paramLabel = "SCOPE", order = 11, description = {
        "Where the least important weights are sought: global, in each layer, in each row (the weights of a neuron),"
            + " or n:m, which keeps n of each m neighbours, such as 2:4 (default: ${DEFAULT-VALUE})."})
    private Scope scope = new Scope.Global();

    @Option(names = "--schedule", paramLabel = "SCHEDULE", order = 12,
        description = {"In which rounds (default: ${DEFAULT-VALUE})."})
    private Schedule schedule = new Schedule.OneShot();

    @Option(names = "--min-per-layer", paramLabel = "N", order = 13, converter = Values.AtLeastZeroLong.class,
        description = {"Weights that each layer keeps at least (default: ${DEFAULT-VALUE})."})
    private long minPerLayer = 1;
  }

  private static final class FineTuning {
    @Option(names = "--fine-tune", paramLabel = "EPOCHS", order = 40, converter = Values.AtLeastOne.class,
        description = {"Train what is left for so many epochs; removed weights stay removed (needs --labels)."})
    private Integer epochs;

    @Option(names = "--learning-rate", paramLabel = "RATE", order = 41, converter = Values.Positive.class,
        description = {"Of Adam in the fine-tuning; default: 0.0001."})
    private Double learningRate;

    private double learningRate() {
      return learningRate == null ? 1e-4 : learningRate;
    }
  }

  private static final class Output extends OutputOptions {
    @Option(names = "--dry-run", order = 81, description = "Do everything but write the model.")
    private boolean dryRun;

    @Option(names = "--report", paramLabel = "DIR", order = 82,
        description = {"Write report.json and report.html into this folder."})
    private Path report;
  }

  /// Evaluations of the network before pruning, after it, and after fine-tuning; absent without labels.
  private record Judgement(Optional<Evaluation> dense, Optional<Evaluation> pruned, Optional<Evaluation> fineTuned) {
    private Optional<Evaluation> now() {
      return fineTuned.or(() -> pruned);
    }
  }

  @Override
  public Integer call() throws IOException {
    check();
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      ModelFile file = reading.load(model, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Optional<CalibrationSource> calibration = data.data == null ? Optional.empty() : Optional.of(data.open());
      Optional<CalibrationSource> judges = test.isGiven()
          ? Optional.of(test.open())
          : calibration.filter(source -> source.labels().isPresent());
      PruningOptions options = options(progress);
      if (output.dryRun) {
        global.say("plan: " + new Pruner(backend, options).plan(network));
      }

      Optional<Evaluation> dense = evaluate(backend, network, judges, progress);
      PruningResult result = new Pruner(backend, options).prune(network, calibration, arena);
      Optional<Evaluation> pruned = evaluate(backend, result.network(), judges, progress);
      DenseNetwork last = result.network();
      Optional<Evaluation> tuned = Optional.empty();
      if (fineTuning.epochs != null) {
        last = fineTune(backend, last, calibration.orElseThrow(), progress, arena);
        tuned = evaluate(backend, last, judges, progress);
      }
      Judgement judgement = new Judgement(dense, pruned, tuned);
      progress.clear();

      backend.enter(Phase.WRITE);
      write(backend, options, file, last, result, judgement);
      print(network, result, judgement);
      run.verify(global, backend, network, l -> !scoring.isExcluded(network.layers().get(l).name()), calibration,
          options);
    }
    return 0;
  }

  /// The model and the report, which appear together or not at all.
  private void write(Backend backend, PruningOptions options, ModelFile file, DenseNetwork last, PruningResult result,
      Judgement judgement) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      if (!output.dryRun) {
        boolean removes = options.effectiveSparsity() > 0;
        file.save(outputs, output.output, last, l -> removes && !result.layers().get(l).excluded(), output.force);
      }
      if (output.report != null) {
        ReportWriter.write(outputs, report(backend, options, result, judgement, file.network()), output.report,
            output.force);
      }
      outputs.commit();
    }
    if (output.report != null) {
      Reports.say(output.report, global);
    }
  }

  private void check() throws IOException {
    boolean grouped = selection.scope instanceof Scope.Grouped;
    global.require(output.dryRun || output.output != null,
        "an output is missing: give -o FILE, or --dry-run to write none");
    global.require(grouped || selection.sparsity != null,
        "--sparsity is missing: give the fraction of weights to remove, for example --sparsity 0.9");
    global.require(!grouped || selection.sparsity == null,
        "--scope %s says itself how much is removed: leave out --sparsity".formatted(selection.scope));
    scoring.check(data, global);
    test.check(global);
    global.require(fineTuning.epochs == null || data.labels != null,
        "--labels is missing: --fine-tune trains with labels");
    global.require(fineTuning.learningRate == null || fineTuning.epochs != null,
        "--learning-rate is of no use without --fine-tune");
    if (output.output != null) {
      output.check();
    }
    Reports.check(output.report, output.force);
  }

  private PruningOptions options(ProgressListener progress) {
    PruningOptions.Builder builder = scoring.builder(run).scope(selection.scope).schedule(selection.schedule)
        .minPerLayer(selection.minPerLayer).histogramBins(output.report == null ? 0 : HISTOGRAM_BINS)
        .listener(progress);
    return selection.sparsity == null ? builder.build() : builder.sparsity(selection.sparsity).build();
  }

  private Loss loss(DenseNetwork network, CalibrationSource judges) {
    return scoring.loss == null ? Loss.defaultFor(network, judges.labels().orElseThrow()) : scoring.loss;
  }

  private Optional<Evaluation> evaluate(Backend backend, DenseNetwork network, Optional<CalibrationSource> judges,
      ProgressListener progress) throws IOException {
    return judges.isEmpty()
        ? Optional.empty()
        : Optional.of(Evaluation.of(backend, network, judges.get(), loss(network, judges.get()),
            run.batchSize(backend, network), progress));
  }

  private DenseNetwork fineTune(Backend backend, DenseNetwork network, CalibrationSource samples,
      ProgressListener progress, Arena arena) throws IOException {
    TrainingOptions training = new TrainingOptions(fineTuning.epochs, FINE_TUNING_BATCH,
        Adam.of(fineTuning.learningRate()), loss(network, samples), run.seed, true, progress);
    return Trainer.train(backend, network, samples, training, arena);
  }

  private Report report(Backend backend, PruningOptions options, PruningResult result, Judgement judgement,
      DenseNetwork network) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("compensation", options.effectiveCompensation());
    inForce.put("sparsity", options.effectiveSparsity());
    ScoringOptions scoringOptions = new Pruner(backend, options).scoringOptions(network);
    inForce.put("sensitivity", scoringOptions.sensitivity());
    inForce.put("batch-size", scoringOptions.batchSize());
    judgement.now().ifPresent(evaluation -> inForce.put("loss", evaluation.lossName()));
    inForce.put("backend", backend.description());
    Report.Builder report = Reports.begin("prune").summary(summary(result))
        .model(network.weights(), Zeros.in(result.network())).layers(Reports.layers(network, result.layers()))
        .timings(Reports.timings(backend)).notes(result.notes()).options(inForce);
    result.measuredChange().ifPresent(report::outputChange);
    judgement.dense().ifPresent(evaluation -> Reports.dense(report, evaluation));
    judgement.now().ifPresent(evaluation -> Reports.now(report, evaluation));
    return report.build();
  }

  private String summary(PruningResult result) {
    return "%s of %s: %s of %s weights removed (%s), criterion %s, compensation %s.".formatted(
        output.dryRun ? "Trial pruning" : "Pruning", model.getFileName(), PLAIN.count(result.removed()),
        PLAIN.count(result.prunableWeights()), PLAIN.percent(result.sparsity()), scoring.criterion,
        scoring.compensates() ? "bias" : "none");
  }

  private void print(DenseNetwork network, PruningResult result, Judgement judgement) {
    Table layers = new Table(3, "layer", "shape", "activation", "kept", "removed", "sparsity", "predicted change",
        "measured change");
    for (int l = 0; l < result.layers().size(); l++) {
      DenseLayer layer = network.layers().get(l);
      LayerResult done = result.layers().get(l);
      layers.row(layer.name() + (done.excluded() ? " (excluded)" : ""), PLAIN.shape(layer.outputs(), layer.inputs()),
          layer.activation().toString(), PLAIN.count(done.kept()), PLAIN.count(done.removed()),
          PLAIN.percent(done.sparsity()), PLAIN.value(done.predictedChange()), PLAIN.value(done.measuredChange()));
    }
    layers.rule();
    layers.row("total", "", "", PLAIN.count(result.prunableWeights() - result.removed()), PLAIN.count(result.removed()),
        PLAIN.percent(result.sparsity()), "", PLAIN.value(result.measuredChange()));
    layers.lines().forEach(global.out()::println);
    if (result.measuredChange().isPresent()) {
      global.out().println("Changes are mean squared changes of the network's output on the calibration samples.");
    }
    judgement.dense().ifPresent(dense -> {
      global.out().println();
      Table table = new Table(1, test.isGiven() ? "on test data" : "on calibration data", dense.lossName().toString(),
          "accuracy");
      row(table, "dense", dense);
      judgement.pruned().ifPresent(evaluation -> row(table, "pruned", evaluation));
      judgement.fineTuned().ifPresent(evaluation -> row(table, "fine-tuned", evaluation));
      table.lines().forEach(global.out()::println);
    });
    result.notes().forEach(note -> global.say("note: " + note));
    global.say(output.dryRun ? "dry run: no model written" : "model: " + output.output);
  }

  private static void row(Table table, String name, Evaluation evaluation) {
    table.row(name, PLAIN.value(evaluation.loss()), PLAIN.percent(evaluation.accuracy()));
  }
}
