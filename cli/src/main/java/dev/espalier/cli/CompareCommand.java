package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Loss;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier compare`.
@Command(name = "compare", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier compare MODEL --data FILE --test-data FILE --test-labels FILE [OPTION]...",
    header = "Prune by several criteria and show what each loses.",
    description = "%nPrunes the model by each criterion to each sparsity, with --data, and judges the results by the"
        + " test data. Writes no model.%n",
    footerHeading = "%nExample:%n",
    footer = {"    espalier compare model.safetensors --data x.npy --labels y.npy \\",
        "      --test-data test-x.npy --test-labels test-y.npy --sparsities .5,.8,.9 \\",
        "      --criteria ec,ec/none,magnitude,gradient --report comparison"})
final class CompareCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", description = "A safetensors file.")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, heading = "%nData to prune with:%n")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nData to judge by:%n")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nWhat to compare:%n")
  private Grid grid = new Grid();

  @ArgGroup(validate = false, order = 4, heading = "%nHow weights are scored:%n")
  private ScoringChoices scoring = new ScoringChoices();

  @ArgGroup(validate = false, order = 5, heading = "%nComputation:%n")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nOutput:%n")
  private ReportOptions report = new ReportOptions();

  private static final class Grid {
    @Option(names = "--sparsities", paramLabel = "R", split = ",", order = 10, converter = Values.Fraction.class,
        description = {"Fractions of weights to remove, separated by commas (default: ${DEFAULT-VALUE})."})
    private List<Double> sparsities = List.of(0.5, 0.8, 0.9);

    @Option(names = "--criteria", paramLabel = "NAME", split = ",", order = 11,
        description = {
            "ec, magnitude, gradient (needs --labels), wanda and random, separated by commas; ec/none is ec without its"
                + " compensation, wanda/bias is wanda with one (default: ${DEFAULT-VALUE})."})
    private List<Method> criteria = List.of(Method.parse("ec"), Method.parse("magnitude"));
  }

  @Override
  public Integer call() throws IOException {
    global.require(data.data != null, "--data is missing: samples to prune with");
    test.check(global);
    global.require(test.isGiven(), "--test-data and --test-labels are missing: what the results are judged by");
    for (Method method : grid.criteria) {
      global.require(data.labels != null || !method.criterion().needsLabels(),
          "--labels is missing: criterion %s needs a loss, and the loss needs labels".formatted(method.criterion()));
    }
    report.check();
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      DenseNetwork network = reading.load(model, arena).network();
      scoring.check(network, global);
      CalibrationSource judges = test.open();
      Loss loss = scoring.loss == null ? Loss.defaultFor(network, judges.labels().orElseThrow()) : scoring.loss;
      Comparison comparison = new Comparison(backend, network, data.open(), judges, loss,
          run.batchSize(backend, network), progress);
      Comparison.Result result = comparison.run(grid.sparsities, grid.criteria,
          method -> scoring.builder(method.criterion(), method.compensation(), run).listener(progress));
      progress.clear();
      if (report.folder != null) {
        backend.enter(Phase.WRITE);
        report.write(result.report(Reports.begin("compare"))
            .summary("%s pruned by %s criteria.".formatted(model.getFileName(), PLAIN.count(result.curves().size())))
            .model(network.weights(), Zeros.in(network)).layers(Reports.layers(network))
            .timings(Reports.timings(backend)).options(inForce(backend, result.dense())).build(), global);
      }
      result.table().lines().forEach(global.out()::println);
      run.verify(global, backend, network, data.open());
    }
    return 0;
  }

  private Map<String, Object> inForce(Backend backend, Evaluation dense) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("loss", dense.lossName());
    inForce.put("backend", backend.description());
    return inForce;
  }
}
