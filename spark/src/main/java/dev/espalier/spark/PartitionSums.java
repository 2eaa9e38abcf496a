package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.ScaledSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Optional;
import java.util.stream.IntStream;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.util.TaskCompletionListener;
import scala.Tuple2;

/// The task of a partition: streams its samples through the network, and emits its sums, tile by tile. A partition without
/// samples emits nothing.
final class PartitionSums implements Function2<Integer, Iterator<InternalRow>, Iterator<Tuple2<Long, byte[]>>> {
  private static final long serialVersionUID = 1;

  private final Broadcast<NetworkParcel> network;
  private final LinkedHashMap<String, String> options;
  private final String device;
  private final RowReader reader;
  private final String name;
  private final String scale;
  private final long[] firsts;
  private final Tiles tiles;

  /// @param options with a batch size: it is the same on all executors
  /// @param firsts the position of each partition's first sample among all, and at last how many there are
  PartitionSums(Broadcast<NetworkParcel> network, PruningOptions options, Device device, RowReader reader, String name,
      Optional<Scale> scale, long[] firsts, Tiles tiles) {
    this.network = network;
    this.options = new LinkedHashMap<>(options.asText());
    this.device = device.toString();
    this.reader = reader;
    this.name = name;
    this.scale = scale.map(Scale::toString).orElse("");
    this.firsts = firsts.clone();
    this.tiles = tiles;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<Tuple2<Long, byte[]>> call(Integer partition, Iterator<InternalRow> rows) throws IOException {
    long count = firsts[partition + 1] - firsts[partition];
    if (count == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    NetworkSums sums = sums(new RowSamples(rows, reader, name, firsts[partition], count), task, arena);
    return IntStream.range(0, tiles.count())
        .mapToObj(tile -> new Tuple2<>(TileKey.of(tile, partition), tiles.encode(sums, tile))).iterator();
  }

  private NetworkSums sums(SampleSource samples, TaskContext task, Arena arena) throws IOException {
    Dataset data = Dataset.of(scaled(samples, scale));
    DenseNetwork unpacked = network.value().network();
    ProgressListener listener = (_, _, _) -> !task.isInterrupted();
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(Device.parse(device), task)) {
      PruningPlan plan = PruningPlan.of(PruningOptions.parse(options), unpacked, Optional.of(data), lease.backend());
      return Gathering.sums(lease.backend(), unpacked, plan, data, listener, arena);
    }
  }

  /// @param scale as [Scale#parse] reads it; empty: none
  static SampleSource scaled(SampleSource samples, String scale) {
    if (scale.isEmpty()) {
      return samples;
    }
    Scale factor = Scale.parse(scale);
    return new ScaledSamples(samples, factor.numerator(), factor.denominator());
  }
}
