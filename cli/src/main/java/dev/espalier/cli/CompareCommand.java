package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.Comparison;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.experiment.SmallDense;
import dev.espalier.engine.experiment.Spread;
import dev.espalier.engine.experiment.Trial;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.SoftTargets;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.GraphReport;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.TrainingOptions;
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
import java.util.OptionalDouble;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.DoubleFunction;
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
    private List<Method> criteria = Stream.of("magnitude", "paper", "best").map(Method::parse).toList();

    @Option(names = "--scope", paramLabel = "SCOPE", order = 12)
    private Scope scope = new Scope.Global();

    @Option(names = "--prune-neurons", order = 12)
    private boolean neurons;

    @Option(names = "--seeds", paramLabel = "N", split = ",", order = 13, converter = Values.AtLeastZeroLong.class)
    private List<Long> seeds;

    @Option(names = "--augment", paramLabel = "NOISE", order = 13)
    private Augmentation augmentation = Augmentation.DEFAULT;

    @Option(names = "--small-dense", paramLabel = "EPOCHS", order = 14, converter = Values.AtLeastOne.class)
    private Integer smallDense;
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
    global.require(data.hasLabels() || grid.smallDense == null,
        "--labels is missing: --small-dense trains networks, and training needs labels");
    global.require(grid.seeds == null || grid.seeds.stream().distinct().count() == grid.seeds.size(),
        "--seeds %s: give each seed once".formatted(grid.seeds));
    global.require(grid.seeds == null || !global.isGiven("--seed"),
        "--seed and --seeds both say which seed is used: give one of them");
    for (Method method : grid.criteria) {
      Criterion criterion = method.criterion();
      global.require(
          method.sensitivity().isEmpty() || criterion.needs()
              .and(method.compensation().orElse(criterion.defaultCompensation()).needs()).sensitivities(),
          "--criteria %s: its sensitivity has no effect; leave it out".formatted(method));
    }
    global.require(!grid.neurons || !(grid.scope instanceof Scope.PerRow),
        "--scope row divides a neuron's weights: give global or layer with --prune-neurons");
    for (Method method : grid.criteria) {
      global.require(!grid.neurons || !method.scope().filter(Scope.PerRow.class::isInstance).isPresent(),
          "--criteria %s: row divides a neuron's weights: give global or layer with --prune-neurons".formatted(method));
    }
    global.require(!grid.neurons || grid.smallDense == null,
        "--small-dense counts weights, and --prune-neurons does not: leave one of them out");
    output.check(global, data.files());
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      data.expect(reading.inputs(model));
      Dataset calibration = data.open(global);
      ModelFile file = reading.load(model, Optional.of(calibration), global, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Optional<SmallDense> small = Optional.ofNullable(grid.smallDense).map(_ -> SmallDense.like(network));
      Dataset judges = test.open(data, global);
      judges.requireWidth(network.inputs());
      Loss loss = Losses.inForce(scoring.loss, network.graph(), judges);
      Set<String> notes = new LinkedHashSet<>();
      Losses.note(scoring.loss, network.graph(), judges).ifPresent(notes::add);
      if (grid.criteria.stream().anyMatch(Method::needsLabels)) {
        Losses.note(scoring.loss, network.graph(), calibration).ifPresent(notes::add);
      }
      try (Backend backend = run.open(global)) {
        OptionalDouble temperature = grid.criteria.stream().anyMatch(Method::takesTemperature)
            ? SoftTargets.temperature(backend, network, calibration.samples(), loss)
            : OptionalDouble.empty();
        for (Method method : grid.criteria) {
          PruningPlan plan = PruningPlan.of(options(method, run.seed, temperature), network, Optional.of(calibration),
              backend);
          ScoringChoices.uncompensated(plan).ifPresent(notes::add);
          Samples.copied(calibration, grid.augmentation)
              .filter(_ -> !plan.repair().steps().isEmpty() && !method.needsLabels()).ifPresent(notes::add);
        }
        notes.forEach(global::note);
        List<Comparison.Result> results = new ArrayList<>();
        for (long seed : seeds()) {
          ProgressListener part = seeds().size() == 1
              ? progress
              : progress.part("seed " + seed, results.size() / (double) seeds().size(),
                  (results.size() + 1.0) / seeds().size());
          results.add(new Comparison(backend, network, calibration, grid.augmentation, judges, loss,
              run.batchSize(backend, network), part)
              .run(grid.sparsities, grid.criteria, method -> options(method, seed, temperature)));
        }
        Evaluation dense = results.getFirst().dense();
        List<Contestant> contestants = new ArrayList<>(Contestant.of(results));
        contestants.addAll(smallDense(backend, network, small, calibration, judges, loss, progress));
        progress.clear();
        List<String> found = results.stream().flatMap(result -> result.methods().stream())
            .flatMap(method -> method.notes().stream().map(note -> method.method() + ": " + note)).distinct().toList();
        found.forEach(global::note);
        backend.enter(Phase.WRITE);
        List<String> all = Stream.of(Reports.notes(file, calibration, judges), notes, found).flatMap(Collection::stream)
            .toList();
        Report.Builder report = report(backend, network, dense, contestants, all);
        Optional<Verification> verification = run.verification(backend, network, calibration);
        verification.map(Reports::deviations).ifPresent(report::deviations);
        output.write(report::build, csv(contestants), global);
        table(dense, contestants, grid.neurons ? "neurons removed" : "sparsity").lines().forEach(global.out()::println);
        verification.ifPresent(it -> VerifyOptions.print(global, it));
      }
    }
    return 0;
  }

  private List<Long> seeds() {
    return grid.seeds == null ? List.of(run.seed) : grid.seeds;
  }

  /// Trained with the labels of the calibration data, at the defaults of `train`.
  private List<Contestant> smallDense(Backend backend, DenseNetwork network, Optional<SmallDense> small,
      Dataset training, Dataset judges, Loss loss, Progress progress) throws IOException {
    if (small.isEmpty()) {
      return List.of();
    }
    List<Contestant> contestants = new ArrayList<>();
    for (double sparsity : grid.sparsities.stream().sorted().distinct().toList()) {
      List<Evaluation> evaluations = new ArrayList<>();
      for (long seed : seeds()) {
        try (Arena arena = Arena.ofConfined()) {
          DenseNetwork trained = small.get().train(backend, sparsity, training, new TrainingOptions(grid.smallDense,
              TrainCommand.BATCH_SIZE, Adam.of(TrainCommand.LEARNING_RATE), loss, seed, false), progress, arena);
          try (DeviceNetwork device = DeviceNetwork.copyOf(backend, trained)) {
            evaluations.add(Evaluation.of(backend, device, judges, loss, run.batchSize(backend, network), progress));
          }
        }
      }
      contestants.add(new Contestant(Trial.SMALL, sparsity, evaluations, List.of(), List.of()));
    }
    return contestants;
  }

  private Report.Builder report(Backend backend, DenseNetwork network, Evaluation dense, List<Contestant> contestants,
      List<String> notes) {
    Report.Builder report = Reports.begin("compare").lossName(dense.lossName().toString())
        .comparison(Contestant.curves(contestants))
        .summary("%s pruned by %s.".formatted(model.getFileName(), PLAIN.counted(grid.criteria.size(), "method")))
        .model(network.weights(), network.zeros()).graph(GraphReport.of(network.graph()))
        .layers(Reports.layers(network)).timings(Reports.timings(backend)).notes(notes)
        .options(inForce(backend, dense));
    Reports.dense(report, dense);
    return report;
  }

  /// A row for each network.
  private CsvTable csv(List<Contestant> contestants) {
    List<List<String>> rows = new ArrayList<>();
    for (Contestant contestant : contestants) {
      for (int i = 0; i < contestant.evaluations().size(); i++) {
        OptionalDouble change = contestant.outputChanges().isEmpty()
            ? OptionalDouble.empty()
            : contestant.outputChanges().get(i);
        rows.add(Stream.concat(
            Stream.of(contestant.method(), String.valueOf(contestant.sparsity()), String.valueOf(seeds().get(i))),
            Reports.fields(Optional.of(contestant.evaluations().get(i)), change).stream()).toList());
      }
    }
    return new CsvTable(Stream.concat(Stream.of("criterion", "sparsity", "seed"), Reports.FIELDS.stream()).toList(),
        rows);
  }

  private PruningOptions options(Method method, long seed, OptionalDouble temperature) {
    PruningOptions.Builder builder = method
        .choose(scoring.builder(method.criterion(), method.compensation(), run), temperature).seed(seed);
    double sparsity = grid.sparsities.getLast();
    return builder
        .target(grid.neurons ? new Target.Neurons(sparsity, grid.scope) : new Target.Fraction(sparsity, grid.scope))
        .build();
  }

  /// A row for each sparsity and method, the dense network first.
  private static Table table(Evaluation dense, List<Contestant> contestants, String removed) {
    Table table = new Table(2, removed, "criterion", dense.lossName().toString(), "accuracy", "output change");
    table.row("-", "dense", PLAIN.value(dense.loss()), PLAIN.percent(dense.accuracy()), "0");
    for (double sparsity : contestants.stream().map(Contestant::sparsity).distinct().toList()) {
      table.rule();
      contestants.stream().filter(each -> each.sparsity() == sparsity)
          .forEach(each -> table.row(PLAIN.exactPercent(sparsity), each.method(),
              text(Optional.of(each.loss()), PLAIN::value), text(each.accuracy(), PLAIN::percent),
              text(each.outputChange(), PLAIN::value)));
    }
    return table;
  }

  private static String text(Optional<Spread> spread, DoubleFunction<String> number) {
    return spread.map(
        figure -> number.apply(figure.mean()) + (figure.runs() == 1 ? "" : " +- " + number.apply(figure.deviation())))
        .orElse("-");
  }

  private Map<String, Object> inForce(Backend backend, Evaluation dense) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("scope", grid.scope);
    if (grid.seeds != null) {
      inForce.remove("seed");
    }
    inForce.put("loss", dense.lossName());
    inForce.put("backend", backend.description());
    return inForce;
  }
}
