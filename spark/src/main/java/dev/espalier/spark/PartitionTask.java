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
  private final PartitionReader reader;
  private final Tiles tiles;

  PartitionTask(PartitionWork work, PartitionReader reader, Tiles tiles) {
    this.work = work;
    this.reader = reader;
    this.tiles = tiles;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<Tuple2<Long, byte[]>> call(Integer partition, Iterator<InternalRow> rows) throws IOException {
    if (reader.count(partition) == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    Dataset samples = reader.read(partition, rows);
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
