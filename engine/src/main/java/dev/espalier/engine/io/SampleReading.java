package dev.espalier.engine.io;

import java.util.List;
import java.util.Optional;

/// How data files are read.
///
/// @param csv   what is known of CSV files
/// @param scale a factor for samples, not for labels; empty: bytes of IDX images are divided by 255, and nothing else is
///              scaled
/// @param columns names of the columns that make a sample, in that order, of files that name columns; empty: all
public record SampleReading(CsvOptions csv, Optional<Scale> scale, List<String> columns) {
  /// Everything is found out from the files.
  public static final SampleReading DEFAULT = new SampleReading(CsvOptions.NONE, Optional.empty());

  /// Copies the list.
  public SampleReading {
    columns = List.copyOf(columns);
  }

  /// All columns.
  public SampleReading(CsvOptions csv, Optional<Scale> scale) {
    this(csv, scale, List.of());
  }
}
