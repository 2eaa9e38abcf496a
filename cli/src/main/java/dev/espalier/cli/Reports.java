package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SparseForm;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.pruning.Verification;
import dev.espalier.engine.report.Deviations;
import dev.espalier.engine.report.Gain;
import dev.espalier.engine.report.LayerReport;
import dev.espalier.engine.report.Point;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.report.ReportWriter;
import dev.espalier.engine.statistics.Density;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Reports of what a command did: `report.json` and `report.html` in a folder.
final class Reports {
  private static final List<Phase> ALWAYS = List.of(Phase.LOAD, Phase.FORWARD, Phase.BACKWARD, Phase.MOMENTS,
      Phase.SELECT, Phase.WRITE);

  private static final int MOST_CELLS = 64;
  private static final int LEAST_SIDE = 10;

  /// What a table says of a network that was judged; see [#fields].
  static final List<String> FIELDS = List.of("loss", "accuracy", "output_change");

  private Reports() {}

  /// Refuses before the work what could not be written after it.
  ///
  /// @param folder null: no report is wanted
  /// @param option that names the folder
  static void check(Path folder, boolean force, String option) throws IOException {
    if (folder == null) {
      return;
    }
    try (AtomicOutputs tried = new AtomicOutputs()) {
      tried.createFolder(folder);
      for (String name : List.of("report.json", "report.html")) {
        AtomicOutput.check(folder.resolve(name), force);
      }
    } catch (FileSystemException e) {
      if (Files.isDirectory(folder)) {
        throw e;
      }
      String reason = e instanceof AccessDeniedException ? "no permission" : e.getReason();
      throw new IOException("%s: a folder cannot be made there%s; choose another for %s".formatted(folder,
          reason == null ? "" : " (%s)".formatted(reason.toLowerCase(Locale.ROOT)), option), e);
    }
  }

  static Report.Builder begin(String command) {
    return Report.builder(command, Espalier.version(), Instant.now());
  }

  static void write(Report report, Path folder, boolean force, GlobalOptions global) throws IOException {
    ReportWriter.write(report, folder, force);
    say(folder, global);
  }

  /// Tells where a report is.
  static void say(Path folder, GlobalOptions global) {
    global.say("report: " + folder.resolve("report.html"));
  }

  /// Seconds by phase; the phases that each report has are there even if they took none.
  static Map<String, Double> timings(Backend backend) {
    Map<Phase, Double> seconds = backend.seconds();
    Map<String, Double> timings = new LinkedHashMap<>();
    for (Phase phase : Phase.values()) {
      if (ALWAYS.contains(phase) || seconds.containsKey(phase)) {
        timings.put(phase.name().toLowerCase(Locale.ROOT).replace('_', '-'), seconds.getOrDefault(phase, 0.0));
      }
    }
    return timings;
  }

  /// What the zeros of a pruned network are worth, in the format of the file that is written.
  ///
  /// @param written null: none is
  static Gain gain(ModelFile file, DenseNetwork pruned, Path written) {
    boolean isOnnx = written == null ? file.isOnnx() : ModelFile.isOnnx(written);
    if (isOnnx && !file.isOnnx()) {
      return gainAsOnnx(pruned);
    }
    Map.Entry<SparseForm, Long> sparse = SparseForm.of(isOnnx).stream()
        .map(form -> Map.entry(form, file.sparseBytes(pruned, form))).min(Map.Entry.comparingByValue()).orElseThrow();
    try (Arena arena = Arena.ofConfined()) {
      return new Gain(file.denseBytes(), sparse.getValue(), sparse.getKey().toString(), pruned.graph().multiplyAdds(),
          pruned.nonzeroMultiplyAdds(), Compaction.of(pruned, 1, arena).network().graph().multiplyAdds());
    }
  }

  /// Of a model that becomes ONNX, in float32 whatever it was.
  private static Gain gainAsOnnx(DenseNetwork pruned) {
    long dense = Float.BYTES * pruned.weights();
    long sparse = pruned.layers().stream().map(DenseLayer::weights)
        .mapToLong(weights -> Math.min(Float.BYTES * weights.elements(),
            (Float.BYTES + Long.BYTES) * (weights.elements() - weights.zeros()))) // a value and where it stands
        .sum();
    try (Arena arena = Arena.ofConfined()) {
      return new Gain(dense, sparse, SparseForm.COO.toString(), pruned.weights(), pruned.weights() - pruned.zeros(),
          Compaction.of(pruned, 1, arena).network().weights());
    }
  }

