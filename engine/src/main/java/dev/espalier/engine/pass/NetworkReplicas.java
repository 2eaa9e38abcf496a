package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.Workers;
import java.util.ArrayList;
import java.util.List;

/// A network for each of the workers that share a pass: the network itself, and a copy in the memory of each that does not
/// reach it.
public final class NetworkReplicas implements Resource {
  private final List<DeviceNetwork> networks;
  private final Resources resources;

  private NetworkReplicas(List<DeviceNetwork> networks, Resources resources) {
    this.networks = List.copyOf(networks);
    this.resources = resources;
  }

  /// Replicas of a network as it is now, closed by the caller.
  ///
  /// @param network in the memory of the first worker, or of the backend whose workers they are
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if they do not fit
  public static NetworkReplicas of(DeviceNetwork network, Workers workers) {
    return Resources.build(resources -> {
      List<DeviceNetwork> networks = new ArrayList<>();
      workers.backends().forEach(worker -> networks.add(
          workers.areApart() && !networks.isEmpty() ? resources.own(DeviceNetwork.replica(worker, network)) : network));
      return new NetworkReplicas(networks, resources);
    });
  }

  /// The network for a worker.
  public DeviceNetwork of(int worker) {
    return networks.get(worker);
  }

  /// Takes the weights and biases as they are now.
  public void refresh() {
    for (int l = 0; l < networks.getFirst().layers().size(); l++) {
      refresh(l);
    }
  }

  /// Takes those of layer `l`.
  public void refresh(int l) {
    DeviceNetwork first = networks.getFirst();
    networks.stream().filter(network -> network != first).forEach(network -> network.loadAcross(first, l));
  }

  @Override
  public void close() {
    resources.close();
  }
}
