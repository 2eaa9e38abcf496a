package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import de.siegmar.fastcsv.reader.CloseableIterator;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import de.siegmar.fastcsv.reader.CsvRecordHandler;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.ArrayFormat.Role;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.regex.Pattern;

/// Comma-separated numbers, a record each sample. A first record without any number is a header and skipped.
record CsvSamples(Path file, Role role, long samples, int width) implements SampleSource {
  private static final int MOST_COLUMNS = 1 << 24;
  private static final Pattern INTEGER = Pattern.compile("[+-]?\\d+");
  private static final String DECIMAL = "0123456789+-.eE";

  /// Reads the whole file once, to count and check it.
  static CsvSamples open(Path file, Role role) throws IOException {
    try (Rows rows = new Rows(file, role)) {
      long samples = 0;
      while (rows.next()) {
        samples++;
      }
      if (samples == 0) {
        throw new FormatException(file, "holds no numbers; give a record of comma-separated numbers per sample");
      }
      return new CsvSamples(file, role, samples, rows.row.length);
    }
  }

  @Override
  public String name() {
    return file.toString();
  }

  @Override
  public boolean isThreadConfined() {
    return false;
  }

  @Override
  public Pass open() throws IOException {
    Rows rows = new Rows(file, role);
    return new Pass() {
      @Override
      public int read(MatrixView target) throws IOException {
        int count = 0;
        while (count < target.rows() && rows.next()) {
          if (rows.row.length != target.columns()) {
            throw new IllegalArgumentException(
                "%s has rows of %d, the target of %d".formatted(file, rows.row.length, target.columns()));
          }
          for (int column = 0; column < target.columns(); column++) {
            target.set(count, column, rows.row[column]);
          }
          count++;
        }
        return count;
      }

      @Override
      public void close() throws IOException {
        rows.close();
      }
    };
  }

  /// The records of one reading.
  private static final class Rows implements AutoCloseable {
    private final Path file;
    private final Role role;
    private final CsvReader<CsvRecord> reader;
    private final CloseableIterator<CsvRecord> records;
    private boolean first = true;
    /// The numbers of the current record.
    private float[] row;

    Rows(Path file, Role role) throws IOException {
      this.file = file;
      this.role = role;
      reader = CsvReader.builder().detectBomHeader(true).extraFieldStrategy(FieldMismatchStrategy.IGNORE)
          .missingFieldStrategy(FieldMismatchStrategy.IGNORE)
          .build(CsvRecordHandler.of(limits -> limits.maxFields(MOST_COLUMNS)), InputFile.stream(file));
      records = reader.iterator();
    }

    @Override
    public void close() throws IOException {
      reader.close();
    }

    /// Reads the next record into `row`; false at the end.
    boolean next() throws IOException {
      try {
        if (first && records.hasNext()) {
          first = false;
          CsvRecord record = records.next();
          refuseOtherSeparators(record);
          if (record.getFields().stream().anyMatch(field -> number(field).isPresent())) {
            parse(record);
            return true;
          }
        }
        if (!records.hasNext()) {
          return false;
        }
        parse(records.next());
        return true;
      } catch (CsvParseException e) {
        throw new FormatException(file, "is not comma-separated numbers: " + e.getMessage(), e);
      } catch (UncheckedIOException e) {
        throw FileErrors.reading(file, e.getCause());
      }
    }

    private void refuseOtherSeparators(CsvRecord record) throws FormatException {
      for (String field : record.getFields()) {
        if (field.strip().indexOf('\t') >= 0 || field.indexOf(';') >= 0) {
          throw new FormatException(file, "fields are separated by %s; save it with commas, and with decimal points"
              .formatted(field.indexOf(';') < 0 ? "tabs" : "semicolons"));
        }
      }
    }

    private void parse(CsvRecord record) throws FormatException {
      long line = record.getStartingLineNumber();
      if (row == null) {
        row = new float[record.getFieldCount()];
      }
      if (record.getFieldCount() != row.length) {
        throw new FormatException(file, "line %d has %d columns, the lines before have %d; make them equal"
            .formatted(line, record.getFieldCount(), row.length));
      }
      for (int column = 0; column < row.length; column++) {
        String field = record.getField(column).strip();
        int number = column + 1;
        double value = number(field).orElseThrow(() -> new FormatException(file,
            "line %d, column %d: %s is not a number".formatted(line, number, quote(field))));
        if (role == Role.LABELS && Math.abs(value) > ArrayFormat.LARGEST_LABEL && INTEGER.matcher(field).matches()) {
          throw new FormatException(file, "line %d, column %d: the label %s is beyond 2²⁴; use smaller class indices"
              .formatted(line, number, quote(field)));
        }
        row[column] = (float) value;
      }
    }

    /// A decimal number, `nan` or `inf`, as C and Python print them.
    private static OptionalDouble number(String field) {
      String text = field.strip();
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
  }
}
