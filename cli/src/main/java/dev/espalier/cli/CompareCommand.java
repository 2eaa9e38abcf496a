package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.Comparison;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier compare`.
@Command(name = "compare", sortOptions = false)
final class CompareCommand implements Callable<Integer> {
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

  @ArgGroup(validate = false, order = 3, headingKey = "grid.heading")
  private Grid grid = new Grid();

  @ArgGroup(validate = false, order = 4, headingKey = "scoring.heading")
  private ScoringChoices scoring = new ScoringChoices();

  @ArgGroup(validate = false, order = 5, headingKey = "computation.heading")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 6, headingKey = "output.heading")
  private TableOptions output = new TableOptions();

  private static final class Grid {
    @Option(names = "--sparsities", paramLabel = "R", split = ",", order = 10, converter = Values.Fraction.class)
    private List<Double> sparsities = List.of(0.5, 0.8, 0.9);

    @Option(names = "--criteria", paramLabel = "NAME", split = ",", order = 11)
    private List<Method> criteria = List.of(Method.parse("ec"), Method.parse("magnitude"));

    @Option(names = "--scope", paramLabel = "SCOPE", order = 12)
    private Scope scope = new Scope.Global();
  }

  @Override
  public Integer call() throws IOException {
    global.require(data.data != null, "--data is missing: give calibration samples");
    data.check(global);
    test.check(data, global);
    global.require(test.isGiven(), "--test-data and --test-labels are missing: give samples to evaluate on");
    global.require(!grid.sparsities.isEmpty() && !grid.criteria.isEmpty(),
        "--sparsities and --criteria each need at least one value");
    for (Method method : grid.criteria) {
      global.require(data.hasLabels() || !method.needsLabels(),
          "--labels is missing: %s needs a loss, and the loss needs labels".formatted(method));
    }
    output.check(global, data.files());
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      Dataset calibration = data.open(global);
      ModelFile file = reading.load(model, Optional.of(calibration), global, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Dataset judges = test.open(data, global);
      Loss loss = Losses.inForce(scoring.loss, network.graph(), judges);
      Set<String> notes = new LinkedHashSet<>();
      Losses.note(scoring.loss, network.graph(), judges).ifPresent(notes::add);
      if (grid.criteria.stream().anyMatch(Method::needsLabels)) {
        Losses.note(scoring.loss, network.graph(), calibration).ifPresent(notes::add);
      }
      boolean isClassifier = loss instanceof Loss.CrossEntropy;
      for (Method method : grid.criteria) {
        ScoringChoices
            .uncompensated(PruningPlan.of(options(method, isClassifier), network, Optional.of(calibration), backend))
            .ifPresent(notes::add);
      }
      notes.forEach(global::note);
      Comparison comparison = new Comparison(backend, network, calibration, judges, loss,
          run.batchSize(backend, network), progress);
      Comparison.Result result = comparison.run(grid.sparsities, grid.criteria,
          method -> options(method, isClassifier));
      progress.clear();
      List<String> found = result.methods().stream()
          .flatMap(method -> method.notes().stream().map(note -> method.method() + ": " + note)).toList();
      found.forEach(global::note);
      backend.enter(Phase.WRITE);
      List<String> all = Stream.of(Reports.notes(file, calibration, judges), notes, found).flatMap(Collection::stream)
          .toList();
      output.write(() -> report(backend, network, result, all), csv(result), global);
      table(result).lines().forEach(global.out()::println);
      run.verify(global, backend, network, calibration);
    }
    return 0;
  }

  private Report report(Backend backend, DenseNetwork network, Comparison.Result result, List<String> notes) {
    Report.Builder report = Reports.begin("compare").lossName(result.dense().lossName().toString())
        .comparison(Reports.curves(result))
        .summary("%s pruned by %s criteria.".formatted(model.getFileName(), PLAIN.count(result.methods().size())))
        .model(network.weights(), network.zeros()).layers(Reports.layers(network)).timings(Reports.timings(backend))
        .notes(notes).options(inForce(backend, result.dense()));
    Reports.dense(report, result.dense());
    return report.build();
  }

  private static CsvTable csv(Comparison.Result result) {
    List<List<String>> rows = new ArrayList<>();
    for (Comparison.MethodResult method : result.methods()) {
      for (Comparison.Outcome outcome : method.outcomes()) {
        rows.add(Stream.concat(Stream.of(method.method().toString(), String.valueOf(outcome.sparsity())),
            Reports.fields(Optional.of(outcome.evaluation()), outcome.outputChange()).stream()).toList());
      }
    }
    return new CsvTable(Stream.concat(Stream.of("criterion", "sparsity"), Reports.FIELDS.stream()).toList(), rows);
  }

  private PruningOptions options(Method method, boolean isClassifier) {
    PruningOptions.Builder builder = method.choose(scoring.builder(method.criterion(), method.compensation(), run),
        isClassifier);
    return builder.target(new Target.Fraction(grid.sparsities.getLast(), grid.scope)).build();
  }

  /// A row for each sparsity and method, the dense network first.
  private static Table table(Comparison.Result result) {
    Evaluation dense = result.dense();
    Table table = new Table(2, "sparsity", "criterion", dense.lossName().toString(), "accuracy", "output change");
    table.row("-", "dense", PLAIN.value(dense.loss()), PLAIN.percent(dense.accuracy()), "0");
    for (int i = 0; i < result.methods().getFirst().outcomes().size(); i++) {
      table.rule();
      for (Comparison.MethodResult method : result.methods()) {
        Comparison.Outcome outcome = method.outcomes().get(i);
        table.row(PLAIN.exactPercent(outcome.sparsity()), method.method().toString(),
            PLAIN.value(outcome.evaluation().loss()), PLAIN.percent(outcome.evaluation().accuracy()),
            PLAIN.value(outcome.outputChange()));
      }
    }
    return table;
  }

  private Map<String, Object> inForce(Backend backend, Evaluation dense) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("scope", grid.scope);
    inForce.put("loss", dense.lossName());
    inForce.put("backend", backend.description());
    return inForce;
  }
}
