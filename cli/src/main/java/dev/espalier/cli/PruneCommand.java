package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.SparsitySearch;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.SoftTargets;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.Gain;
import dev.espalier.engine.report.PredictedTime;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.report.ReportWriter;
import dev.espalier.engine.training.EarlyStopping;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
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
  static final int HISTOGRAM_BINS = 60;
  private static final int FINE_TUNING_BATCH = 128;

  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, headingKey = "data.heading")
  private PruneData data = new PruneData();

  @ArgGroup(validate = false, order = 2, headingKey = "test.heading")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, headingKey = "selection.heading")
  private SelectionOptions selection = new SelectionOptions();

  @ArgGroup(validate = false, order = 4, headingKey = "scoring.heading")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 6, headingKey = "fine-tuning.heading")
  private FineTuning fineTuning = new FineTuning();

  @ArgGroup(validate = false, order = 7, headingKey = "computation.heading")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 8, headingKey = "output.heading")
  private PruneOutputs output = new PruneOutputs();

  /// Of layers as the network's.
  private Optional<MeasuredTimes> measured = Optional.empty();

  private static final class FineTuning {
    @Option(names = "--fine-tune", paramLabel = "EPOCHS", order = 40, converter = Values.FineTune.class)
    private Values.Epochs asked;

    @Option(names = "--learning-rate", paramLabel = "RATE", order = 41, converter = Values.Positive.class)
    private Double learningRate;

    @Option(names = "--patience", paramLabel = "EPOCHS", order = 42, converter = Values.AtLeastOne.class)
    private Integer patience;

    private double learningRate() {
      return learningRate == null ? Repair.FineTune.LEARNING_RATE : learningRate;
    }

    /// Whether the network is trained once it is pruned.
    private boolean isAtEnd() {
      return asked != null && !asked.eachRound();
    }

    /// With a training in each round, if that is asked for.
    private Repairs with(Repairs repairs) {
      if (asked == null || !asked.eachRound()) {
        return repairs;
      }
      Repair training = new Repair.FineTune(OptionalInt.of(asked.count()), OptionalDouble.of(learningRate()),
          patience == null ? OptionalInt.empty() : OptionalInt.of(patience));
      return new Repairs(Stream.concat(repairs.steps().stream(), Stream.of(training)).toList());
    }
  }

  @Override
  public Integer call() throws IOException {
    selection.decide(scoring, data.data != null || data.layersFrom != null,
        data.data != null && fineTuning.asked == null && !scoring.criterion.needs().labels());
    if (data.layersFrom != null) {
      new PruneLayers(global, model, data, selection, scoring, run, output).prune();
      return 0;
    }
    check();
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      data.expect(reading.inputs(model));
      Optional<Dataset> given = data.data == null ? Optional.empty() : Optional.of(data.open(global));
      ModelFile file = reading.load(model, given, global, arena);
      DenseNetwork network = file.network();
      output.check(global, file, selection, data.files());
      if (output.output != null) {
        global.require(
            !scoring.newBias
                || !((file.isOnnx() && ModelFile.isOnnx(output.output))
                    || output.output.toString().endsWith(".index.json"))
                || network.layers().stream().allMatch(DenseLayer::hasBias),
            "--new-bias adds tensors, and %s gains none: give --output a name that ends in .safetensors"
                .formatted(ModelFile.isOnnx(output.output) ? "an ONNX file" : "an index"));
      }
      scoring.check(network, global);
      global.require(
          output.inputShape == null
              || (long) output.inputShape.rows() * output.inputShape.columns() == network.inputs(),
          "--input-shape %s: the network takes %s".formatted(output.inputShape,
              PLAIN.counted(network.inputs(), "number")));
      measured = output.measured(global, network);
      Optional<Dataset> tests = test.isGiven() ? Optional.of(test.open(data, global)) : Optional.empty();
      tests.ifPresent(samples -> samples.requireWidth(network.inputs()));
      Optional<Limits> limits = selection.limits();
      Optional<Dataset.Split> split = limits.isPresent() && tests.isEmpty()
          ? given.map(all -> all.holdOut(SparsitySearch.HELD_OUT))
          : Optional.empty();
      Optional<Dataset> used = split.map(Dataset.Split::used).or(() -> given);
      Optional<Dataset> heldOut = tests.or(() -> split.map(Dataset.Split::heldOut));
      Optional<Dataset> judges = heldOut.or(() -> used).filter(source -> source.labels().isPresent());
      Optional<String> head = Optional.ofNullable(data.head);
      Graph judged = head.isEmpty() ? network.graph() : network.graph().head(data.head);
      if (judges.isPresent()) {
        Losses.requireAll(judged, judges.get(), global);
      }
      boolean isClassifier = head.isEmpty() && isClassifier(network, judges.or(() -> used));
      SelectionOptions.check(options(isClassifier ? OptionalDouble.of(1) : OptionalDouble.empty(), file, arena),
          network.layers().stream().map(DenseLayer::name).toList(), global);
      try (Backend backend = run.open(global)) {
        OptionalDouble temperature = isClassifier ? temperature(backend, network, used) : OptionalDouble.empty();
        PruningOptions options = options(temperature, file, arena);
        Optional<Dataset> calibration = used.isEmpty()
            ? used
            : Optional.of(Samples.augmented(used.get(), selection.augmentation, run.seed, global, arena));
        prune(new PruneJob(global, backend, file, calibration, judges, head, Optional.ofNullable(output.checkpoint),
            isClassifier, selection, scoring, run, progress, arena), options, heldOut, split);
      }
    }
    return 0;
  }

  /// @param heldOut what a search judges by
  /// @param split where that comes from, if it is a part of the data
  private void prune(PruneJob job, PruningOptions options, Optional<Dataset> heldOut, Optional<Dataset.Split> split)
      throws IOException {
    Optional<Limits> limits = selection.limits();
    if (limits.isPresent()) {
      global.note("the search judges by %s".formatted(heldOut.orElseThrow().samples().name())
          + split.map(parts -> ", and prunes with the others").orElse(""));
      finish(job, new PruneSearch(job, limits.get(), heldOut.orElseThrow()).run(options));
    } else {
      List<PruningPlan> plans = data.statistics == null
          ? List.of(PruningPlan.of(options, job.network(), job.calibration(), job.backend()))
          : data.plans(options, job.network(), job.backend(), global, job.arena());
      plans.forEach(this::say);
      if (selection.isPath()) {
        new PrunePath(job, plans).run(output);
        run.verification(job.backend(), job.network(), options, job.calibration())
            .ifPresent(it -> VerifyOptions.print(global, it));
      } else {
        finish(job, prune(job, plans.getFirst()));
      }
    }
  }

  private void say(PruningPlan plan) {
    if (output.dryRun) {
      plan.toString().lines().forEach(line -> global.say("plan: " + line));
    }
  }

  private PruneOutcome prune(PruneJob job, PruningPlan plan) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(job.backend(), job.network())) {
      Optional<Evaluation> dense = job.evaluate(device);
      PruneJob.Run pruning = job.prune(plan, device);
      PruningResult result = job.noted(plan, plan.options().target(), pruning.results().getLast(),
          job.calibration().filter(_ -> fineTuning.isAtEnd() || plan.scoring().loss().isPresent()));
      Optional<Evaluation> pruned = job.evaluate(device);
      DenseNetwork last = result.network();
      Optional<Evaluation> fineTuned = Optional.empty();
      if (fineTuning.isAtEnd()) {
        fineTune(job, plan, device);
        last = device.download(job.arena());
        fineTuned = job.evaluate(device);
      }
      return new PruneOutcome(pruning.plan(), result, last, dense, pruned, fineTuned, Optional.empty(),
          pruning.earlier());
    }
  }

  /// Writes the model and the report, which appear together or not at all, and prints what became of the layers.
  private void finish(PruneJob job, PruneOutcome outcome) throws IOException {
    if (selection.limits().isPresent()) {
      say(outcome.plan());
    }
    job.progress().clear();
    job.backend().enter(Phase.WRITE);
    PruningResult result = outcome.result();
    Gain gain = Reports.gain(job.file(), outcome.last(), output.output);
    List<String> notes = Stream.concat(result.notes().stream(), rounded(job, outcome).stream()).toList();
    Optional<Verification> verification;
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      if (!output.dryRun) {
        output.save(outputs, OptionalDouble.empty(), job.file(), outcome.plan().options().target(), result,
            outcome.last());
      }
      Optional<Report.Builder> report = output.report == null
          ? Optional.empty()
          : Optional.of(report(job, outcome, gain, notes)); // before the verification, whose time does not count
      verification = run.verification(job.backend(), job.network(), outcome.plan().options(), job.calibration());
      if (report.isPresent()) {
        verification.map(Reports::deviations).ifPresent(report.get()::deviations);
        ReportWriter.write(outputs, report.get().build(), output.report, output.force);
      }
      outputs.commit();
    }
    if (output.report != null) {
      Reports.say(output.report, global);
    }
    List<PredictedTime> predicted = measured.map(times -> times.of(outcome.last())).orElse(List.of());
    outcome.print(global, job.network(), gain, predicted,
        test.isGiven() ? "test data" : selection.limits().isPresent() ? "held-out data" : "calibration data");
    notes.forEach(global::note);
    global.say(output.dryRun ? "dry run: no model written" : "model: " + output.output);
    if (output.mask != null && !output.dryRun) {
      global.say("mask: " + output.mask);
    }
    verification.ifPresent(it -> VerifyOptions.print(global, it));
  }

  private List<String> rounded(PruneJob job, PruneOutcome outcome) {
    return output.output == null ? List.of() : job.file().conversions(output.output, outcome.last());
  }

  private Report.Builder report(PruneJob job, PruneOutcome outcome, Gain gain, List<String> found) {
    Dataset[] sources = Stream.of(job.calibration(), job.judges()).flatMap(Optional::stream).toArray(Dataset[]::new);
    List<String> notes = Stream.of(outcome.earlier().stream().toList(), Reports.notes(job.file(), sources), found)
        .flatMap(List::stream).toList();
    return outcome.report(job, model, output.dryRun, Optional.ofNullable(output.inputShape), gain, notes)
        .predictedTimes(measured.map(times -> times.of(outcome.last())).orElse(List.of()));
  }

  private void check() throws IOException {
    global.require(output.dryRun || output.output != null,
        "--output is missing: give -o FILE, or --dry-run to write no model");
    selection.check(data.statistics != null, global);
    global.require(!selection.isPath() || (output.report == null && !fineTuning.isAtEnd()),
        "--report and --fine-tune are for one network: give one value of --sparsity, or train in each round");
    global.require(!selection.isPath() || output.times == null,
        "--times is for one network: give one value of --sparsity");
    Optional<Limits> limits = selection.limits();
    global.require(limits.isEmpty() || !fineTuning.isAtEnd(),
        "--fine-tune at the end would change the network that a search has found: give EPOCHS:each-round");
    global.require(limits.isEmpty() || test.isGiven() || data.data != null,
        "--data is missing: a search needs samples to judge by, of --data or --test-data");
    global.require(
        limits.stream().noneMatch(Limits::needsLabels) || (test.isGiven() ? test.hasLabels(data) : data.hasLabels()),
        "labels are missing: a limit of loss or accuracy needs %s, a limit of the output change none"
            .formatted(test.isGiven() ? "--test-labels" : "--labels"));
    data.check(selection, global);
    if (data.statistics == null) {
      scoring.check(data, global);
    } else {
      data.check(global);
    }
    global.require(data.data != null || selection.repair().steps().isEmpty(),
        "--data is missing: %s needs calibration samples"
            .formatted(selection.repair == null ? "--method " + selection.method : "--repair " + selection.repair));
    global.require(data.data != null || !global.isGiven("--augment"),
        "--augment makes copies of --data, which is missing: give both, or neither");
    test.check(data, limits.isPresent(), global);
    global.require((fineTuning.asked == null && !selection.repair().needLabels()) || data.hasLabels(),
        "--labels is missing: --fine-tune trains with labels");
    checkHead();
    global.require(fineTuning.asked == null || fineTuning.isAtEnd() || !selection.repair().needLabels(),
        "--fine-tune and --repair %s both train in each round: give one of them".formatted(selection.repair));
    global.require(output.inputShape == null || output.report != null,
        "--input-shape needs --report: give both, or neither");
    global.require(fineTuning.learningRate == null || fineTuning.asked != null,
        "--learning-rate needs --fine-tune: give both, or neither");
    global.require(fineTuning.patience == null || fineTuning.asked != null,
        "--patience needs --fine-tune: give both, or neither");
    boolean holdsOut = fineTuning.patience != null || selection.repair().steps().stream()
        .anyMatch(step -> step instanceof Repair.FineTune training && training.patience().isPresent());
    global.require(!holdsOut || selection.augmentation.equals(Augmentation.NONE),
        "a patience holds out samples, of which --augment makes copies to train with: leave one of them out");
    output.check(global, selection, model, data.files());
  }

  /// Refuses labels of one output for what would harm the others.
  private void checkHead() {
    global.require(data.head == null || data.hasLabels() || (test.isGiven() && test.hasLabels(data)),
        "--head names the output that labels are of, which are missing: give --labels or --test-labels");
    global.require(data.head == null || (fineTuning.asked == null && !selection.repair().needLabels()),
        "--head: labels of one output would train the network away from the others: leave out %s, or give labels of all"
            .formatted(fineTuning.asked == null ? "--repair " + selection.repair() : "--fine-tune"));
    global.require(data.head == null || !scoring.needs().labels(),
        "--head: criterion %s would score by labels of one output and lose the others: use ec, or give labels of all"
            .formatted(scoring.criterion));
  }

  /// Whether the outputs are class probabilities or their logits: they are where the network ends in a softmax, or the
  /// loss is a cross-entropy.
  ///
  /// @param labelled where the labels are, if there are any
  private boolean isClassifier(DenseNetwork network, Optional<Dataset> labelled) throws IOException {
    if (network.graph().endsInSoftmax() || scoring.loss instanceof Loss.CrossEntropy) {
      return network.outputs() > 1;
    }
    return labelled.isPresent() && labelled.get().labels().isPresent()
        && Losses.inForce(scoring.loss, network.graph(), labelled.get()) instanceof Loss.CrossEntropy;
  }

  /// Of the class probabilities, where they are compared.
  private OptionalDouble temperature(Backend backend, DenseNetwork network, Optional<Dataset> samples)
      throws IOException {
    boolean isTaken = selection.method.takesTemperature() || selection.repair().takeTemperature();
    return isTaken && samples.isPresent()
        ? OptionalDouble.of(SoftTargets.temperature(backend, network, samples.get().samples()))
        : OptionalDouble.empty();
  }

  private PruningOptions options(OptionalDouble temperature, ModelFile file, Arena arena) throws IOException {
    // With a checkpoint, a report may be asked for later.
    int bins = output.report == null && output.checkpoint == null ? 0 : HISTOGRAM_BINS;
    return scoring.builder(run).preset(selection.method, temperature).target(selection.target(file, arena))
        .stops(selection.stops()).layerSparsities(selection.own()).schedule(selection.schedule())
        .repair(fineTuning.with(selection.repair(temperature))).minPerLayer(selection.minPerLayer).histogramBins(bins)
        .build();
  }

  private void fineTune(PruneJob job, PruningPlan plan, DeviceNetwork device) throws IOException {
    Dataset samples = job.calibration().orElseThrow();
    Set<String> excluded = plan.layers().stream().filter(PruningPlan.Layer::excluded).map(PruningPlan.Layer::name)
        .collect(Collectors.toSet());
    TrainingOptions training = new TrainingOptions(fineTuning.asked.count(), FINE_TUNING_BATCH,
        Adam.of(fineTuning.learningRate()), Losses.inForce(scoring.loss, device.graph(), samples), run.seed, true,
        excluded);
    EarlyStopping.Result result;
    try (Resource _ = job.backend().hold(Phase.FINE_TUNE)) {
      if (fineTuning.patience == null) {
        Trainer.train(job.backend(), device, samples, training, job.progress());
        return;
      }
      result = EarlyStopping.train(job.backend(), device, samples, training, fineTuning.patience, job.progress());
    }
    job.progress().clear();
    global.note("fine-tuning ended after epoch %d of %d, and %s, with the least %s (%s) on %s".formatted(
        result.epochs(), fineTuning.asked.count(),
        result.best() == 0 ? "left the network as it was" : "kept epoch %d".formatted(result.best()), training.loss(),
        PLAIN.value(result.heldOut().loss()), PLAIN.counted(result.heldOut().samples(), "held-out sample")));
  }
}
