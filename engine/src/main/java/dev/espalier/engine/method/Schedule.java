package dev.espalier.engine.method;

import java.util.List;

/// In which rounds a network is pruned. Every round scores what is left and removes down to its sparsity.
public sealed interface Schedule {
  /// The sparsities reached after each round, ascending, the last being `target`.
  ///
  /// @param target fraction of weights removed at the end, 0..1
  List<Double> sparsities(double target);

  /// All in one round.
  record OneShot() implements Schedule {
    @Override
    public List<Double> sparsities(double target) {
      return List.of(target);
    }

    @Override
    public String toString() {
      return "oneshot";
    }
  }

  /// `oneshot`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Schedule parse(String text) {
    if (text.equals("oneshot")) {
      return new OneShot();
    }
    throw new IllegalArgumentException("unknown schedule '%s': use oneshot".formatted(text));
  }
}
