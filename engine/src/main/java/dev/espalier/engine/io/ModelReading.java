package dev.espalier.engine.io;

import dev.espalier.engine.network.Activations;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// What a caller knows of a model that its file may leave open.
///
/// @param activations instead of those that the metadata name
/// @param layers      names of the layers in order, instead of those that the metadata list; empty: unknown. Other
///                    tensors of the file are left aside
/// @param from        the value of an ONNX model that the network begins at, instead of the model's inputs; what is before it
///                    is kept
/// @param inputs      the width of the samples, to which the first layer must fit where names do not number the layers
public record ModelReading(Optional<Activations> activations, List<String> layers, Optional<String> from,
    OptionalInt inputs) {
  /// Copies the list.
  public ModelReading {
    layers = List.copyOf(layers);
  }

  /// Of the whole model.
  public ModelReading(Optional<Activations> activations, List<String> layers, OptionalInt inputs) {
    this(activations, layers, Optional.empty(), inputs);
  }
}
