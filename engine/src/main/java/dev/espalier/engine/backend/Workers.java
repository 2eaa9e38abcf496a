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

  /// Does pieces of work at the same time, so that they may wait for each other, each with the backend of its number,
  /// the first on this thread, and waits for all. What several read none may write.
  ///
  /// @param work one for each backend
  public void run(List<Runnable> work) {
    together.accept(work);
  }

  /// Throws the failure of the first piece that fails, with those of later ones suppressed.
  private static void onThreads(List<Runnable> work) {
    List<Piece> pieces = work.stream().map(Piece::new).toList();
    List<Thread> threads = pieces.stream().skip(1)
        .map(piece -> Thread.ofPlatform().daemon().name("espalier-device").start(piece)).toList();
    pieces.getFirst().run();
    threads.forEach(Workers::join);
    List<Throwable> failures = new ArrayList<>();
    pieces.stream().flatMap(piece -> Stream.ofNullable(piece.failure)).forEach(failures::add);
    if (failures.isEmpty()) {
      return;
    }
    Throwable first = failures.removeFirst();
    failures.forEach(first::addSuppressed);
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
