package dev.espalier.engine.io;

/// A CSV file's first record may be a header or a sample.
public final class CsvHeaderException extends FormatException {
  private static final long serialVersionUID = 1;

  CsvHeaderException(Object where, String problem) {
    super(where, problem);
  }
}
