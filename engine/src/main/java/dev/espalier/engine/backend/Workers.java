package dev.espalier.engine.backend;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/// Backends that share the samples of a pass, each used by one thread at a time. They are open as long as the backend that
/// has them. Threads of a CPU work on matrices of their own and of that backend; devices that are [apart][#areApart] on
/// their own alone.
public final class Workers {
  private final List<Backend> backends;
  private final Consumer<List<Runnable>> together;
  private final boolean apart;

  /// Workers that read the matrices of the backend that has them.
  ///
  /// @param together runs the tasks concurrently, the first on this thread, and waits for all
  public Workers(List<? extends Backend> backends, Consumer<List<Runnable>> together) {
    this(backends, together, false);
  }

  private Workers(List<? extends Backend> backends, Consumer<List<Runnable>> together, boolean apart) {
    this.backends = List.copyOf(backends);
    this.together = together;
    this.apart = apart;
  }

  /// A backend that does a whole pass.
  public static Workers alone(Backend backend) {
    return new Workers(List.of(backend), work -> work.forEach(Runnable::run));
  }

  /// Devices that work as one, each with memory of its own.
  ///
  /// @param backends two or more, first the one that has the others
  public static Workers apart(List<? extends Backend> backends) {
    return new Workers(backends, Workers::onThreads, true);
  }

  /// At least one.
  public List<Backend> backends() {
    return backends;
  }

  /// Whether a matrix of one is out of reach of the others: what they need, they need a copy of.
  public boolean areApart() {
    return apart;
  }

  /// At most `most` samples in a batch, and as many batches for each worker, so that none waits for the others at the end.
  public int batchSize(long samples, int most) {
    long parts = backends.size() == 1 ? 1 : backends.size() * Math.ceilDiv(samples, (long) backends.size() * most);
    return (int) Math.min(most, Math.ceilDiv(samples, parts));
  }

  /// Runs the tasks concurrently, task i on backend i and the first on this thread, and waits for all. Tasks may block on
  /// one another. What several read none may write.
  ///
  /// @param work a task for each backend
  public void run(List<Runnable> work) {
    together.accept(work);
  }

  /// Throws the failure of the task of the lowest number, with those of the others suppressed.
  private static void onThreads(List<Runnable> work) {
    List<Piece> pieces = work.stream().map(Piece::new).toList();
    List<Thread> threads = new ArrayList<>();
    try {
      pieces.stream().skip(1)
          .forEach(piece -> threads.add(Thread.ofPlatform().daemon().name("espalier-device").start(piece)));
      pieces.getFirst().run();
    } finally {
      threads.forEach(Workers::join); // also where a thread could not start: the others use what the caller closes
    }
    List<Throwable> failures = new ArrayList<>();
    pieces.stream().flatMap(piece -> Stream.ofNullable(piece.failure)).forEach(failures::add);
    if (failures.isEmpty()) {
      return;
    }
    Throwable first = failures.removeFirst();
    failures.stream().filter(other -> !other.equals(first)).forEach(first::addSuppressed);
    if (first instanceof Error error) {
      throw error;
    }
    throw (RuntimeException) first; // a Runnable throws no other
  }

  private static void join(Thread thread) {
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private static final class Piece implements Runnable {
    private final Runnable work;
    private Throwable failure; // read after its thread has ended

    Piece(Runnable work) {
      this.work = work;
    }

    @Override
    public void run() {
      try {
        work.run();
      } catch (RuntimeException | Error e) {
        failure = e;
      }
    }
  }
}
