package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/// Names that users may have misspelt.
public final class Names {
  private static final int MOST_LISTED = 20;
  /// One of so many letters may be wrong.
  private static final int LETTERS_OF_A_MISTAKE = 3;

  private Names() {}

  /// The end of a sentence that says that there is no such name: the one that was probably meant, or all there are.
  public static String suggestion(String unknown, List<String> known) {
    Optional<String> closest = closest(unknown, known);
    if (closest.isPresent()) {
      return "; did you mean %s?".formatted(quote(closest.get()));
    }
    return known.isEmpty()
        ? "; there are none"
        : "; there are "
            + known.stream().limit(MOST_LISTED).map(FormatException::quote).collect(Collectors.joining(", "))
            + (known.size() > MOST_LISTED ? ", …" : "");
  }

  /// The name that was probably meant: one that differs by few letters.
  public static Optional<String> closest(String unknown, Collection<String> known) {
    return known.stream().min(Comparator.comparingInt(name -> distance(unknown, name)))
        .filter(name -> distance(unknown, name) <= Math.ceilDiv(unknown.length() - 1, LETTERS_OF_A_MISTAKE));
  }

  /// The least number of letters to insert, delete or replace, whether they are small or capital.
  private static int distance(String x, String y) {
    int[] row = new int[y.length() + 1];
    for (int j = 0; j < row.length; j++) {
      row[j] = j;
    }
    for (int i = 1; i <= x.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= y.length(); j++) {
        int replaced = diagonal
            + (Character.toLowerCase(x.charAt(i - 1)) == Character.toLowerCase(y.charAt(j - 1)) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
      }
    }
    return row[y.length()];
  }
}
