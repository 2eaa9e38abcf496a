package dev.espalier.cli;

import dev.espalier.engine.io.ModelFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/// How a command reads its model.
final class ModelOptions {
  @Option(names = "--activations", paramLabel = "NAMES", order = 0, description = {
      "Activations, if the model file does not name them: one for all hidden layers, or one for each layer separated by"
          + " commas. There are identity, relu, leaky_relu, elu, gelu, silu, softplus, tanh, sigmoid, and softmax for the"
          + " last."})
  private Activations activations;

  ModelFile load(Path model, Arena arena) throws IOException {
    return ModelFile.load(model, Optional.ofNullable(activations).map(Activations::toString), arena);
  }
}
