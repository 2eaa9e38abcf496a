package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.LayerFit;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.apache.spark.broadcast.Broadcast;

/// The sums that the fit of one layer follows from.
///
/// @param dense the network to follow
/// @param pruned the network as it is
/// @param layer its number, from 0
/// @param compensable whether its bias may move
/// @param deviceName as [Device#parse] reads it
record RefitWork(Broadcast<NetworkParcel> dense, Broadcast<NetworkParcel> pruned, int layer, boolean compensable,
    int batchSize, String deviceName) implements PartitionWork {
  @Override
  public Device device() {
    return Device.parse(deviceName);
  }

  @Override
  public NetworkSums sums(Backend backend, Dataset samples, ProgressListener listener, Arena arena) throws IOException {
    try (DeviceNetwork before = DeviceNetwork.copyOf(backend, dense.value().network());
        DeviceNetwork now = DeviceNetwork.copyOf(backend, pruned.value().network())) {
      List<Sums> sums = LayerFit.sums(backend, before, now, new ScoringPlan.Layer(layer, compensable),
          samples.samples(), batchSize, listener, arena);
      return new NetworkSums(sums.getFirst().samples(), Map.of(now.layers().get(layer).name(), sums));
    }
  }
}
