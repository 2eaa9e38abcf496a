package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.ModelInput;
import dev.espalier.engine.io.ModelReading;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import picocli.CommandLine.Option;

/// How a command reads its model.
final class ModelOptions {
  @Option(names = "--activations", paramLabel = "NAMES", order = 0)
  private Activations activations;

  @Option(names = "--layers", paramLabel = "NAMES", order = 0, split = ",")
  private List<String> layers = List.of();

  @Option(names = "--from", paramLabel = "TENSOR", order = 0)
  private String from;

  /// Reads a model for `data`, and says which of the file's tensors make the network where that was not obvious.
  ModelFile load(Path model, Optional<Dataset> data, GlobalOptions global, Arena arena) throws IOException {
    OptionalInt inputs = data.map(given -> OptionalInt.of(given.samples().width())).orElse(OptionalInt.empty());
    ModelFile file = ModelFile.load(model, reading(inputs), arena);
    data.ifPresent(given -> given.requireWidth(file.network().inputs()));
    notes(file).forEach(global::note);
    return file;
  }

  /// Whether any of the options is given.
  boolean isGiven() {
    return activations != null || !layers.isEmpty() || from != null;
  }

  private ModelReading reading(OptionalInt inputs) {
    return new ModelReading(Optional.ofNullable(activations), layers, Optional.ofNullable(from), inputs);
  }

  /// The inputs of a model, where its file names them.
  List<ModelInput> inputs(Path model) throws IOException {
    return ModelFile.inputs(model, reading(OptionalInt.empty()));
  }

  /// That the last layer may be a table of embeddings, which has the shape of one. It has no bias, and here all others have
  /// one.
  private static Optional<String> embedding(DenseNetwork network) {
    List<DenseLayer> before = network.layers().subList(0, network.layers().size() - 1);
    DenseLayer last = network.layers().getLast();
    boolean isOdd = last.bias().isEmpty() && before.stream().allMatch(layer -> layer.bias().isPresent());
    return isOdd && !before.isEmpty()
        ? Optional.of("layer %s (%d x %d) alone has no bias: if it is an embedding, leave it out by --layers %s"
            .formatted(last.name(), last.outputs(), last.inputs(),
                before.stream().map(DenseLayer::name).collect(Collectors.joining(","))))
        : Optional.empty();
  }

  /// What was not obvious in reading a model.
  static List<String> notes(ModelFile file) {
    List<String> notes = new ArrayList<>();
    String names = file.network().layers().stream().map(DenseLayer::name).collect(Collectors.joining(", "));
    int parts = file.file().parts().size();
    if (parts > 1) {
      notes.add("model: %s files, read as one by %s".formatted(parts, file.file().path().getFileName()));
    }
    notes.addAll(file.notes());
    switch (file.order()) {
      case NUMBERS, GIVEN -> {
        // obvious
      }
      case WIDTHS -> {
        notes.add(
            "layers: %s (the only order in which the widths chain; --layers sets another, or a part)".formatted(names));
        embedding(file.network()).ifPresent(notes::add);
      }
      case METADATA -> notes.add("layers: %s (listed in the metadata)".formatted(names));
    }
    for (int l = 0; l < file.network().layers().size(); l++) {
      DenseLayer layer = file.network().layers().get(l);
      file.slopeTensor(l).ifPresent(slope -> notes
          .add("layer %s: prelu, with the slope of %s: %s".formatted(layer.name(), slope.name(), layer.activation())));
    }
    if (!file.unused().isEmpty()) {
      notes.add(
          "not part of the network: " + file.unused().stream().map(Tensor::name).collect(Collectors.joining(", ")));
    }
    return notes;
  }
}
