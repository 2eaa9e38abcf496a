package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.GraphReport;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier evaluate`.
@Command(name = "evaluate", sortOptions = false)
final class EvaluateCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @Option(names = "--loss", paramLabel = "LOSS", order = 1)
  private Loss loss;

  @Option(names = "--head", paramLabel = "NAME", order = 1)
  private String head;

  @ArgGroup(validate = false, order = 2, headingKey = "data.heading")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 3, headingKey = "computation.heading")
  private BatchOptions run = new BatchOptions();

  @ArgGroup(validate = false, order = 4, headingKey = "output.heading")
  private ReportOptions report = new ReportOptions();

  @Override
  public Integer call() throws IOException {
    data.check(global);
    global.require(data.hasLabels(), "--data or --labels is missing: give both");
    report.check();
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      data.expect(reading.inputs(model));
      Dataset samples = data.open(global);
      ModelFile file = reading.load(model, Optional.of(samples), global, arena);
      DenseNetwork network = head == null ? file.network() : file.network().head(head);
      Losses.requireAll(network.graph(), samples, global);
      Loss used = Losses.inForce(loss, network.graph(), samples);
      Losses.note(loss, network.graph(), samples).ifPresent(global::note);
      try (Backend backend = run.open(global)) {
        Evaluation evaluation;
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
          evaluation = Evaluation.of(backend, device, samples, used, run.batchSize(backend, network), progress);
        }
        progress.clear();
        Report.Builder page = report(backend, network, Reports.notes(file, samples), evaluation);
        Optional<Verification> verification = run.verification(backend, network, samples);
        verification.map(Reports::deviations).ifPresent(page::deviations);
        if (report.folder != null) {
          report.write(page.build(), global);
        }
        print(network, evaluation);
        verification.ifPresent(it -> VerifyOptions.print(global, it));
      }
    }
    return 0;
  }

  private Report.Builder report(Backend backend, DenseNetwork network, List<String> notes, Evaluation evaluation) {
    Map<String, Object> inForce = new LinkedHashMap<>(global.inForce());
    inForce.put("loss", evaluation.lossName());
    inForce.put("backend", backend.description());
    Report.Builder builder = Reports.begin("evaluate")
        .summary(
            "%s on %s of %s.".formatted(model.getFileName(), PLAIN.counted(evaluation.samples(), "sample"), data.data))
        .model(network.weights(), network.zeros()).graph(GraphReport.of(network.graph()))
        .layers(Reports.layers(network)).timings(Reports.timings(backend)).notes(notes).options(inForce);
    Reports.now(builder, evaluation);
    return builder;
  }

  private void print(DenseNetwork network, Evaluation evaluation) {
    Table table = new Table(3, "layer", "shape", "activation", "weights", "zero", "sparsity");
    for (DenseLayer layer : network.layers()) {
      table.row(layer.name(), PLAIN.shape(layer.outputs(), layer.inputs()), layer.activation().toString(),
          PLAIN.count(layer.weights().elements()), PLAIN.count(layer.weights().zeros()),
          PLAIN.percent(layer.sparsity()));
    }
    table.rule();
    table.row("total", "", "", PLAIN.count(network.weights()), PLAIN.count(network.zeros()),
        PLAIN.percent(network.sparsity()));
    table.lines().forEach(global.out()::println);
    global.out().println();
    global.out().println("samples   %s".formatted(PLAIN.count(evaluation.samples())));
    global.out().println("loss      %s (%s)".formatted(PLAIN.value(evaluation.loss()), evaluation.lossName()));
    if (evaluation.accuracy().isPresent()) {
      global.out().println("accuracy  %s".formatted(PLAIN.percent(evaluation.accuracy())));
    }
  }
}
