package dev.espalier.cli;

import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.Activations;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/// How a command reads its model.
final class ModelOptions {
  @Option(names = "--activations", paramLabel = "NAMES", order = 0)
  private Activations activations;

  ModelFile load(Path model, Arena arena) throws IOException {
    return ModelFile.load(model, Optional.ofNullable(activations), arena);
  }
}
