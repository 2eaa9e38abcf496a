package dev.espalier.engine.io;

import java.nio.file.Path;

/// A model file does not name the activations of its layers.
public final class MissingActivationsException extends FormatException {
  private static final long serialVersionUID = 1;

  /// @param layers how many layers the model has
  MissingActivationsException(Path file, int layers) {
    super(file,
        "its metadata names no activations; give one for all hidden layers (the last is then identity), or one for "
            + "each of the %d layers".formatted(layers));
  }
}
