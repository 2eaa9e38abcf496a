package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import java.io.IOException;
import java.nio.file.Path;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// The data that a command works with.
final class DataOptions {
  @Option(names = "--data", paramLabel = "FILE", order = 1)
  Path data;

  @Option(names = "--labels", paramLabel = "FILE", order = 2)
  Path labels;

  @Option(names = "--max-samples", paramLabel = "N", order = 3, converter = Values.AtLeastOneLong.class)
  Long maxSamples;

  Dataset open() throws IOException {
    return Samples.open(data, labels, maxSamples == null ? OptionalLong.empty() : OptionalLong.of(maxSamples));
  }
}
