package dev.espalier.engine.network;

/// What a fully-connected layer is but for the values of its weights.
public interface LayerShape {
  /// What reports and `--exclude` call it.
  String name();

  /// The number of neurons.
  int outputs();

  /// The width of the layer's input.
  int inputs();

  /// Whether it has a bias.
  boolean hasBias();

  /// φ
  Activation activation();
}
