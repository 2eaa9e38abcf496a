package dev.espalier.engine.backend;

import java.util.List;
import java.util.function.Consumer;

/// Backends that share the samples of a pass, each used by one thread at a time, on matrices of its own and of the
/// backend that has them. They are open as long as that one.
public final class Workers {
  private final List<Backend> backends;
  private final Consumer<List<Runnable>> together;

  /// @param together runs the tasks concurrently, the first on this thread, and waits for all
  public Workers(List<? extends Backend> backends, Consumer<List<Runnable>> together) {
    this.backends = List.copyOf(backends);
    this.together = together;
  }

  /// A backend that does a whole pass.
  public static Workers alone(Backend backend) {
    return new Workers(List.of(backend), work -> work.forEach(Runnable::run));
  }

  /// At least one.
  public List<Backend> backends() {
    return backends;
  }

  /// At most `most` samples in a batch, and as many batches for each worker, so that none waits for the others at the end.
  public int batchSize(long samples, int most) {
    long parts = backends.size() == 1 ? 1 : backends.size() * Math.ceilDiv(samples, (long) backends.size() * most);
    return (int) Math.min(most, Math.ceilDiv(samples, parts));
  }

  /// Does pieces of work at the same time, so that they may wait for each other, each with the backend of its number,
  /// the first on this thread, and waits for all. What several read none may write.
  ///
  /// @param work one for each backend
  public void run(List<Runnable> work) {
    together.accept(work);
  }
}
