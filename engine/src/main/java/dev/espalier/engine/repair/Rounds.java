package dev.espalier.engine.repair;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// Counts the rounds of a repair, and remembers those in which it failed: all that a checkpoint keeps of it.
final class Rounds {
  private final List<Integer> failed = new ArrayList<>();
  private int number;

  /// @return the number of the round that begins, from 1 on
  int begin() {
    return ++number;
  }

  /// The round that has begun left the network as it was.
  void fail() {
    failed.add(number);
  }

  /// A note on the rounds that failed, if there are any.
  ///
  /// @param text with %s where `round 3` or `rounds 3, 5` belongs
  List<String> notes(String text) {
    String numbers = failed.stream().map(String::valueOf).collect(Collectors.joining(", "));
    return failed.isEmpty()
        ? List.of()
        : List.of(text.formatted((failed.size() == 1 ? "round " : "rounds ") + numbers));
  }

  List<Integer> state() {
    return Stream.concat(Stream.of(number), failed.stream()).toList();
  }

  void restore(List<Integer> state) {
    number = state.getFirst();
    failed.clear();
    failed.addAll(state.subList(1, state.size()));
  }
}
