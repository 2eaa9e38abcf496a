package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SparseForm;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
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
      ModelFile file = reading.load(model, Optional.empty(), global, arena);
      if (sparse == null) {
        file.save(outputs, target, file.network(), _ -> false, force);
        file.conversions(target, file.network()).forEach(global::note);
      } else {
        file.saveSparse(outputs, target, sparse, force);
      }
      outputs.commit();
      if (sparse != null) {
        print(file);
      }
    }
    global.say("model: " + target);
    return 0;
  }

  private void print(ModelFile file) {
    List<Integer> layers = file.sparseLayers(sparse);
    Table table = new Table(2, "layer", "written as", "bytes", "dense", "zero");
    for (int l = 0; l < file.network().layers().size(); l++) {
      DenseLayer layer = file.network().layers().get(l);
      OptionalLong bytes = file.sparseBytes(l, sparse);
      boolean isSparse = layers.contains(l);
      table.row(layer.name(), isSparse ? sparse.toString() : "dense",
          PLAIN.count(isSparse ? bytes.orElseThrow() : file.denseBytes(l)), PLAIN.count(file.denseBytes(l)),
          PLAIN.percent(layer.sparsity()));
      if (!isSparse) {
        String why = bytes.isEmpty()
            ? "it has more than two weights among four"
            : bytes.getAsLong() < file.denseBytes(l)
                ? "so few weights cannot be told from a damaged file"
                : "as %s it would take %s".formatted(sparse, PLAIN.counted(bytes.getAsLong(), "byte"));
        global.note("layer %s stays dense: %s".formatted(layer.name(), why));
      }
    }
    table.lines().forEach(global.out()::println);
  }
}
