package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.report.ReportWriter;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier prune`.
@Command(name = "prune", sortOptions = false)
final class PruneCommand implements Callable<Integer> {
  private static final int HISTOGRAM_BINS = 60;
  private static final int FINE_TUNING_BATCH = 128;

  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, headingKey = "data.heading")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, headingKey = "test.heading")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, headingKey = "selection.heading")
  private Selection selection = new Selection();

  @ArgGroup(validate = false, order = 4, headingKey = "scoring.heading")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 6, headingKey = "fine-tuning.heading")
  private FineTuning fineTuning = new FineTuning();

  @ArgGroup(validate = false, order = 7, headingKey = "computation.heading")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 8, headingKey = "output.heading")
  private Output output = new Output();

  private static final class Selection {
    @Option(names = "--sparsity", paramLabel = "R", order = 10, converter = Values.RisingFractions.class)
    private Values.Sparsities sparsity;

    private List<Double> sparsities() {
      return sparsity.values();
    }

    /// Those of single layers.
    private List<LayerSparsity> own() {
      return sparsity == null ? List.of() : sparsity.own();
    }

    @Option(names = "--scope", paramLabel = "SCOPE", order = 11)
    private ScopeOption scope = new ScopeOption.Of(new Scope.Global());

    @Option(names = "--method", paramLabel = "NAME", order = 12)
    private Preset method = Preset.PAPER;

    @Option(names = "--schedule", paramLabel = "SCHEDULE", order = 13)
    private Schedule schedule;

    @Option(names = "--repair", paramLabel = "REPAIR", order = 14)
    private Repairs repair;

    @Option(names = "--min-per-layer", paramLabel = "N", order = 15, converter = Values.AtLeastZeroLong.class)
    private long minPerLayer = 1;

    /// A pattern is reached in one round.
    private Schedule schedule() {
      boolean isPattern = scope instanceof ScopeOption.Pattern;
      return Optional.ofNullable(schedule).orElseGet(() -> isPattern ? new Schedule.OneShot() : method.schedule());
    }

    private Repairs repair(boolean isClassifier) {
      Repairs asked = Optional.ofNullable(repair).orElseGet(() -> method.repair(isClassifier));
      return isClassifier ? asked.forClassifier() : asked;
    }
  }

  private static final class FineTuning {
    @Option(names = "--fine-tune", paramLabel = "EPOCHS", order = 40, converter = Values.AtLeastOne.class)
    private Integer epochs;

    @Option(names = "--learning-rate", paramLabel = "RATE", order = 41, converter = Values.Positive.class)
    private Double learningRate;

    private double learningRate() {
      return learningRate == null ? 1e-4 : learningRate;
    }
  }

  private static final class Output extends OutputOptions {
    @Option(names = "--dry-run", order = 81)
    private boolean dryRun;

    @Option(names = "--report", paramLabel = "DIR", order = 82)
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
      Optional<Dataset> calibration = data.data == null ? Optional.empty() : Optional.of(data.open(global));
      ModelFile file = reading.load(model, calibration, global, arena);
      DenseNetwork network = file.network();
      if (output.output != null) {
        file.requireWritable(output.output);
      }
      scoring.check(network, global);
      Optional<Dataset> judges = test.isGiven()
          ? Optional.of(test.open(data, global))
          : calibration.filter(source -> source.labels().isPresent());
      boolean isClassifier = isClassifier(network, judges.or(() -> calibration));
      PruningOptions options = options(isClassifier);
      for (LayerSparsity own : selection.own()) {
        global.require(network.layers().stream().anyMatch(layer -> own.pattern().matches(layer.name())),
            "--sparsity %s names no layer; the layers are %s".formatted(own,
                network.layers().stream().map(DenseLayer::name).collect(Collectors.joining(", "))));
      }
      PruningPlan plan = PruningPlan.of(options, network, calibration, backend);
      if (output.dryRun) {
        plan.toString().lines().forEach(line -> global.say("plan: " + line));
      }
      if (isPath()) {
        prunePath(backend, plan, file, calibration, judges, isClassifier, progress, arena);
        run.verify(global, backend, network, options, calibration);
        return 0;
      }
      PruningResult result;
      Judgement judgement;
      DenseNetwork last;
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
        Optional<Evaluation> dense = evaluate(backend, device, network, judges, progress);
        PruningResult pruning = new Pruner(backend, options).prune(plan, network, device, calibration, progress, arena);
        result = noted(plan, options.target(), pruning, network, isClassifier, judges,
            calibration.filter(_ -> fineTuning.epochs != null || plan.scoring().loss().isPresent()));
        Optional<Evaluation> pruned = evaluate(backend, device, network, judges, progress);
        if (fineTuning.epochs == null) {
          last = result.network();
          judgement = new Judgement(dense, pruned, Optional.empty());
        } else {
          fineTune(backend, plan, device, calibration.orElseThrow(), progress);
          last = device.download(arena);
          judgement = new Judgement(dense, pruned, evaluate(backend, device, network, judges, progress));
        }
      }
      progress.clear();

      backend.enter(Phase.WRITE);
      List<String> notes = Stream
          .concat(Reports.notes(file, Stream.of(calibration, judges).flatMap(Optional::stream).toArray(Dataset[]::new))
              .stream(), result.notes().stream())
          .toList();
      write(backend, plan, file, last, result, judgement, notes);
      print(network, result, judgement);
      run.verify(global, backend, network, options, calibration);
    }
    return 0;
  }

  /// Prunes to several sparsities, one after the other, and writes a model for each: all of them or none.
  private void prunePath(Backend backend, PruningPlan plan, ModelFile file, Optional<Dataset> calibration,
      Optional<Dataset> judges, boolean isClassifier, Progress progress, Arena arena) throws IOException {
    DenseNetwork network = file.network();
    List<PruningResult> results = new ArrayList<>();
    List<Optional<Evaluation>> evaluations = new ArrayList<>();
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      evaluations.add(evaluate(backend, device, network, judges, progress));
      for (PruningResult result : new Pruner(backend, plan.options()).path(plan, network, device, calibration, progress,
          arena)) {
        device.load(result.network());
        evaluations.add(evaluate(backend, device, network, judges, progress));
        results.add(noted(plan, plan.options().path().get(results.size()), result, network, isClassifier, judges,
            Optional.empty()));
      }
    }
    progress.clear();
    if (!output.dryRun) {
      try (AtomicOutputs outputs = new AtomicOutputs()) {
        for (int i = 0; i < results.size(); i++) {
          PruningResult result = results.get(i);
          file.save(outputs, output.at(selection.sparsities().get(i)), result.network(),
              l -> !result.layers().get(l).excluded(), output.force);
        }
        outputs.commit();
      }
    }
    Table table = new Table(1, "sparsity", "kept", "measured change", "loss", "accuracy", "model");
    evaluations.getFirst().ifPresent(dense -> table.row("dense", PLAIN.count(results.getFirst().prunableWeights()), "",
        PLAIN.value(dense.loss()), PLAIN.percent(dense.accuracy()), ""));
    for (int i = 0; i < results.size(); i++) {
      PruningResult result = results.get(i);
      Optional<Evaluation> evaluation = evaluations.get(i + 1);
      table.row(PLAIN.percent(result.sparsity()), PLAIN.count(result.prunableWeights() - result.removed()),
          PLAIN.value(result.measuredChange()), evaluation.map(e -> PLAIN.value(e.loss())).orElse(""),
          evaluation.map(e -> PLAIN.percent(e.accuracy())).orElse(""),
          output.dryRun ? "" : output.at(selection.sparsities().get(i)).toString());
    }
    table.lines().forEach(global.out()::println);
    results.stream().flatMap(result -> result.notes().stream()).distinct().forEach(global::note);
    global.say(output.dryRun ? "dry run: no model written" : "%s models written".formatted(results.size()));
  }

  /// The model and the report, which appear together or not at all.
  private void write(Backend backend, PruningPlan plan, ModelFile file, DenseNetwork last, PruningResult result,
      Judgement judgement, List<String> notes) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      if (!output.dryRun) {
        boolean removes = plan.options().target().sparsity() > 0;
        file.save(outputs, output.output, last, l -> removes && !result.layers().get(l).excluded(), output.force);
      }
      if (output.report != null) {
        ReportWriter.write(outputs, report(backend, plan, result, judgement, file, notes), output.report, output.force);
      }
      outputs.commit();
    }
    if (output.report != null) {
      Reports.say(output.report, global);
    }
  }

  private void check() throws IOException {
    boolean grouped = selection.scope instanceof ScopeOption.Pattern;
    global.require(output.dryRun || output.output != null,
        "--output is missing: give -o FILE, or --dry-run to write no model");
    global.require(!isPath() || !(selection.schedule() instanceof Schedule.OneShot),
        "several values of --sparsity need rounds: give --schedule geometric:0.75, or --method refit");
    global.require(!isPath() || (output.report == null && fineTuning.epochs == null),
        "--report and --fine-tune are for one network: give one value of --sparsity");
    global.require(grouped || selection.sparsity != null,
        "--sparsity is missing: give the fraction of weights to remove, for example --sparsity 0.9");
    global.require(!grouped || selection.sparsity == null,
        "--scope %s sets the sparsity: leave out --sparsity".formatted(selection.scope));
    scoring.check(data, global);
    global.require(data.data != null || selection.repair(false).steps().isEmpty(),
        "--data is missing: %s needs calibration samples"
            .formatted(selection.repair == null ? "--method " + selection.method : "--repair " + selection.repair));
    test.check(data, global);
    global.require(fineTuning.epochs == null || data.hasLabels(),
        "--labels is missing: --fine-tune trains with labels");
    global.require(fineTuning.learningRate == null || fineTuning.epochs != null,
        "--learning-rate needs --fine-tune: give both, or neither");
    if (output.output != null) {
      for (String name : output.report == null ? List.<String>of() : List.of("report.json", "report.html")) {
        global.require(
            !output.output.toAbsolutePath().normalize()
                .equals(output.report.resolve(name).toAbsolutePath().normalize()),
            "--output and --report both write %s: give another file".formatted(output.output));
      }
      for (Path written : isPath()
          ? selection.sparsities().stream().map(output::at).toList()
          : List.of(output.output)) {
        output.check(global, written, data.files());
      }
    }
    Reports.check(output.report, output.force);
  }

  /// Whether the outputs are class probabilities or their logits: they are where the network ends in a softmax, or the
  /// loss is a cross-entropy.
  ///
  /// @param labelled where the labels are, if there are any
  private boolean isClassifier(DenseNetwork network, Optional<Dataset> labelled) throws IOException {
    if (network.graph().lastActivation().equals(Activation.SOFTMAX) || scoring.loss instanceof Loss.CrossEntropy) {
      return network.outputs() > 1;
    }
    return labelled.isPresent() && labelled.get().labels().isPresent()
        && Losses.inForce(scoring.loss, network.graph(), labelled.get()) instanceof Loss.CrossEntropy;
  }

  private PruningOptions options(boolean isClassifier) {
    return scoring.builder(run).preset(selection.method, isClassifier).target(switch (selection.scope) {
      case ScopeOption.Pattern(Target.Pattern pattern) -> pattern;
      case ScopeOption.Of(Scope scope) -> new Target.Fraction(selection.sparsities().getLast(), scope);
    }).stops(stops()).layerSparsities(selection.own()).schedule(selection.schedule())
        .repair(selection.repair(isClassifier)).minPerLayer(selection.minPerLayer)
        .histogramBins(output.report == null ? 0 : HISTOGRAM_BINS).build();
  }

  private boolean isPath() {
    return selection.sparsity != null && !selection.sparsity.isOne();
  }

  private List<Target> stops() {
    return selection.scope instanceof ScopeOption.Of(Scope scope)
        ? selection.sparsities().stream().limit(selection.sparsities().size() - 1)
            .<Target>map(sparsity -> new Target.Fraction(sparsity, scope)).toList()
        : List.of();
  }

  private Optional<Evaluation> evaluate(Backend backend, DeviceNetwork device, DenseNetwork network,
      Optional<Dataset> judges, ProgressListener progress) throws IOException {
    return judges.isEmpty()
        ? Optional.empty()
        : Optional.of(Evaluation.of(backend, device, judges.get(),
            Losses.inForce(scoring.loss, network.graph(), judges.get()), run.batchSize(backend, network), progress));
  }

  private void fineTune(Backend backend, PruningPlan plan, DeviceNetwork device, Dataset samples,
      ProgressListener progress) throws IOException {
    Set<String> excluded = plan.layers().stream().filter(PruningPlan.Layer::excluded).map(PruningPlan.Layer::name)
        .collect(Collectors.toSet());
    TrainingOptions training = new TrainingOptions(fineTuning.epochs, FINE_TUNING_BATCH,
        Adam.of(fineTuning.learningRate()), Losses.inForce(scoring.loss, device.graph(), samples), run.seed, true,
        excluded);
    Trainer.train(backend, device, samples, training, progress);
  }

  private Report report(Backend backend, PruningPlan plan, PruningResult result, Judgement judgement, ModelFile file,
      List<String> notes) {
    DenseNetwork network = file.network();
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.putAll(plan.inForce());
    inForce.put("method", selection.method);
    inForce.put("sparsity", plan.options().target().sparsity());
    judgement.now().ifPresent(evaluation -> inForce.put("loss", evaluation.lossName()));
    inForce.put("backend", backend.description());
    Report.Builder report = Reports.begin("prune").summary(summary(plan, result))
        .model(network.weights(), result.network().zeros()).layers(Reports.layers(network, result.layers()))
        .timings(Reports.timings(backend)).notes(notes).options(inForce);
    result.measuredChange().ifPresent(report::outputChange);
    judgement.dense().ifPresent(evaluation -> Reports.dense(report, evaluation));
    judgement.now().ifPresent(evaluation -> Reports.now(report, evaluation));
    return report.build();
  }

  /// With notes of what options do about it.
  private PruningResult noted(PruningPlan plan, Target target, PruningResult result, DenseNetwork network,
      boolean isClassifier, Optional<Dataset> judges, Optional<Dataset> trained) throws IOException {
    List<String> notes = new ArrayList<>(result.notes());
    if (selection.method != Preset.PAPER) {
      String kind = isClassifier
          ? " (for a classifier)"
          : network.outputs() == 1
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
        notes.add("%s weights short of a sparsity of %s: --min-per-layer %s keeps them".formatted(PLAIN.count(missing),
            sparsity, PLAIN.count(selection.minPerLayer)));
      } else if (missing < 0) {
        notes.add("%s weights more than a sparsity of %s asks for were zero before".formatted(PLAIN.count(-missing),
            sparsity));
      }
    }
    if (judges.isPresent()) {
      Losses.note(scoring.loss, network.graph(), judges.get()).ifPresent(notes::add);
    }
    if (trained.isPresent()) {
      Losses.note(scoring.loss, network.graph(), trained.get()).filter(note -> !notes.contains(note))
          .ifPresent(notes::add);
    }
    return new PruningResult(result.network(), result.layers(), result.measuredChange(), notes);
  }

  private String summary(PruningPlan plan, PruningResult result) {
    return "%s of %s: %s of %s weights removed (%s), criterion %s, compensation %s, schedule %s, repair %s.".formatted(
        output.dryRun ? "Trial pruning" : "Pruning", model.getFileName(), PLAIN.count(result.removed()),
        PLAIN.count(result.prunableWeights()), PLAIN.percent(result.sparsity()), plan.scoring().criterion(),
        plan.scoring().compensation(), plan.options().schedule(), plan.repair());
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
    result.notes().forEach(global::note);
    global.say(output.dryRun ? "dry run: no model written" : "model: " + output.output);
  }

  private static void row(Table table, String name, Evaluation evaluation) {
    table.row(name, PLAIN.value(evaluation.loss()), PLAIN.percent(evaluation.accuracy()));
  }
}
