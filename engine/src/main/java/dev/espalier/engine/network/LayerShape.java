package dev.espalier.engine.network;

/// The shape of a fully-connected layer, without its weights.
public interface LayerShape {
  /// What reports and exclusion patterns call it.
  String name();

  /// The number of neurons.
  int outputs();

  /// The width of the layer's input.
  int inputs();

  /// Whether it has a bias.
  boolean hasBias();

  /// φ, the activation that follows it; identity if another node than an activation does.
  Activation activation();

  /// The number of weights.
  default long elements() {
    return (long) outputs() * inputs();
  }
}
