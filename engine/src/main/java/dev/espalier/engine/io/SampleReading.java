package dev.espalier.engine.io;

import java.util.Optional;

/// How data files are read.
///
/// @param csv   what is known of CSV files
/// @param scale a factor for samples, not for labels; empty: bytes of IDX images are divided by 255, and nothing else is
///              scaled
public record SampleReading(CsvOptions csv, Optional<Scale> scale) {
  /// Everything is found out from the files.
  public static final SampleReading DEFAULT = new SampleReading(CsvOptions.NONE, Optional.empty());
}
