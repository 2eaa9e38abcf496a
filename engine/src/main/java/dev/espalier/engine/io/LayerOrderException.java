package dev.espalier.engine.io;

import java.nio.file.Path;
import java.util.List;

/// A model file does not show which of its tensors are the layers of the network, or in which order.
public final class LayerOrderException extends FormatException {
  private static final long serialVersionUID = 1;

  private final transient List<String> example;

  /// @param problem a clause
  /// @param example names of layers as they could be listed
  LayerOrderException(Path file, String problem, List<String> example) {
    super(file, problem + "; list the layers of the network in order, in the metadata key " + ModelFile.LAYERS);
    this.example = List.copyOf(example);
  }

  /// Names of layers as a caller could list them.
  public List<String> example() {
    return example;
  }
}
