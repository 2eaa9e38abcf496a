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
  private final String name;
  private final int inputs;
  private final long[] firsts;

  /// What it does.
  interface Work<T> extends Serializable {
    /// @param partition its number
    /// @param listener ends the work between batches when Spark kills the task
    /// @param arena is open until all that is emitted was taken
    Iterator<T> run(int partition, Backend backend, TaughtSamples samples, ProgressListener listener, Arena arena)
        throws IOException;
  }

  /// @param firsts as of [PartitionTask]
  JointTask(JointPart part, Work<T> work, String name, int inputs, long... firsts) {
    this.part = part;
    this.work = work;
    this.name = name;
    this.inputs = inputs;
    this.firsts = firsts;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the task closes it when it ends
  public Iterator<T> call(Integer partition, Iterator<float[]> pieces) throws IOException {
    int count = Math.toIntExact(firsts[partition + 1] - firsts[partition]);
    if (count == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    Arena arena = Arena.ofShared();
    task.addTaskCompletionListener((TaskCompletionListener) _ -> arena.close());
    TaughtSamples samples = TaughtSamples.of(pieces, name, count, inputs, part.outputs(), firsts[partition], arena);
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(part.device(), task)) {
      Iterator<T> found = work.run(partition, lease.backend(), samples, (_, _, _) -> !task.isInterrupted(), arena);
      lease.done();
      return found;
    }
  }
}
