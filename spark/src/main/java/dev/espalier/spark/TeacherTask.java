package dev.espalier.spark;

import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.util.TaskCompletionListener;

/// Reads the samples of a partition and runs the dense network on them: what a joint repair keeps in the executors.
final class TeacherTask implements Function2<Integer, Iterator<InternalRow>, Iterator<float[]>> {
  private static final long serialVersionUID = 1;

  private final JointPart part;
  private final Broadcast<NetworkParcel> dense;
  private final PartitionReader reader;

  TeacherTask(JointPart part, Broadcast<NetworkParcel> dense, PartitionReader reader) {
    this.part = part;
    this.dense = dense;
    this.reader = reader;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<float[]> call(Integer partition, Iterator<InternalRow> rows) throws IOException {
    int count = Math.toIntExact(reader.count(partition));
    if (count == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    SampleSource source = reader.read(partition, rows).samples();
    MatrixView x = MatrixView.allocate(arena, count, reader.width());
    try (SampleSource.Pass pass = source.open()) {
      int read = 0;
      while (read < count) {
        read += pass.read(x.slice(read, count - read));
      }
      pass.read(x.slice(0, 1)); // which refuses a row more than was counted
    }
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(part.device(), task)) {
      MatrixView y = part.part().teach(lease.backend(), dense.value().network(), new MatrixSamples(reader.name(), x),
          (_, _, _) -> !task.isInterrupted(), arena);
      lease.done();
      return TaughtSamples.pieces(x, y);
    }
  }
}
