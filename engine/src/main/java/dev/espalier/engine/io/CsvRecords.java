package dev.espalier.engine.io;

import de.siegmar.fastcsv.reader.CloseableIterator;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import de.siegmar.fastcsv.reader.CsvRecordHandler;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;

/// The records of a CSV file as fields of text, in one reading.
final class CsvRecords implements AutoCloseable {
  private static final int MOST_COLUMNS = 1 << 24;

  private final Path file;
  private final char separator;
  private final CsvReader<CsvRecord> reader;
  private final CloseableIterator<CsvRecord> records;
  private long line;

  CsvRecords(Path file, char separator) throws IOException {
    this.file = file;
    this.separator = separator;
    reader = CsvReader.builder().fieldSeparator(separator).detectBomHeader(true)
        .extraFieldStrategy(FieldMismatchStrategy.IGNORE).missingFieldStrategy(FieldMismatchStrategy.IGNORE)
        .build(CsvRecordHandler.of(limits -> limits.maxFields(MOST_COLUMNS)), InputFile.stream(file));
    records = reader.iterator();
  }

  @Override
  public void close() throws IOException {
    reader.close();
  }

  /// The fields of the next record, without spaces around them; null at the end.
  List<String> next() throws IOException {
    try {
      if (!records.hasNext()) {
        return null;
      }
      CsvRecord record = records.next();
      line = record.getStartingLineNumber();
      List<String> fields = record.getFields().stream().map(String::strip)
          .filter(field -> separator != ' ' || !field.isEmpty()).toList();
      return fields.isEmpty() ? List.of("") : fields;
    } catch (CsvParseException e) {
      throw new FormatException(file, "is not comma-separated numbers: " + e.getMessage(), e);
    } catch (UncheckedIOException e) {
      throw FileErrors.reading(file, e.getCause());
    }
  }

  /// The line at which the last record began, from 1.
  long line() {
    return line;
  }
}
