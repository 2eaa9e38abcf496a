package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import java.io.IOException;
import java.io.Serializable;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.util.TaskCompletionListener;

/// The task of a partition that the executors keep; one without samples emits nothing.
///
/// @param <T> what it emits
final class JointTask<T> implements Function2<Integer, Iterator<float[]>, Iterator<T>> {
  private static final long serialVersionUID = 1;

  private final JointPart part;
  private final Work<T> work;
  private final PartitionReader reader;

  /// What it does.
  interface Work<T> extends Serializable {
    /// @param partition its number
    /// @param listener ends the work between batches when Spark kills the task
    /// @param arena is open until all that is emitted was taken
    Iterator<T> run(int partition, Backend backend, TaughtSamples samples, ProgressListener listener, Arena arena)
        throws IOException;
  }

  JointTask(JointPart part, Work<T> work, PartitionReader reader) {
    this.part = part;
    this.work = work;
    this.reader = reader;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<T> call(Integer partition, Iterator<float[]> pieces) throws IOException {
    int count = Math.toIntExact(reader.count(partition));
    if (count == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    TaughtSamples samples = TaughtSamples.of(pieces, reader.name(), count, reader.width(), part.outputs(),
        reader.first(partition), arena);
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(part.device(), task)) {
      Iterator<T> found = work.run(partition, lease.backend(), samples, (_, _, _) -> !task.isInterrupted(), arena);
      lease.done();
      return found;
    }
  }
}
