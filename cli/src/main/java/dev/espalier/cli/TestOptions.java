package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// Data to judge a network by, other than those it was trained or pruned with.
final class TestOptions {
  @Option(names = "--test-data", paramLabel = "FILE", order = 4)
  private Path data;

  @Option(names = "--test-labels", paramLabel = "FILE", order = 5)
  private Path labels;

  boolean isGiven() {
    return data != null;
  }

  /// Whether the data have labels.
  boolean hasLabels(DataOptions training) {
    return labels != null || training.hasLabelColumn();
  }

  void check(DataOptions training, GlobalOptions global) {
    check(training, false, global);
  }

  /// @param unlabelled whether data without labels will do
  void check(DataOptions training, boolean unlabelled, GlobalOptions global) {
    boolean complete = data != null && (training.hasLabelColumn() || unlabelled);
    global.require((data == null) == (labels == null) || complete,
        "--test-data or --test-labels is missing: give both, or neither");
    global.require(!StandardInput.is(data) || (!StandardInput.is(labels) && !StandardInput.is(training.data)),
        "--test-data is standard input, as other data are: give a file for one");
  }

  /// Opens the data as `training` says files are read.
  Dataset open(DataOptions training, GlobalOptions global) throws IOException {
    return training.open(data, labels, global);
  }
}
