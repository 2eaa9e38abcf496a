package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.LinearLayers;
import dev.espalier.engine.io.MissingActivationsException;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SparseForm;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier convert`.
@Command(name = "convert", sortOptions = false)
final class ConvertCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", index = "0")
  private Path model;

  @Parameters(paramLabel = "FILE", index = "1")
  private Path target;

  @Mixin
  private ModelOptions reading;

  @Option(names = "--sparse", paramLabel = "FORM", order = 10)
  private SparseForm sparse;

  @Option(names = {"-f", "--force"}, order = 83)
  private boolean force;

  @Override
  public Integer call() throws IOException {
    OutputOptions.checkModel(global, "FILE", target, force, model);
    List<SparseForm> forms = SparseForm.of(ModelFile.isOnnx(target));
    global.require(sparse == null || forms.contains(sparse), "--sparse %s: %s has no such form; use %s"
        .formatted(sparse, target, forms.stream().map(SparseForm::toString).collect(Collectors.joining(" or "))));
    global.require(sparse == null || !target.toString().endsWith(".index.json"),
        "--sparse: a model in several files has no sparse weights; give a name that ends in .safetensors");
    try (Arena arena = Arena.ofConfined(); AtomicOutputs outputs = new AtomicOutputs()) {
      List<Row> rows;
      try {
        rows = write(reading.load(model, Optional.empty(), global, arena), outputs);
      } catch (FormatException e) {
        rows = write(layers(e, arena), outputs);
      }
      outputs.commit();
      print(rows);
    }
    global.say("model: " + target);
    return 0;
  }

  /// A layer as it is written.
  ///
  /// @param bytes in the sparse form, if it can have it
  private record Row(String layer, double sparsity, long dense, OptionalLong bytes, boolean isSparse) {}

  private List<Row> write(ModelFile file, AtomicOutputs outputs) throws IOException {
    if (sparse == null) {
      file.save(outputs, target, file.network(), _ -> false, force);
      file.conversions(target, file.network()).forEach(global::note);
      return List.of();
    }
    file.saveSparse(outputs, target, sparse, force);
    List<Integer> layers = file.sparseLayers(sparse);
    return IntStream.range(0, file.network().layers().size()).mapToObj(l -> {
      DenseLayer layer = file.network().layers().get(l);
      return new Row(layer.name(), layer.sparsity(), file.denseBytes(l), file.sparseBytes(l, sparse),
          layers.contains(l));
    }).toList();
  }

  /// The layers of a file that holds no network, which need none to be written in a sparse form, or as dense ones again.
  ///
  /// @param reason why it holds none; thrown if the file cannot be written so either
  private LinearLayers layers(FormatException reason, Arena arena) throws IOException {
    LinearLayers layers;
    try {
      layers = LinearLayers.open(model, arena);
    } catch (FormatException _) {
      throw reason;
    }
    boolean isPossible = !reading.isGiven() && !ModelFile.isOnnx(target) && (sparse != null || layers.isSparse());
    if (!isPossible || reason instanceof MissingActivationsException) {
      throw reason;
    }
    layers.notes().forEach(global::note);
    global.note("no network, but single layers: " + Errors.explained(reason));
    return layers;
  }

  private List<Row> write(LinearLayers layers, AtomicOutputs outputs) throws IOException {
    if (sparse == null) {
      layers.copy(outputs, target, force, List.of());
      return List.of();
    }
    layers.saveSparse(outputs, target, sparse, force);
    List<String> written = layers.sparseLayers(sparse);
    return layers.names().stream().map(name -> {
      Tensor weight = layers.weight(name);
      return new Row(name, (double) layers.zeros(name) / Math.max(1, weight.elements()), weight.data().byteSize(),
          layers.sparseBytes(name, sparse), written.contains(name));
    }).toList();
  }

  private void print(List<Row> rows) {
    if (rows.isEmpty()) {
      return;
    }
    Table table = new Table(2, "layer", "written as", "bytes", "dense", "zero");
    for (Row row : rows) {
      table.row(row.layer, row.isSparse ? sparse.toString() : "dense",
          PLAIN.count(row.isSparse ? row.bytes.orElseThrow() : row.dense), PLAIN.count(row.dense),
          PLAIN.percent(row.sparsity));
      if (!row.isSparse) {
        String why = row.bytes.isEmpty()
            ? "it has more than two weights among four"
            : row.bytes.getAsLong() < row.dense
                ? "so few weights cannot be told from a damaged file"
                : "as %s it would take %s".formatted(sparse, PLAIN.counted(row.bytes.getAsLong(), "byte"));
        global.note("layer %s stays dense: %s".formatted(row.layer, why));
      }
    }
    table.lines().forEach(global.out()::println);
  }
}
