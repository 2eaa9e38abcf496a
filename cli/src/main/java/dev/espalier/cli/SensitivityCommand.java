package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.SensitivityScan;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.SoftTargets;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.Curve;
import dev.espalier.engine.report.GraphReport;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier sensitivity`.
@Command(name = "sensitivity", sortOptions = false)
final class SensitivityCommand implements Callable<Integer> {
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
  private Grid grid = new Grid();

  @ArgGroup(validate = false, order = 4, headingKey = "scoring.heading")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 5, headingKey = "computation.heading")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 6, headingKey = "output.heading")
  private TableOptions output = new TableOptions();

  private static final class Grid {
    @Option(names = "--sparsities", paramLabel = "R", split = ",", order = 10, converter = Values.Fraction.class)
    private List<Double> sparsities = List.of(0.5, 0.8, 0.9, 0.95, 0.99);

    @Option(names = "--method", paramLabel = "NAME", order = 12)
    private Preset method = Preset.PAPER;

    @Option(names = "--augment", paramLabel = "NOISE", order = 13)
    private Augmentation augmentation = Augmentation.DEFAULT;
  }

  @Override
  public Integer call() throws IOException {
    scoring.check(data, global);
    test.check(data, true, global);
    global.require(data.data != null || test.isGiven(), "--data is missing: give samples to judge the output by");
    global.require(data.data != null || grid.method == Preset.PAPER,
        "--data is missing: --method %s needs calibration samples".formatted(grid.method));
    global.require(!grid.sparsities.isEmpty(), "--sparsities needs at least one value");
    output.check(global, data.files());
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      data.expect(reading.inputs(model));
      Optional<Dataset> calibration = data.data == null ? Optional.empty() : Optional.of(data.open(global));
      ModelFile file = reading.load(model, calibration, global, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Dataset judges = test.isGiven() ? test.open(data, global) : calibration.orElseThrow();
      judges.requireWidth(network.inputs());
      Optional<Loss> loss = judges.labels().isEmpty()
          ? Optional.empty()
          : Optional.of(Losses.inForce(scoring.loss, network.graph(), judges));
      try (Backend backend = run.open(global)) {
        OptionalDouble temperature = grid.method.takesTemperature() && loss.isPresent() && calibration.isPresent()
            ? SoftTargets.temperature(backend, network, calibration.get().samples(), loss.get())
            : OptionalDouble.empty();
        PruningOptions options = scoring.builder(run).preset(grid.method, temperature).build();
        Optional<Dataset> samples = calibration.isEmpty() || options.repair().steps().isEmpty()
            ? calibration
            : Optional.of(Samples.augmented(calibration.get(), grid.augmentation, run.seed, global, arena));
        PruningPlan plan = PruningPlan.of(options, network, samples, backend);
        List<String> notes = new ArrayList<>(ScoringChoices.uncompensated(plan).stream().toList());
        if (loss.isPresent()) {
          Losses.note(scoring.loss, network.graph(), judges).ifPresent(notes::add);
        }
        notes.forEach(global::note);
        SensitivityScan.Result result = new SensitivityScan(backend, network, samples, judges, loss,
            run.batchSize(backend, network), progress).run(grid.sparsities, options);
        progress.clear();
        backend.enter(Phase.WRITE);
        Dataset[] sources = Stream.concat(calibration.stream(), Stream.of(judges)).distinct().toArray(Dataset[]::new);
        List<String> all = Stream.concat(Reports.notes(file, sources).stream(), notes.stream()).toList();
        Report.Builder report = report(backend, network, plan, result, all);
        Optional<Verification> verification = calibration.isPresent()
            ? run.verification(backend, network, options, calibration)
            : Optional.empty();
        verification.map(Reports::deviations).ifPresent(report::deviations);
        output.write(report::build, csv(result), global);
        print(result);
        verification.ifPresent(it -> VerifyOptions.print(global, it));
      }
    }
    return 0;
  }

  private Report.Builder report(Backend backend, DenseNetwork network, PruningPlan plan, SensitivityScan.Result result,
      List<String> notes) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.putAll(plan.inForce());
    inForce.keySet().removeAll(List.of("sparsity", "scope")); // each layer alone, to each of the sparsities
    result.dense().evaluation().ifPresent(evaluation -> inForce.put("loss", evaluation.lossName()));
    inForce.put("backend", backend.description());
    List<Curve> curves = result.layers().stream()
        .map(
            layer -> new Curve(layer.name(),
                IntStream.range(0, result.sparsities().size())
                    .mapToObj(i -> Reports.point(result.sparsities().get(i), layer.judged().get(i))).toList()))
        .toList();
    Report.Builder report = Reports.begin("sensitivity")
        .summary("The layers of %s pruned one at a time: criterion %s, schedule %s, repair %s."
            .formatted(model.getFileName(), plan.scoring().criterion(), plan.options().schedule(), plan.repair()))
        .model(network.weights(), network.zeros()).graph(GraphReport.of(network.graph()))
        .layers(Reports.layers(network)).comparison(curves).timings(Reports.timings(backend)).notes(notes)
        .options(inForce);
    result.dense().evaluation().ifPresent(evaluation -> {
      report.lossName(evaluation.lossName().toString());
      Reports.dense(report, evaluation);
    });
    return report;
  }

  private static CsvTable csv(SensitivityScan.Result result) {
    List<List<String>> rows = new ArrayList<>();
    for (SensitivityScan.Layer layer : result.layers()) {
      for (int i = 0; i < result.sparsities().size(); i++) {
        EvaluationPass.Result judged = layer.judged().get(i);
        rows.add(Stream.concat(Stream.of(layer.name(), String.valueOf(result.sparsities().get(i))),
            Reports.fields(judged.evaluation(), OptionalDouble.of(judged.outputChange())).stream()).toList());
      }
    }
    return new CsvTable(Stream.concat(Stream.of("layer", "sparsity"), Reports.FIELDS.stream()).toList(), rows);
  }

  /// A table for each figure, a row for each layer.
  private void print(SensitivityScan.Result result) {
    Optional<Evaluation> dense = result.dense().evaluation();
    print(result, "output change", judged -> PLAIN.value(judged.outputChange()), "0");
    if (dense.isPresent()) {
      print(result, dense.get().lossName().toString(), judged -> PLAIN.value(judged.evaluation().orElseThrow().loss()),
          PLAIN.value(dense.get().loss()));
      if (dense.get().accuracy().isPresent()) {
        print(result, "accuracy", judged -> PLAIN.percent(judged.evaluation().orElseThrow().accuracy()),
            PLAIN.percent(dense.get().accuracy()));
      }
    }
    global.out().println("Each layer is pruned alone. Measured on %s."
        .formatted(test.isGiven() ? "test data" : "the samples it was pruned with"));
  }

  private void print(SensitivityScan.Result result, String title, Function<EvaluationPass.Result, String> figure,
      String dense) {
    Table table = new Table(1,
        Stream.concat(Stream.of(title, "dense"), result.sparsities().stream().map(PLAIN::exactPercent))
            .toArray(String[]::new));
    result.layers().forEach(layer -> table.row(
        Stream.concat(Stream.of(layer.name(), dense), layer.judged().stream().map(figure)).toArray(String[]::new)));
    table.lines().forEach(global.out()::println);
    global.out().println();
  }
}
