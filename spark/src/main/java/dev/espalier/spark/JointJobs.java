package dev.espalier.spark;

import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.repair.JointFit;
import dev.espalier.engine.repair.JointFit.Kind;
import dev.espalier.engine.repair.JointFit.Now;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.storage.StorageLevel;
import scala.Tuple2;

/// The passes of a joint repair: a job each, over samples that the executors keep, with what the dense network makes of
/// them. Losses are added on the driver in the order of the partitions, in double; vectors as all sums are.
final class JointJobs implements JointFit.Passes {
  private final PartitionedSamples samples;
  private final JointPart part;
  private final Broadcast<NetworkParcel> dense;
  private final JavaRDD<float[]> kept;
  /// The network that was sent last.
  private final IdentityHashMap<DenseNetwork, Broadcast<NetworkParcel>> sent = new IdentityHashMap<>(1);
  private Optional<Double> least = Optional.empty();

  private JointJobs(PartitionedSamples samples, JointPart part, Broadcast<NetworkParcel> dense, JavaRDD<float[]> kept) {
    this.samples = samples;
    this.part = part;
    this.dense = dense;
    this.kept = kept;
  }

  /// Keeps the samples in the executors, in their memory or on their disks, until this is closed.
  ///
  /// @param network the dense one
  static JointJobs keep(PartitionedSamples samples, JointPart part, DenseNetwork network) throws IOException {
    Broadcast<NetworkParcel> dense = samples.broadcast(network);
    try {
      return new JointJobs(samples, part, dense, samples.taught(part, dense).persist(StorageLevel.MEMORY_AND_DISK()));
    } catch (IOException | RuntimeException e) {
      dense.destroy();
      throw e;
    }
  }

  @Override
  public double loss(Now now) throws IOException {
    Broadcast<NetworkParcel> network = send(now.network());
    Optional<List<Integer>> inputs = now.inputs();
    List<Integer> read = inputs.orElse(List.of());
    JointPart common = part;
    return total((_, backend, taught, listener, _) -> Collections
        .singleton(common.part().loss(backend, there(network, read), taught, taught.outputs(), listener)).iterator());
  }

  /// Nothing but the dense network decides it.
  @Override
  public double least() throws IOException {
    if (least.isEmpty()) {
      JointPart common = part;
      least = Optional
          .of(total((_, _, taught, _, _) -> Collections.singleton(common.part().least(taught.outputs())).iterator()));
    }
    return least.get();
  }

  private double total(JointTask.Work<Double> work) throws IOException {
    return samples.collect(samples.joint(kept, part, work)).stream().mapToDouble(Double::doubleValue).reduce(0,
        Double::sum);
  }

  @Override
  public NetworkSums sums(Now now, Kind kind, Optional<DenseNetwork> direction, Arena arena) throws IOException {
    Broadcast<NetworkParcel> network = send(now.network());
    List<Broadcast<NetworkParcel>> along = direction.stream().map(samples::broadcast).toList();
    List<Integer> read = now.inputs().orElse(List.of());
    Tiles tiles = Tiles.ofParameters(now.network(), part.layers(), Tiles.SIDE);
    JointPart common = part;
    try {
      JavaRDD<Tuple2<Long, byte[]>> parts = samples.joint(kept, part,
          (partition, backend, taught, listener, memory) -> {
            Optional<DenseNetwork> vector = along.stream().map(each -> each.value().network()).findFirst();
            NetworkSums found = common.part().sums(backend, there(network, read), kind, vector, taught,
                taught.outputs(), listener, memory);
            return IntStream.range(0, tiles.count())
                .mapToObj(tile -> new Tuple2<>(TileKey.of(tile, partition), tiles.encode(found, tile))).iterator();
          });
      return samples.total(tiles, parts, arena);
    } finally {
      along.forEach(Broadcast::destroy);
    }
  }

  private static Now there(Broadcast<NetworkParcel> network, List<Integer> inputs) {
    return new Now(network.value().network(), inputs.isEmpty() ? Optional.empty() : Optional.of(inputs));
  }

  private Broadcast<NetworkParcel> send(DenseNetwork network) {
    if (!sent.containsKey(network)) {
      forget();
      sent.put(network, samples.broadcast(network));
    }
    return sent.get(network);
  }

  private void forget() {
    sent.values().forEach(Broadcast::destroy);
    sent.clear();
  }

  @Override
  public void close() {
    forget();
    kept.unpersist(false);
    dense.destroy();
  }
}
