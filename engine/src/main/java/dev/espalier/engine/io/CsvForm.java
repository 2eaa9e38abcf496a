package dev.espalier.engine.io;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/// How the records of a CSV file are written.
///
/// @param separator what stands between fields; several spaces are one
/// @param decimal   the decimal mark
/// @param header    whether the first record is a header
record CsvForm(char separator, char decimal, boolean header) {
  private static final String SEPARATORS = ";\t, ";
  private static final List<String> SEPARATOR_NAMES = List.of("semicolons", "tabs", "commas", "spaces");
  private static final String DECIMAL = "0123456789+-.eE";

  CsvForm withDecimal(char value) {
    return new CsvForm(separator, value, header);
  }

  CsvForm withHeader(boolean value) {
    return new CsvForm(separator, decimal, value);
  }

  /// What the separators are called.
  String separatorName() {
    int known = SEPARATORS.indexOf(separator);
    return known < 0 ? "'%s'".formatted(separator) : SEPARATOR_NAMES.get(known);
  }

  /// A decimal number, `nan` or `inf`, as C and Python print them.
  OptionalDouble number(String field) {
    String text = field.strip();
    if (decimal == ',' && text.indexOf(',') >= 0) {
      text = text.indexOf('.') >= 0 ? "" : text.replace(',', '.');
    } else if (decimal == ',' && text.indexOf('.') >= 0) {
      return OptionalDouble.empty();
    }
    if (text.chars().allMatch(c -> DECIMAL.indexOf(c) >= 0)) { // Java itself reads more, like 0x1p3 and 2f
      try {
        return OptionalDouble.of(Double.parseDouble(text));
      } catch (NumberFormatException e) {
        return OptionalDouble.empty();
      }
    }
    return switch (text.toLowerCase(Locale.ROOT)) {
      case "nan", "+nan", "-nan" -> OptionalDouble.of(Double.NaN);
      case "inf", "+inf", "infinity", "+infinity" -> OptionalDouble.of(Double.POSITIVE_INFINITY);
      case "-inf", "-infinity" -> OptionalDouble.of(Double.NEGATIVE_INFINITY);
      default -> OptionalDouble.empty();
    };
  }

  /// The separator that the first two lines have equally often, or else one that they have.
  static char separatorOf(Path file) throws IOException {
    int[][] counts = new int[2][SEPARATORS.length()];
    int lines = 0;
    try (InputStream in = InputFile.stream(file)) {
      boolean quoted = false;
      boolean content = false;
      boolean words = false;
      int before = '\n';
      for (int c = in.read(); c >= 0 && lines < 2; c = in.read()) {
        quoted ^= c == '"';
        if (!quoted && (c == '\n' || c == '\r')) {
          lines += content ? 1 : 0;
          content = false;
          words = false;
        } else {
          content = true;
          boolean space = before == ' ' && c != ' ' && words; // behind the last of a run
          int kind = space ? SEPARATORS.indexOf(' ') : SEPARATORS.indexOf(c);
          if (!quoted && (space || c != ' ') && kind >= 0) {
            counts[lines][kind]++;
          }
        }
        words |= c != ' ' && c != '\n' && c != '\r';
        before = c;
      }
      lines += content && lines < 2 ? 1 : 0;
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
    for (int kind = 0; kind < SEPARATORS.length(); kind++) {
      if (counts[0][kind] > 0 && (lines < 2 || counts[0][kind] == counts[1][kind])) {
        return SEPARATORS.charAt(kind);
      }
    }
    for (int kind = 0; kind < SEPARATORS.length() - 1; kind++) {
      if (counts[0][kind] + counts[1][kind] > 0) {
        return SEPARATORS.charAt(kind);
      }
    }
    return ',';
  }
}