  /// Of a network as it is.
  static List<LayerReport> layers(DenseNetwork network) {
    return network.layers().stream().map(layer -> LayerReport.of(layer.name(), layer.outputs(), layer.inputs(),
        layer.activation().toString(), layer.weights().zeros())).toList();
  }

  /// Of a network as it was pruned, with pictures of what is left.
  ///
  /// @param inputShape rows and columns of the picture that a sample is; empty: a square, if that is possible
  static List<LayerReport> layers(DenseNetwork network, PruningResult pruned, Optional<Values.Shape> inputShape) {
    List<LayerResult> results = pruned.layers();
    return IntStream.range(0, results.size()).mapToObj(l -> {
      DenseLayer layer = network.layers().get(l);
      LayerResult result = results.get(l);
      MatrixView left = pruned.network().layers().get(l).weights();
      return new LayerReport(layer.name(), layer.outputs(), layer.inputs(), layer.activation().toString(),
          result.removed(), result.predictedChange(), result.measuredChange(), result.importance(), result.threshold())
          .with(Density.ofMatrix(left, MOST_CELLS),
              inputShape.or(() -> square(network.inputs())).filter(_ -> readsSamples(network, l))
                  .map(shape -> Density.ofInputs(left, shape.rows(), shape.columns())));
    }).toList();
  }

  /// Of a layer that was pruned alone.
  ///
  /// @param measured change of its own output
  /// @param left its weights afterwards
  static LayerReport layer(DenseLayer layer, LayerResult result, OptionalDouble measured, MatrixView left) {
    return new LayerReport(layer.name(), layer.outputs(), layer.inputs(), "", // what follows it is not known
        result.removed(), result.predictedChange(), measured, result.importance(), result.threshold())
        .with(Density.ofMatrix(left, MOST_CELLS), Optional.empty());
  }

  private static Optional<Values.Shape> square(int inputs) {
    int side = (int) Math.round(Math.sqrt(inputs));
    return side * side == inputs && side >= LEAST_SIDE ? Optional.of(new Values.Shape(side, side)) : Optional.empty();
  }

  private static boolean readsSamples(DenseNetwork network, int layer) {
    return network.graph().layers().get(layer).input() == 0;
  }

  /// One network on held-out data.
  static Point point(double sparsity, EvaluationPass.Result judged) {
    Optional<Evaluation> evaluation = judged.evaluation();
    return new Point(sparsity, evaluation.map(e -> OptionalDouble.of(e.loss())).orElse(OptionalDouble.empty()),
        evaluation.map(Evaluation::accuracy).orElse(OptionalDouble.empty()), OptionalDouble.of(judged.outputChange()));
  }

  /// The [#FIELDS] of a network, with all digits; accuracy from 0 to 1.
  static List<String> fields(Optional<Evaluation> evaluation, OptionalDouble outputChange) {
    return List.of(evaluation.map(e -> String.valueOf(e.loss())).orElse(""),
        text(evaluation.map(Evaluation::accuracy).orElse(OptionalDouble.empty())), text(outputChange));
  }

  private static String text(OptionalDouble figure) {
    return figure.isPresent() ? String.valueOf(figure.getAsDouble()) : "";
  }

  /// What was found out about the model and the data of a command; each fact once.
  static List<String> notes(ModelFile model, Dataset... data) {
    return Stream
        .concat(ModelOptions.notes(model).stream(), Stream.of(data).flatMap(each -> Samples.notes(each).stream()))
        .distinct().toList();
  }

  static Deviations deviations(Verification verification) {
    return new Deviations(verification.samples(), verification.target().sparsity(),
        verification.layers().stream().map(layer -> new Deviations.Layer(layer.name(), layer.importance(),
            layer.compensation(), layer.selected(), layer.differing())).toList());
  }

  static void dense(Report.Builder report, Evaluation evaluation) {
    report.denseLoss(evaluation.loss());
    evaluation.accuracy().ifPresent(report::denseAccuracy);
  }

  static void now(Report.Builder report, Evaluation evaluation) {
    report.loss(evaluation.lossName().toString(), evaluation.loss());
    evaluation.accuracy().ifPresent(report::accuracy);
  }
}
