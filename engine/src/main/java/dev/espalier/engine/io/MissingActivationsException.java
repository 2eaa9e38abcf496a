package dev.espalier.engine.io;

import dev.espalier.engine.Nouns;
import java.nio.file.Path;

/// A model file does not name the activations of its layers.
public final class MissingActivationsException extends FormatException {
  private static final long serialVersionUID = 1;

  /// @param layers how many layers the model has
  MissingActivationsException(Path file, int layers) {
    super(file,
        "its metadata names no activations; give one for all hidden layers (the last is then identity), or one for "
            + "each of the %s".formatted(Nouns.counted(layers, "layer")));
  }
}
