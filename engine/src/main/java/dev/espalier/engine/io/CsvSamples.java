package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.io.ArrayFormat.Role;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/// Numbers in text, a record each sample.
///
/// @param names     of the columns; empty without a header
/// @param zeroFirst whether the only field of the first record is a 0 that could be a header
record CsvSamples(Path file, Role role, CsvForm form, long samples, int width, List<String> names, boolean zeroFirst,
    List<SourceNote> notes) implements SampleSource {
  private static final int MOST_NAMED = 4;

  /// Reads the whole file once, to count and check it.
  static CsvSamples open(Path file, Role role, CsvOptions options) throws IOException {
    return CsvScan.scan(file, role, options);
  }

  @Override
  public String name() {
    return file.toString();
  }

  @Override
  public boolean isThreadConfined() {
    return false;
  }

  /// The same file, with its first record as a header.
  CsvSamples skippingZero() {
    List<SourceNote> all = new ArrayList<>(notes);
    all.add(new SourceNote(SourceNote.Topic.FORM, "%s: %s".formatted(file, headerNote(List.of("0")))));
    return new CsvSamples(file, role, form.withHeader(true), samples - 1, width, List.of("0"), false, all);
  }

  static String headerNote(List<String> header) {
    return "the first record is a header (%s)".formatted(some(header));
  }

  /// The first fields of a record.
  static String some(List<String> fields) {
    return fields.stream().limit(MOST_NAMED).map(field -> quote(field).replaceAll("^\"|\"$", ""))
        .collect(Collectors.joining(", ")) + (fields.size() > MOST_NAMED ? ", …" : "");
  }

  @Override
  public Pass open() throws IOException {
    CsvRecords records = new CsvRecords(file, form.separator());
    return new Pass() {
      private boolean started;

      @Override
      public int read(MatrixView target) throws IOException {
        if (target.columns() != width) {
          throw new IllegalArgumentException(
              "%s has rows of %d, the target of %d".formatted(file, width, target.columns()));
        }
        if (!started && form.header()) {
          records.next();
        }
        started = true;
        int count = 0;
        while (count < target.rows()) {
          List<String> record = records.next();
          if (record == null) {
            break;
          }
          parse(record, target, count);
          count++;
        }
        return count;
      }

      @Override
      public void close() throws IOException {
        records.close();
      }
    };
  }

  private void parse(List<String> record, MatrixView target, int row) throws FormatException {
    boolean fits = record.size() == width;
    for (int column = 0; fits && column < width; column++) {
      OptionalDouble value = form.number(record.get(column));
      fits = value.isPresent();
      target.set(row, column, (float) value.orElse(Double.NaN));
    }
    if (!fits) {
      throw new FormatException(file, "has changed since it was opened; start again");
    }
  }
}
