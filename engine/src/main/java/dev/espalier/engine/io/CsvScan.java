package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.regex.Pattern;

/// The first reading of a CSV file, which checks and counts its records, and finds out how they are written.
final class CsvScan {
  /// What stands for values that are missing: no names of columns.
  private static final Set<String> MISSING = Set.of("", "na", "n/a", "null", "none", "?", "-");
  private static final Pattern INTEGER = Pattern.compile("[+-]?\\d+");
  private static final Pattern DIGIT = Pattern.compile("\\d");
  private static final int WIDTH_OF_IMAGES = 16;
  /// So many columns are numbered by a header, not by a sample.
  private static final int WIDTH_OF_HEADERS = 8;

  /// What a first record can be.
  private enum First {
    /// It has no numbers.
    NAMES,
    /// It has numbers only.
    NUMBERS,
    /// It counts the columns from 0, as pandas does where columns have no names.
    COUNT,
    /// It counts from another number, such as 1, or a year.
    OTHER_COUNT,
    /// It has both.
    MIXED
  }

  private final Path file;
  private final Role role;
  private final CsvOptions options;
  private CsvForm form;
  private List<String> firstRecord = List.of();
  private float[] row;
  private long records;
  private boolean points;
  /// Of all records but the first.
  private boolean integers = true;
  private boolean countsRows = true;
  private double least = Double.POSITIVE_INFINITY;
  private double largest = Double.NEGATIVE_INFINITY;

  private CsvScan(Path file, Role role, CsvOptions options) throws IOException {
    this.file = file;
    this.role = role;
    this.options = options;
    char separator = options.separator().isPresent() ? options.separator().get() : CsvForm.separatorOf(file);
    form = new CsvForm(separator, options.decimal().orElse('.'), options.header().orElse(false));
  }

  /// Reads the whole file.
  static CsvSamples scan(Path file, Role role, CsvOptions options) throws IOException {
    return new CsvScan(file, role, options).run();
  }

  private CsvSamples run() throws IOException {
    First first = First.NUMBERS;
    try (CsvRecords lines = new CsvRecords(file, form.separator())) {
      for (List<String> record = lines.next(); record != null; record = lines.next()) {
        records++;
        if (records == 1) {
          firstRecord = record;
          first = first(record, lines.line());
          form = form.withHeader(options.header().orElse(first == First.NAMES));
          if (form.header()) {
            continue;
          }
        }
        parse(record, lines.line());
      }
    }
    boolean noSample = row != null && (row.length >= WIDTH_OF_HEADERS || (row.length > 2 && !integers));
    if (first == First.OTHER_COUNT && noSample && records > 1 && options.header().isEmpty()) {
      throw new CsvHeaderException(file, firstRecordIs());
    }
    if (first == First.COUNT && options.header().isEmpty()) {
      form = form.withHeader(countIsHeader(noSample));
    }
    long samples = records - (form.header() ? 1 : 0);
    if (samples == 0) {
      throw new FormatException(file, "holds no numbers; give a record of numbers per sample");
    }
    if (form.header() && firstRecord.getFirst().isEmpty() && row.length > 1 && countsRows) {
      throw new FormatException(file,
          "column 1 has no name and counts the records; save it without this index, in pandas by index=False");
    }
    boolean zeroFirst = options.header().isEmpty() && !form.header() && firstRecord.equals(List.of("0"));
    return new CsvSamples(file, role, form, samples, row.length, form.header() ? firstRecord : List.of(), zeroFirst,
        notes());
  }

  private First first(List<String> record, long line) throws CsvHeaderException {
    List<String> names = record.stream()
        .filter(field -> form.withDecimal('.').number(field).isEmpty() && form.withDecimal(',').number(field).isEmpty())
        .toList();
    List<String> count = new ArrayList<>();
    record.forEach(_ -> count.add(String.valueOf(count.size())));
    boolean indexed = record.getFirst().isEmpty() && record.size() > 1;
    if (indexed && record.subList(1, record.size()).equals(count.subList(0, record.size() - 1))) {
      return First.NAMES;
    } else if (record.size() > 1 && record.equals(count)) {
      return First.COUNT;
    } else if (counts(record)) {
      return First.OTHER_COUNT;
    } else if (names.isEmpty() || names.stream().allMatch(name -> MISSING.contains(name.toLowerCase(Locale.ROOT)))) {
      return First.NUMBERS;
    } else if (names.size() == record.size()) {
      return First.NAMES;
    } else if (options.header().isPresent()) {
      return First.MIXED;
    }
    throw new CsvHeaderException(file, "line %d, column %d: %s is not a number, in a record that has others"
        .formatted(line, record.indexOf(names.getFirst()) + 1, quote(names.getFirst())));
  }

