package dev.espalier.engine.io;

import java.io.IOException;
import java.nio.file.Path;

/// The content of a file violates its format. The message is one line of printable text: names
/// from the file may be anything, so their control characters are replaced.
public sealed class FormatException extends IOException
    permits MissingActivationsException, LayerOrderException, CsvHeaderException, UnreadNodeException {
  private static final long serialVersionUID = 1;
  private static final int LONGEST_NAME = 80;
  private static final int LONGEST_PROBLEM = 1000;

  /// @param where the file, or a description that begins with it
  /// @param problem what is wrong and what to do
  FormatException(Object where, String problem) {
    super((where + ": " + shortened(problem, LONGEST_PROBLEM)).replaceAll("[\\p{Cntrl}\u0085\u2028\u2029]", "?"));
  }

  FormatException(Object where, String problem, Throwable cause) {
    this(where, problem);
    initCause(cause);
  }

  private static String shortened(String text, int longest) {
    return text.length() > longest ? text.substring(0, longest) + "…" : text;
  }

  /// For readers of other packages.
  ///
  /// @param problem what is wrong and what to do
  public static FormatException of(Path file, String problem) {
    return new FormatException(file, problem);
  }

  /// A name from a file as a message shows it: in quotes, and shortened.
  static String quote(String name) {
    return '"' + shortened(name, LONGEST_NAME) + '"';
  }
}
