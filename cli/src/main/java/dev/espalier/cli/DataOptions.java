package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import java.io.IOException;
import java.nio.file.Path;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// The data that a command works with.
final class DataOptions {
  @Option(names = "--data", paramLabel = "FILE", order = 1,
      description = {"Samples, one a row: .npy, .npz, .safetensors, .csv or MNIST's IDX, also compressed (.gz)."
          + " An array in a file is chosen by FILE:NAME."})
  Path data;

  @Option(names = "--labels", paramLabel = "FILE", order = 2,
      description = {"A class index or a row of target values for each sample, in the same formats."})
  Path labels;

  @Option(names = "--max-samples", paramLabel = "N", order = 3, converter = Values.AtLeastOneLong.class,
      description = {"Use only the first N samples of --data."})
  Long maxSamples;

  Dataset open() throws IOException {
    return Samples.open(data, labels, maxSamples == null ? OptionalLong.empty() : OptionalLong.of(maxSamples));
  }
}
