package dev.espalier.cli;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
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

  /// 0.9 as `90.00 %`.
  static String percent(double fraction) {
    return String.format(Locale.ROOT, "%.2f %%", 100 * fraction);
  }

  /// A fraction that a user chose, without zeros behind: 0.9 as `90 %`.
  static String chosen(double fraction) {
    return BigDecimal.valueOf(fraction).movePointRight(2).stripTrailingZeros().toPlainString() + " %";
  }

  /// As [#percent(double)], or a dash.
  static String percent(OptionalDouble fraction) {
    return fraction.isPresent() ? percent(fraction.getAsDouble()) : "-";
  }

  /// Four significant digits.
  static String value(double value) {
    double magnitude = Math.abs(value);
    if (magnitude == 0) {
      return "0";
    }
    if (magnitude < 1e-3 || magnitude >= 1e6) {
      return String.format(Locale.ROOT, "%.3e", value);
    }
    int decimals = Math.clamp(3 - (int) Math.floor(Math.log10(magnitude)), 0, 6);
    return BigDecimal.valueOf(value).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString();
  }

  /// As [#value(double)], or a dash.
  static String value(OptionalDouble value) {
    return value.isPresent() ? value(value.getAsDouble()) : "-";
  }

  static String shape(int outputs, int inputs) {
    return outputs + " x " + inputs;
  }
}
