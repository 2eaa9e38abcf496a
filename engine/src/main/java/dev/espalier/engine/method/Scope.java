package dev.espalier.engine.method;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Among which weights the least important are sought.
public sealed interface Scope {
  /// All prunable weights of the network together.
  record Global() implements Scope {
    @Override
    public String toString() {
      return "global";
    }
  }

  /// Each layer on its own, all to the same sparsity.
  record PerLayer() implements Scope {
    @Override
    public String toString() {
      return "layer";
    }
  }

  /// Each row, the weights of one neuron, on its own, all to the same sparsity.
  record PerRow() implements Scope {
    @Override
    public String toString() {
      return "row";
    }
  }

  /// Of every `groupWidth` neighbours in a row `kept` stay, as sparse tensor cores want it (2:4). A last group that is
  /// narrower keeps as many, or all it has.
  ///
  /// @param kept       1 up to the group's width
  /// @param groupWidth at least 1
  record Grouped(int kept, int groupWidth) implements Scope {
    /// @throws IllegalArgumentException if a number is out of its range
    public Grouped {
      if (kept < 1 || kept > groupWidth) {
        throw new IllegalArgumentException(
            "scope %d:%d: n:m keeps n of every m weights, with 1 ≤ n ≤ m".formatted(kept, groupWidth));
      }
    }

    /// The fraction of weights removed: 1 − kept / width of the group.
    public double sparsity() {
      return 1 - (double) kept / groupWidth;
    }

    @Override
    public String toString() {
      return kept + ":" + groupWidth;
    }
  }

  /// `global`, `layer`, `row`, or `n:m` such as `2:4`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Scope parse(String text) {
    Matcher grouped = Pattern.compile("(\\d{1,6}):(\\d{1,6})").matcher(text);
    if (grouped.matches()) {
      return new Grouped(Integer.parseInt(grouped.group(1)), Integer.parseInt(grouped.group(2)));
    }
    return switch (text) {
      case "global" -> new Global();
      case "layer" -> new PerLayer();
      case "row" -> new PerRow();
      default -> throw new IllegalArgumentException(
          "unknown scope '%s': use global, layer, row, or n:m such as 2:4".formatted(text));
    };
  }
}
