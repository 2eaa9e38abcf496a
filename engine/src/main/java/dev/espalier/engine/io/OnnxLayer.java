package dev.espalier.engine.io;

import java.util.Optional;

/// A dense layer of an ONNX model.
///
/// @param transposed whether the weights are inputs × outputs
record OnnxLayer(String name, OnnxTensor weight, boolean transposed, Optional<OnnxTensor> bias) {}
