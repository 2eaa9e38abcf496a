package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import java.util.stream.IntStream;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.util.TaskCompletionListener;
import scala.Tuple2;

/// The task of a partition: streams its samples to the work, and emits its sums, tile by tile. A partition without samples
/// emits nothing.
final class PartitionTask implements Function2<Integer, Iterator<InternalRow>, Iterator<Tuple2<Long, byte[]>>> {
  private static final long serialVersionUID = 1;

  private final PartitionWork work;
  private final RowReader reader;
  private final String name;
  private final String scale;
  private final Tiles tiles;
  private final long[] firsts;

  /// @param firsts the position of each partition's first sample among all, and at last how many there are
  PartitionTask(PartitionWork work, RowReader reader, String name, String scale, Tiles tiles, long... firsts) {
    this.work = work;
    this.reader = reader;
    this.name = name;
    this.scale = scale;
    this.tiles = tiles;
    this.firsts = firsts;
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
    Dataset samples = Dataset
        .of(PartitionedSamples.scaled(new RowSamples(rows, reader, name, firsts[partition], count), scale));
    ProgressListener listener = (_, _, _) -> !task.isInterrupted();
    NetworkSums sums;
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(work.device(), task)) {
      sums = work.sums(lease.backend(), samples, listener, arena);
      lease.done();
    }
    return IntStream.range(0, tiles.count())
        .mapToObj(tile -> new Tuple2<>(TileKey.of(tile, partition), tiles.encode(sums, tile))).iterator();
  }
}
