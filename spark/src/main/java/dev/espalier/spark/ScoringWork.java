package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Optional;
import org.apache.spark.broadcast.Broadcast;

/// The sums that scores follow from.
final class ScoringWork implements PartitionWork {
  private static final long serialVersionUID = 1;

  private final Broadcast<NetworkParcel> network;
  private final LinkedHashMap<String, String> options;
  private final String device;

  /// @param options with a batch size: it is the same on all executors
  ScoringWork(Broadcast<NetworkParcel> network, PruningOptions options, Device device) {
    this.network = network;
    this.options = new LinkedHashMap<>(options.asText());
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
    return Gathering.sums(backend, unpacked, plan, samples, listener, arena);
  }
}
