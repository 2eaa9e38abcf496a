package dev.espalier.spark;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.OneLayerScorer;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.io.Serializable;
import java.lang.foreign.Arena;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.util.TaskCompletionListener;

/// The task of a layer that is scored, on the tiles of its sums.
///
/// @param <T> what it emits
final class LayerTask<T> implements Function2<Integer, Iterator<byte[]>, Iterator<T>> {
  private static final long serialVersionUID = 1;

  private final Scope scope;
  private final Tiles tiles;
  private final int[][] layers;
  private final Work<T> work;

  /// What all layers have in common.
  ///
  /// @param options as of [ScoringWork]
  /// @param deviceName where the driver computes, as [Device#parse] reads it: there the same scores are computed again
  record Scope(Broadcast<NetworkParcel> network, LinkedHashMap<String, String> options, String deviceName,
      long samples) implements Serializable {}

  /// What a task does.
  interface Work<T> extends Serializable {
    /// @param sums of the layer
    /// @param arena is open until all that is emitted was taken
    Iterator<T> run(OneLayerScorer scorer, List<Sums> sums, Arena arena);
  }

  /// @param layers the numbers of the tiles of each
  LayerTask(Scope scope, Tiles tiles, int[][] layers, Work<T> work) {
    this.scope = scope;
    this.tiles = tiles;
    this.layers = layers.clone();
    this.work = work;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<T> call(Integer i, Iterator<byte[]> parts) throws IOException {
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    NetworkSums sums = tiles.allocate(scope.samples, layers[i], arena);
    for (int tile : layers[i]) {
      tiles.put(sums, tile, parts.next());
    }
    DenseNetwork network = scope.network.value().network();
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(Device.parse(scope.deviceName), task)) {
      Iterator<T> found = run(lease.backend(), network, i, sums, arena);
      lease.done();
      return found;
    }
  }

  private Iterator<T> run(Backend backend, DenseNetwork network, int i, NetworkSums sums, Arena arena) {
    Dataset shape = Dataset.of(new SampleHead("", scope.samples, network.inputs(), List.of()));
    ScoringPlan plan = PruningPlan.of(PruningOptions.parse(scope.options), network, Optional.of(shape), backend)
        .scoring();
    ScoringPlan.Layer planned = plan.layers().get(i);
    DenseLayer layer = network.layers().get(planned.number());
    DenseNetwork alone = new DenseNetwork(
        List.of(new DenseLayer(layer.name(), layer.weights(), layer.bias(), Activation.IDENTITY)));
    try (DeviceNetwork there = DeviceNetwork.copyOf(backend, alone)) {
      return work.run(new OneLayerScorer(backend, there, 0, plan, planned), sums.layers().get(layer.name()), arena);
    }
  }
}
