package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LimitedSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.SampleFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;

/// Opens the data files that options name.
final class Samples {
  private Samples() {}

  /// @param labels may be null
  /// @param limit  samples to use at the most
  /// @throws IOException              if a file cannot be read or is not what its format demands
  /// @throws IllegalArgumentException if samples and labels differ in number
  static Dataset open(Path data, Path labels, OptionalLong limit) throws IOException {
    Dataset whole = new Dataset(SampleFiles.samples(data),
        labels == null ? Optional.empty() : Optional.of(SampleFiles.labels(labels)));
    return limit.isEmpty()
        ? whole
        : new Dataset(limited(whole.samples(), limit), whole.labels().map(l -> limited(l, limit)));
  }

  private static SampleSource limited(SampleSource source, OptionalLong limit) {
    return new LimitedSamples(source, limit.getAsLong());
  }
}
