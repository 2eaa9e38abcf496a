package dev.espalier.engine.io;

/// Where the order of the layers in a [ModelFile] comes from.
public enum LayerOrder {
  /// The names of the layers number them.
  NUMBERS,
  /// It is the only order in which the widths of the layers chain, with each other and with the samples.
  WIDTHS,
  /// The file's metadata list the layers.
  METADATA,
  /// The caller listed the layers.
  GIVEN
}