  /// Whether a first record 0, 1, …, n − 1 is a header: other records are no integers, or there are many columns.
  private boolean countIsHeader(boolean noSample) throws CsvHeaderException {
    if (noSample) {
      return true;
    }
    boolean oneHot = integers && least >= 0 && largest <= 1;
    if (records == 1 || (row.length == 2 && (oneHot || role == Role.LABELS))) {
      return false;
    }
    throw new CsvHeaderException(file, firstRecordIs());
  }

  private String firstRecordIs() {
    return "the first record is %s: a header or a sample".formatted(CsvSamples.some(firstRecord));
  }

  /// Whether each number follows the one before it.
  private static boolean counts(List<String> record) {
    boolean counts = record.size() > 2 && record.stream().allMatch(field -> field.matches("\\d{1,9}"));
    for (int i = 1; counts && i < record.size(); i++) {
      counts = Integer.parseInt(record.get(i)) == Integer.parseInt(record.get(i - 1)) + 1;
    }
    return counts;
  }

  private void parse(List<String> record, long line) throws FormatException {
    if (row == null) {
      row = new float[record.size()];
    }
    if (record.size() != row.length) {
      throw new FormatException(file, "line %d has %s, the lines before have %d; make them equal".formatted(line,
          Nouns.counted(record.size(), "column"), row.length));
    }
    for (int column = 0; column < row.length; column++) {
      String field = record.get(column);
      double value = number(field, line, column);
      if (role == Role.LABELS && Math.abs(value) > ArrayFormat.LARGEST_LABEL && INTEGER.matcher(field).matches()) {
        throw new FormatException(file, "line %d, column %d: the label %s is beyond 2²⁴; use smaller class indices"
            .formatted(line, column + 1, quote(field)));
      }
      if (column == 0) {
        countsRows &= value == records - (form.header() ? 2 : 1);
      }
      if (records > 1) {
        integers &= INTEGER.matcher(field).matches();
        least = Math.min(least, value);
        largest = Math.max(largest, value);
      }
    }
  }

  private double number(String field, long line, int column) throws FormatException {
    OptionalDouble value = form.number(field);
    if (value.isEmpty() && options.decimal().isEmpty() && !points && form.decimal() == '.') {
      value = form.withDecimal(',').number(field);
      if (value.isPresent()) {
        form = form.withDecimal(',');
      }
    }
    points |= field.indexOf('.') >= 0;
    if (value.isEmpty()) {
      throw new FormatException(file, "line %d, column %d: %s is not a number%s".formatted(line, column + 1,
          quote(field), form.decimal() == ',' ? " with a decimal comma" : ""));
    }
    if (Float.isInfinite((float) value.getAsDouble()) && DIGIT.matcher(field).find()) {
      throw new FormatException(file, "line %d, column %d: %s is beyond float32's range; scale the numbers"
          .formatted(line, column + 1, quote(field)));
    }
    return value.getAsDouble();
  }

  private List<SourceNote> notes() {
    List<SourceNote> notes = new ArrayList<>();
    List<String> taken = new ArrayList<>();
    if (options.separator().isEmpty() && form.separator() != ',') {
      taken.add("fields are separated by " + form.separatorName());
    }
    if (options.decimal().isEmpty() && form.decimal() == ',') {
      taken.add("numbers have decimal commas");
    }
    if (options.header().isEmpty() && form.header()) {
      taken.add(CsvSamples.headerNote(firstRecord));
    }
    if (!taken.isEmpty()) {
      notes.add(new SourceNote(SourceNote.Topic.FORM, "%s: %s".formatted(file, String.join(", ", taken))));
    }
    if (role == Role.SAMPLES && row.length >= WIDTH_OF_IMAGES && integers && least >= 0 && largest > 127
        && largest <= 255) {
      notes.add(new SourceNote(SourceNote.Topic.SCALE,
          "%s: integers from 0 to 255, like bytes of images, that are not scaled".formatted(file)));
    }
    return notes;
  }
}
