package dev.espalier.cli;

import dev.espalier.engine.io.ModelFile;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Optional;

/// The model that a command reads.
final class ModelOptions {
  static final String ACTIVATIONS = "Activations, if the model file does not name them: one for all hidden layers, or one"
      + " for each layer separated by commas. There are identity, relu, leaky_relu, elu, gelu, silu, softplus, tanh,"
      + " sigmoid, and softmax for the last.";

  private ModelOptions() {}

  /// @param activations null: those that the file names
  static ModelFile load(Path model, Activations activations, Arena arena) throws IOException {
    return ModelFile.load(model, Optional.ofNullable(activations).map(Activations::toString), arena);
  }
}
