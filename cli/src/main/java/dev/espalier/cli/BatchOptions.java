package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import java.util.OptionalInt;
import picocli.CommandLine.Option;

/// Where a command computes, whether its scores are checked, and how much at once.
class BatchOptions extends VerifyOptions {
  @Option(names = "--batch-size", paramLabel = "N", order = 64, converter = Values.AtLeastOne.class)
  private Integer batchSize;

  /// As it was given, if it was.
  OptionalInt batchSize() {
    return batchSize == null ? OptionalInt.empty() : OptionalInt.of(batchSize);
  }

  /// For forward passes of a network.
  int batchSize(Backend backend, DenseNetwork network) {
    return MemoryPlan.of(backend, network.graph(), new MemoryPlan.Demand(0, 1), batchSize()).batchSize();
  }
}
