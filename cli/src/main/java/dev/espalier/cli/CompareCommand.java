package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.Comparison;
import dev.espalier.engine.experiment.Comparison.Method;
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
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
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
  private ReportOptions report = new ReportOptions();

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
      global.require(data.hasLabels() || !method.criterion().needs().labels(),
          "--labels is missing: criterion %s needs a loss, and the loss needs labels".formatted(method.criterion()));
    }
    report.check();
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      Dataset calibration = data.open(global);
      ModelFile file = reading.load(model, Optional.of(calibration), global, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Dataset judges = test.open(data, global);
      Loss loss = Losses.inForce(scoring.loss, network.graph(), judges);
      Set<String> notes = new LinkedHashSet<>();
      Losses.note(scoring.loss, network.graph(), judges).ifPresent(notes::add);
      if (grid.criteria.stream().anyMatch(method -> method.criterion().needs().labels())) {
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
      if (report.folder != null) {
        backend.enter(Phase.WRITE);
        Report.Builder builder = Reports.begin("compare").lossName(loss.toString()).comparison(Reports.curves(result));
        Reports.dense(builder, result.dense());
        report
            .write(
                builder
                    .summary("%s pruned by %s criteria.".formatted(model.getFileName(),
                        PLAIN.count(result.methods().size())))
                    .model(network.weights(), network.zeros()).layers(Reports.layers(network))
                    .timings(Reports.timings(backend)).notes(Reports.notes(file, calibration, judges))
                    .options(inForce(backend, result.dense())).build(),
                global);
      }
      table(result).lines().forEach(global.out()::println);
      run.verify(global, backend, network, calibration);
    }
    return 0;
  }

  private PruningOptions options(Method method, boolean isClassifier) {
    PruningOptions.Builder builder = scoring.builder(method.criterion(), method.compensation(), run);
    method.preset().ifPresent(preset -> builder.preset(preset, isClassifier));
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
