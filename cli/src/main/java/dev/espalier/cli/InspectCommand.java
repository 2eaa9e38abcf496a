package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.LinearLayers;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SparseForm;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.GraphReport;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/// `espalier inspect`.
@Command(name = "inspect", sortOptions = false)
final class InspectCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @Override
  public Integer call() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      ModelFile file;
      try {
        file = reading.load(model, Optional.empty(), global, arena);
      } catch (FormatException e) {
        // What a file lacks to be a network shows best beside what it has.
        SafetensorsFile tensors;
        try {
          tensors = ModelFile.tensors(model, arena);
        } catch (IOException _) {
          throw e;
        }
        if (!tensors.tensors().isEmpty() && tensors.tensors().stream().allMatch(InspectCommand::isMask)) {
          printMasks(tensors, arena);
          global.note(
              "masks of the layers of a model: espalier prune MODEL --mask %s removes what they say".formatted(model));
        } else {
          printTensors(tensors);
          printBytes(arena);
          global.note("no network yet: " + Errors.explained(e));
        }
        return 0;
      }
      DenseNetwork network = file.network();
      Table table = new Table(5, "layer", "shape", "type", "bias", "activation", "weights", "zero", "sparsity");
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer layer = network.layers().get(l);
        table.row(layer.name(), PLAIN.shape(layer.outputs(), layer.inputs()), file.weightTensor(l).dtype().toString(),
            layer.bias().isPresent() ? "yes" : "no", layer.activation().toString(),
            PLAIN.count(layer.weights().elements()), PLAIN.count(layer.weights().zeros()),
            PLAIN.percent(layer.sparsity()));
      }
      table.rule();
      table.row("total", "", "", "", "", PLAIN.count(network.weights()), PLAIN.count(network.zeros()),
          PLAIN.percent(network.sparsity()));
      table.lines().forEach(global.out()::println);
      printBytes(file);
      if (!network.graph().isChain()) {
        printGraph(GraphReport.of(network.graph()));
      }
      if (!file.isOnnx()) {
        Set<String> own = ModelFile.tensors(model, arena).metadata().keySet(); // what was read adds to it
        file.file().metadata().forEach((key, value) -> {
          if (own.contains(key)) {
            printMetadata(key, value);
          }
        });
      }
    }
    return 0;
  }

  /// What the weights take with their zeros, and without them in each form that the file can have.
  private void printBytes(ModelFile file) {
    if (file.network().zeros() == 0) {
      return;
    }
    List<SparseForm> forms = SparseForm.of(file.isOnnx());
    Table table = new Table(1,
        Stream.concat(Stream.of("bytes of weights", "dense"), forms.stream().map(form -> "as " + form))
            .toArray(String[]::new));
    for (int l = 0; l < file.network().layers().size(); l++) {
      int layer = l;
      table.row(Stream.concat(Stream.of(file.network().layers().get(l).name(), PLAIN.count(file.denseBytes(l))),
          forms.stream().map(form -> text(file.sparseBytes(layer, form)))).toArray(String[]::new));
    }
    global.out().println();
    table.lines().forEach(global.out()::println);
  }

  /// The same of single layers that are no network.
  private void printBytes(Arena arena) throws IOException {
    LinearLayers layers;
    try {
      layers = LinearLayers.open(model, arena);
    } catch (FormatException _) {
      return; // no layers
    }
    List<String> pruned = layers.names().stream().filter(name -> layers.zeros(name) > 0).toList();
    List<SparseForm> forms = SparseForm.of(false);
    Table table = new Table(1,
        Stream.concat(Stream.of("bytes of weights", "zero", "dense"), forms.stream().map(form -> "as " + form))
            .toArray(String[]::new));
    for (String name : pruned) {
      Tensor weight = layers.weight(name);
      table
          .row(Stream.concat(
              Stream.of(name, PLAIN.percent((double) layers.zeros(name) / weight.elements()),
                  PLAIN.count(weight.data().byteSize())),
              forms.stream().map(form -> text(layers.sparseBytes(name, form)))).toArray(String[]::new));
    }
    if (!pruned.isEmpty()) {
      global.out().println();
      table.lines().forEach(global.out()::println);
    }
  }

  private static String text(OptionalLong bytes) {
    return bytes.isPresent() ? PLAIN.count(bytes.getAsLong()) : PLAIN.value(OptionalDouble.empty());
  }

  private void printGraph(GraphReport graph) {
    global.out().println();
    Table table = new Table(3, "node", "computes", "reads", "width");
    for (int n = 0; n < graph.nodes().size(); n++) {
      GraphReport.Step node = graph.nodes().get(n);
      table.row(String.valueOf(n), node.computes(),
          node.reads().stream().map(String::valueOf).collect(Collectors.joining(", ")), PLAIN.count(node.width()));
    }
    table.lines().forEach(global.out()::println);
  }

  private static boolean isMask(Tensor tensor) {
    return tensor.dtype() == DType.BOOL && tensor.shape().size() == 2;
  }

  private void printMasks(SafetensorsFile file, Arena arena) throws IOException {
    Table table = new Table(1, "mask", "shape", "kept", "removed", "sparsity");
    for (Tensor tensor : file.tensors()) {
      MatrixView mask = file.asFloat32(tensor, arena);
      table.row(tensor.name(), PLAIN.shape(mask.rows(), mask.columns()), PLAIN.count(mask.elements() - mask.zeros()),
          PLAIN.count(mask.zeros()), PLAIN.percent((double) mask.zeros() / mask.elements()));
    }
    table.lines().forEach(global.out()::println);
  }

  private void printTensors(SafetensorsFile file) {
    Table table = new Table(2, "tensor", "type", "shape");
    for (Tensor tensor : file.tensors()) {
      table.row(tensor.name(), tensor.dtype().toString(),
          tensor.shape().stream().map(String::valueOf).collect(Collectors.joining(" × ")));
    }
    table.lines().forEach(global.out()::println);
    file.metadata().forEach(this::printMetadata);
  }

  private void printMetadata(String key, String value) {
    global.out().println("metadata %s: %s".formatted(key, value));
  }
}
