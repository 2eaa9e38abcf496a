package dev.espalier.engine.method;

import java.util.List;

/// A pruning schedule: the rounds that a pruning is split into. Every round scores the network as it is and removes
/// weights down to its target.
public sealed interface Schedule {
  /// One round.
  record OneShot() implements Schedule {
    @Override
    public List<Target> rounds(Target last) {
      return List.of(last);
    }

    @Override
    public String toString() {
      return "oneshot";
    }
  }

  /// The target of each round, ascending.
  ///
  /// @param last the target of the last round
  List<Target> rounds(Target last);

  /// `oneshot`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Schedule parse(String text) {
    if (text.equals("oneshot")) {
      return new OneShot();
    }
    throw new IllegalArgumentException("unknown schedule '%s': use oneshot".formatted(text));
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
