package dev.espalier.engine.method;

/// The groups of weights that are ranked together.
public sealed interface Scope {
  /// All prunable weights of the network.
  record Global() implements Scope {
    @Override
    public String toString() {
      return "global";
    }
  }

  /// The weights of each layer, all layers to the same sparsity.
  record PerLayer() implements Scope {
    @Override
    public String toString() {
      return "layer";
    }
  }

  /// The weights of each row, which are the weights of one neuron, all rows to the same sparsity.
  record PerRow() implements Scope {
    @Override
    public String toString() {
      return "row";
    }
  }

  /// `global`, `layer` or `row`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Scope parse(String text) {
    return switch (text) {
      case "global" -> new Global();
      case "layer" -> new PerLayer();
      case "row" -> new PerRow();
      default -> throw new IllegalArgumentException("unknown scope '%s': use global, layer or row".formatted(text));
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
