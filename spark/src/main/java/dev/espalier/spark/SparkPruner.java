package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.statistics.GatheredSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;

/// Prunes by statistics that a Spark cluster gathers. The driver selects, removes and compensates, in its own memory.
public final class SparkPruner {
  private final PruningOptions options;
  private final Device device;

  /// @param options of a pruning in one round, without a repair
  /// @param device as of [SparkScorer#of]
  /// @throws MismatchException if the options ask for more; the message names it
  public SparkPruner(PruningOptions options, Device device) {
    if (!options.repair().steps().isEmpty()) {
      throw new MismatchException(
          "repair %s needs the samples in each round, and Spark gathers sums for scores alone: leave it out"
              .formatted(options.repair()));
    }
    if (!(options.schedule() instanceof Schedule.OneShot)) {
      throw new MismatchException(
          "schedule %s needs the samples in each round, and Spark gathers sums once: use oneshot"
              .formatted(options.schedule()));
    }
    this.options = options;
    this.device = device;
  }

  /// Prunes a copy of `network`, which stays as it is.
  ///
  /// @param arena takes the memory of the pruned network
  /// @throws IOException as [SparkScorer#gather]
  /// @throws MismatchException as [SparkScorer#of] and [PruningPlan#of(PruningOptions, DenseNetwork, GatheredSums,
  ///                           Backend)]
  public PruningResult prune(DenseNetwork network, SparkSamples samples, Arena arena) throws IOException {
    return prune(network, SparkScorer.of(network, samples, options, device), arena);
  }

  /// As the other, by a gathering that was prepared with the same network and options, and a plan that was shown.
  public PruningResult prune(DenseNetwork network, SparkScorer scorer, Arena arena) throws IOException {
    try (Arena temporary = Arena.ofShared(); Backend backend = DriverBackend.open(device)) {
      PruningPlan plan = PruningPlan.of(options, network, scorer.gather(temporary), backend);
      try (DeviceNetwork working = DeviceNetwork.copyOf(backend, network)) {
        return new Pruner(backend, options).prune(plan, network, working, Optional.empty(), ProgressListener.NONE,
            arena);
      }
    }
  }
}
