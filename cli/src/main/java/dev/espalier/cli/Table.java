package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// A table of text; the first columns are words and stand to the left, the others are numbers and stand to the right. A
/// column without any value, such as the accuracy of a regression, is left out.
final class Table {
  private static final String GAP = "  ";
  private static final String ABSENT = PLAIN.value(OptionalDouble.empty());
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
    int[] columns = IntStream.range(0, rows.getFirst().size()).filter(this::hasValues).toArray();
    int[] widths = IntStream.range(0, rows.getFirst().size())
        .map(c -> rows.stream().filter(row -> !row.isEmpty()).mapToInt(row -> row.get(c).length()).max().orElseThrow())
        .toArray();
    int total = IntStream.of(columns).map(c -> widths[c]).sum() + GAP.length() * (columns.length - 1);
    return rows.stream().map(row -> row.isEmpty() ? "-".repeat(total) : line(row, columns, widths)).toList();
  }

  private boolean hasValues(int column) {
    return rows.size() == 1 || rows.stream().skip(1).filter(row -> !row.isEmpty()).map(row -> row.get(column))
        .anyMatch(value -> !value.isEmpty() && !value.equals(ABSENT));
  }

  private String line(List<String> row, int[] columns, int... widths) {
    return IntStream.of(columns).mapToObj(c -> {
      String space = " ".repeat(widths[c] - row.get(c).length());
      return c < words ? row.get(c) + space : space + row.get(c);
    }).collect(Collectors.joining(GAP)).stripTrailing();
  }
}
