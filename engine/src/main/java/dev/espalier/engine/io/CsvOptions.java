package dev.espalier.engine.io;

import java.util.Optional;

/// What a caller knows of a CSV file; the rest is found out from the file.
///
/// @param separator what stands between fields
/// @param decimal   the decimal mark of numbers: a point or a comma
/// @param header    whether the first record holds no numbers but names
public record CsvOptions(Optional<Character> separator, Optional<Character> decimal, Optional<Boolean> header) {
  /// Nothing is known.
  public static final CsvOptions NONE = new CsvOptions(Optional.empty(), Optional.empty(), Optional.empty());

  /// @throws IllegalArgumentException if a character cannot be what it is to be, or is both
  public CsvOptions {
    if (separator.isPresent() && separator.equals(decimal)) {
      throw new IllegalArgumentException("'%s' is separator and decimal mark".formatted(separator.get()));
    }
    if (decimal.isPresent() && decimal.get() != '.' && decimal.get() != ',') {
      throw new IllegalArgumentException("decimal mark '%s': use a point or a comma".formatted(decimal.get()));
    }
    if (separator.isPresent() && "\"\r\n.+-".indexOf(separator.get()) >= 0) {
      throw new IllegalArgumentException("separator '%s': use another".formatted(separator.get()));
    }
  }
}
