package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.broadcast.Broadcast;

/// The variances of inputs at which those of the moments have cancelled.
final class VariancesWork implements PartitionWork {
  private static final long serialVersionUID = 1;

  private final Broadcast<NetworkParcel> network;
  private final LinkedHashMap<String, String> options;
  private final LinkedHashMap<String, CancelledInputs> inputs;
  private final String device;

  /// @param options as of [ScoringWork]
  /// @param inputs by the names of their layers
  VariancesWork(Broadcast<NetworkParcel> network, PruningOptions options, Map<String, CancelledInputs> inputs,
      Device device) {
    this.network = network;
    this.options = new LinkedHashMap<>(options.asText());
    this.inputs = new LinkedHashMap<>(inputs);
    this.device = device.toString();
  }

  @Override
  public Device device() {
    return Device.parse(device);
  }

  @Override
  public NetworkSums sums(Backend backend, Dataset samples, ProgressListener listener, Arena arena) throws IOException {
    DenseNetwork unpacked = network.value().network();
    PruningPlan plan = PruningPlan.of(PruningOptions.parse(options), unpacked, Optional.of(samples), backend);
    try (DeviceNetwork there = DeviceNetwork.copyOf(backend, unpacked)) {
      return Scorer.variances(backend, there, plan.scoring(), samples, inputs, listener, arena);
    }
  }
}
