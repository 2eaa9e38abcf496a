package dev.espalier.engine.io;

import java.util.Optional;

/// A dense layer of an ONNX model.
///
/// @param transposed whether the weights are inputs × outputs
/// @param mean       that of the batch normalisation that takes the bias, of a layer without one
record OnnxLayer(String name, OnnxTensor weight, boolean transposed, Optional<OnnxTensor> bias,
    Optional<OnnxTensor> mean) {
  /// Whether it has the weights and the bias of another, by the names of these.
  boolean isSame(OnnxLayer other) {
    return transposed == other.transposed && weight.name().equals(other.weight.name())
        && bias.map(OnnxTensor::name).equals(other.bias.map(OnnxTensor::name));
  }
}
