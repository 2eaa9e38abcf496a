package dev.espalier.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// A table of text; the first columns are words and stand to the left, the others are numbers and stand to the right.
final class Table {
  private static final String GAP = "  ";
  private final int words;
  private final List<List<String>> rows = new ArrayList<>();

  Table(int words, String... header) {
    this.words = words;
    rows.add(List.of(header));
  }

  void row(String... cells) {
    rows.add(List.of(cells));
  }

  /// A line across.
  void rule() {
    rows.add(List.of());
  }

  List<String> lines() {
    int[] widths = IntStream.range(0, rows.getFirst().size())
        .map(c -> rows.stream().filter(row -> !row.isEmpty()).mapToInt(row -> row.get(c).length()).max().orElseThrow())
        .toArray();
    int total = IntStream.of(widths).sum() + GAP.length() * (widths.length - 1);
    return rows.stream().map(row -> row.isEmpty() ? "-".repeat(total) : line(row, widths)).toList();
  }

  private String line(List<String> row, int... widths) {
    return IntStream.range(0, widths.length).mapToObj(c -> {
      String space = " ".repeat(widths[c] - row.get(c).length());
      return c < words ? row.get(c) + space : space + row.get(c);
    }).collect(Collectors.joining(GAP)).stripTrailing();
  }
}
