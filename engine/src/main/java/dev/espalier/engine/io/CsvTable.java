package dev.espalier.engine.io;

import de.siegmar.fastcsv.writer.CsvWriter;
import de.siegmar.fastcsv.writer.LineDelimiter;
import dev.espalier.engine.Nouns;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A table as the text of a CSV file (RFC 4180, with line feeds), for other programs: numbers have all their digits, and
/// a value that is absent is an empty field.
///
/// @param header names of the columns
public record CsvTable(List<String> header, List<List<String>> rows) {
  /// Copies the lists.
  ///
  /// @throws IllegalArgumentException if a row has more or fewer fields than the header
  public CsvTable {
    header = List.copyOf(header);
    List<List<String>> copies = new ArrayList<>();
    for (List<String> row : rows) {
      if (row.size() != header.size()) {
        throw new IllegalArgumentException("a row of %d fields below %d names".formatted(row.size(), header.size()));
      }
      copies.add(List.copyOf(row));
    }
    rows = List.copyOf(copies);
  }

  /// The table that a file holds, whose first record is the header. Fields lose spaces around them.
  ///
  /// @throws IOException if the file cannot be read or holds no such table
  public static CsvTable read(Path file) throws IOException {
    List<List<String>> records = new ArrayList<>();
    try (CsvRecords reader = new CsvRecords(file, ',')) {
      for (List<String> record = reader.next(); record != null; record = reader.next()) {
        if (!records.isEmpty() && record.size() != records.getFirst().size()) {
          throw new FormatException(file, "line %d has %s, the first one has %d".formatted(reader.line(),
              Nouns.counted(record.size(), "field"), records.getFirst().size()));
        }
        records.add(record);
      }
    }
    return new CsvTable(records.getFirst(), records.subList(1, records.size()));
  }

  /// The file's text.
  @Override
  public String toString() {
    StringWriter text = new StringWriter();
    try (CsvWriter writer = CsvWriter.builder().lineDelimiter(LineDelimiter.LF).build(text)) {
      writer.writeRecord(header);
      rows.forEach(writer::writeRecord);
    } catch (IOException e) {
      throw new UncheckedIOException(e); // never: memory takes all
    }
    return text.toString();
  }
}
