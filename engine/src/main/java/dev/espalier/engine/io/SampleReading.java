package dev.espalier.engine.io;

import java.util.List;
import java.util.Optional;

/// How data files are read.
///
/// @param csv   what is known of CSV files
/// @param scale a factor for samples, not for labels; empty: bytes of IDX images are divided by 255, and nothing else is
///              scaled
/// @param inputs of the model that the samples are for, where they are known: files that name arrays may have one for each
/// @param columns names of the columns that make a sample, in that order, of files that name columns; empty: all
public record SampleReading(CsvOptions csv, Optional<Scale> scale, List<String> columns, List<ModelInput> inputs) {
  /// Everything is found out from the files.
  public static final SampleReading DEFAULT = new SampleReading(CsvOptions.NONE, Optional.empty());

  /// Copies the lists.
  public SampleReading {
    columns = List.copyOf(columns);
    inputs = List.copyOf(inputs);
  }

  /// For any model.
  public SampleReading(CsvOptions csv, Optional<Scale> scale, List<String> columns) {
    this(csv, scale, columns, List.of());
  }

  /// All columns.
  public SampleReading(CsvOptions csv, Optional<Scale> scale) {
    this(csv, scale, List.of());
  }
}
