package dev.espalier.cli;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Notes about the networks of a path of several sparsities.
final class PathNotes {
  private PathNotes() {}

  /// Each note once: first those of all networks, then those that are about some, which they name.
  ///
  /// @param sparsities that the networks were asked for
  /// @param notes of each of them
  static List<String> of(List<Double> sparsities, List<? extends Collection<String>> notes) {
    Set<String> all = new LinkedHashSet<>(notes.stream().flatMap(Collection::stream).toList());
    List<String> common = all.stream().filter(note -> notes.stream().allMatch(own -> own.contains(note))).toList();
    all.removeAll(Set.copyOf(common));
    return Stream.concat(common.stream(), all.stream().map(note -> {
      String about = IntStream.range(0, notes.size()).filter(i -> notes.get(i).contains(note))
          .mapToObj(i -> String.valueOf(sparsities.get(i))).collect(Collectors.joining(", "));
      return "at --sparsity %s: %s".formatted(about, note);
    })).toList();
  }
}
