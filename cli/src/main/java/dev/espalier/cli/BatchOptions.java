package dev.espalier.cli;

import dev.espalier.engine.pruning.PruningOptions;
import picocli.CommandLine.Option;

/// Where a command computes, and how much at once.
class BatchOptions extends DeviceOptions {
  @Option(names = "--batch-size", paramLabel = "N", order = 63, converter = Values.AtLeastOne.class, description = {
      "Samples computed at once; changes results by rounding only (default: ${DEFAULT-VALUE})."})
  int batchSize = PruningOptions.DEFAULT_BATCH_SIZE;
}
