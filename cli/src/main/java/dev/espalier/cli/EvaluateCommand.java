package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Loss;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier evaluate`.
@Command(name = "evaluate", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier evaluate MODEL --data FILE --labels FILE [OPTION]...",
    header = "Judge a model by labelled samples.",
    description = "%nPrints the loss, the accuracy where labels are classes, and the sparsity of each layer.%n",
    footerHeading = "%nExample:%n",
    footer = {"    espalier evaluate pruned.safetensors --data test-x.npy --labels test-y.npy"})
final class EvaluateCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", description = "A safetensors file.")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @Option(names = "--loss", paramLabel = "LOSS", order = 1,
      description = {"mse or cross-entropy; default: cross-entropy for class indices, else mse."})
  private Loss loss;

  @ArgGroup(validate = false, order = 2, heading = "%nData:%n")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nComputation:%n")
  private BatchOptions run = new BatchOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nOutput:%n")
  private ReportOptions report = new ReportOptions();

  @Override
  public Integer call() throws IOException {
    global.require(data.data != null && data.labels != null, "--data and --labels are needed: give both");
    report.check();
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      DenseNetwork network = reading.load(model, arena).network();
      CalibrationSource samples = data.open();
      Loss used = loss == null ? Loss.defaultFor(network, samples.labels().orElseThrow()) : loss;
      Evaluation evaluation = Evaluation.of(backend, network, samples, used, run.batchSize(backend, network), progress);
      progress.clear();
      if (report.folder != null) {
        backend.enter(Phase.WRITE);
        report.write(report(backend, network, evaluation), global);
      }
      print(network, evaluation);
      run.verify(global, backend, network, samples);
    }
    return 0;
  }

  private Report report(Backend backend, DenseNetwork network, Evaluation evaluation) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("loss", evaluation.lossName());
    inForce.put("backend", backend.description());
    Report.Builder builder = Reports.begin("evaluate")
        .summary("%s on %s samples of %s.".formatted(model.getFileName(), PLAIN.count(evaluation.samples()), data.data))
        .model(network.weights(), Zeros.in(network)).layers(Reports.layers(network)).timings(Reports.timings(backend))
        .options(inForce);
    Reports.now(builder, evaluation);
    return builder.build();
  }

  private void print(DenseNetwork network, Evaluation evaluation) {
    Table table = new Table(3, "layer", "shape", "activation", "weights", "zero", "sparsity");
    for (DenseLayer layer : network.layers()) {
      table.row(layer.name(), PLAIN.shape(layer.outputs(), layer.inputs()), layer.activation().toString(),
          PLAIN.count(layer.weights().elements()), PLAIN.count(Zeros.in(layer)), PLAIN.percent(Zeros.sparsity(layer)));
    }
    table.rule();
    table.row("total", "", "", PLAIN.count(network.weights()), PLAIN.count(Zeros.in(network)),
        PLAIN.percent(Zeros.sparsity(network)));
    table.lines().forEach(global.out()::println);
    global.out().println();
    global.out().println("samples   %s".formatted(PLAIN.count(evaluation.samples())));
    global.out().println("loss      %s (%s)".formatted(PLAIN.value(evaluation.loss()), evaluation.lossName()));
    if (evaluation.accuracy().isPresent()) {
      global.out().println("accuracy  %s".formatted(PLAIN.percent(evaluation.accuracy())));
    }
  }
}
