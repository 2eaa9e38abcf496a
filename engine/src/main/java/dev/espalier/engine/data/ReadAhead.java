package dev.espalier.engine.data;

import dev.espalier.engine.data.Batches.Batch;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/// A thread that reads batches while others are used. It starts with the first [#next].
final class ReadAhead implements AutoCloseable {
  /// Reads the next batch.
  interface Reader {
    /// @param batch written; left empty if there is none
    void read(Batch batch) throws IOException;
  }

  private final Reader reader;
  private final BlockingQueue<Batch> free;
  private final BlockingQueue<Batch> filled = new LinkedBlockingQueue<>();
  private final Thread thread = Thread.ofPlatform().daemon().name("espalier-reader").unstarted(this::run);
  private Batch used;
  private volatile boolean closed;

  ReadAhead(List<Batch> batches, Reader reader) {
    this.reader = reader;
    free = new LinkedBlockingQueue<>(batches);
  }

  private void run() {
    Batch batch;
    do {
      batch = take(free);
      if (closed) {
        return;
      }
      try {
        reader.read(batch);
      } catch (IOException | RuntimeException | Error e) { // thrown where the batch is waited for
        batch.fail(e);
      }
      filled.add(batch);
    } while (!batch.isLast());
  }

  /// The next batch, empty behind the last; the one before it is filled again.
  Batch next() {
    if (thread.getState() == Thread.State.NEW) {
      thread.start();
    }
    if (used != null && used.isLast()) {
      used.clear();
      return used;
    }
    if (used != null) {
      free.add(used);
    }
    used = take(filled);
    return used;
  }

  private static Batch take(BlockingQueue<Batch> queue) {
    boolean interrupted = false;
    try {
      while (true) {
        try {
          return queue.take();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /// Waits for the thread, which reads at most what it has begun.
  @Override
  public void close() {
    closed = true;
    if (used != null) {
      free.add(used); // wakes it
    }
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
}
