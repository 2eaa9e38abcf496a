package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import java.io.IOException;
import java.nio.file.Path;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// Data to judge a network by, other than those it was trained or pruned with.
final class TestOptions {
  @Option(names = "--test-data", paramLabel = "FILE", order = 4)
  Path data;

  @Option(names = "--test-labels", paramLabel = "FILE", order = 5)
  Path labels;

  boolean isGiven() {
    return data != null;
  }

  void check(GlobalOptions global) {
    global.require((data == null) == (labels == null),
        "--test-data or --test-labels is missing: give both, or neither");
  }

  Dataset open() throws IOException {
    return Samples.open(data, labels, OptionalLong.empty());
  }
}
