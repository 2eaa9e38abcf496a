package dev.espalier.engine.backend.cpu;

import dev.espalier.bindings.OneDnn;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

/// Splits work over threads. All backends of a process share the threads, and no more of them work at a time than there
/// are cores: several pruners take turns. A caller works too; each thread multiplies by itself, without OpenMP's
/// threads.
final class CpuPool {
  /// The cores this process may use; the JVM looks at affinity and container limits.
  static final int CORES = Runtime.getRuntime().availableProcessors();

  /// Elements of a part whose work is little for each: 256 KiB of float32, much longer than it takes to start.
  static final long BLOCK = 1 << 16;

  /// How long a caller waits for its helpers before it lets go of its core, which takes about as long to get back.
  private static final long SPIN_NANOS = 50_000;

  private static final Semaphore FREE_CORES = new Semaphore(CORES, true);
  private static final ExecutorService HELPERS = Executors.newCachedThreadPool(CpuPool::helper);

  private final int threads;
  private final boolean nested;

  /// @param threads most that work at a time, the caller included
  CpuPool(int threads) {
    this(threads, false);
  }

  private CpuPool(int threads, boolean nested) {
    this.threads = threads;
    this.nested = nested;
  }

  /// A pool for the inside of a part: the thread that runs the part does all.
  static CpuPool nested() {
    return new CpuPool(1, true);
  }

  /// One of the parts of some work.
  interface Part {
    void run(int part);
  }

  /// Part of a range.
  interface Range {
    void run(long start, long end);
  }

  int threads() {
    return threads;
  }

  /// Runs parts 0 to `parts` − 1, in any order, and waits for them.
  void run(int parts, Part part) {
    if (nested) {
      for (int i = 0; i < parts; i++) {
        part.run(i);
      }
      return;
    }
    FREE_CORES.acquireUninterruptibly();
    int helpers = 0;
    while (helpers < Math.min(threads, parts) - 1 && FREE_CORES.tryAcquire()) {
      helpers++;
    }
    run(new Work(parts, part, helpers));
  }

  /// On a core for this thread and one for each helper, which are given back.
  private static void run(Work work) {
    try {
      int first = work.nextPart();
      for (int i = 0; i < work.helpers; i++) {
        HELPERS.execute(work::help);
      }
      int before = OneDnn.setThreads(1);
      try {
        work.takeParts(first);
      } finally {
        OneDnn.setThreads(before);
      }
      work.finish();
    } finally {
      FREE_CORES.release();
    }
  }

  /// Runs parts 0 to `parts` − 1, at most as many as there are threads, all at the same time, so that they may wait for
  /// each other; number 0 on this thread.
  void runTogether(int parts, Part part) {
    FREE_CORES.acquireUninterruptibly(parts);
    run(new Work(parts, part, parts - 1));
  }

  /// Runs ranges that together are 0 to `length`, each but the last of `step`.
  void ranges(long length, long step, Range range) {
    run(Math.toIntExact((length + step - 1) / step),
        part -> range.run(part * step, Math.min(length, (part + 1) * step)));
  }

  /// A tile of a matrix: `count` elements from index `first` on.
  interface TileWork {
    void run(long first, int count, CpuTile tile);
  }

  /// A tile of one row of a matrix.
  interface RowTileWork {
    void run(int row, int column, int count, CpuTile tile);
  }

  /// Runs tiles that together are elements 0 to `elements`.
  void tiles(long elements, TileWork work) {
    ranges(elements, BLOCK, (start, end) -> {
      CpuTile tile = CpuTile.ofThread();
      for (long first = start; first < end; first += CpuTile.LENGTH) {
        work.run(first, (int) Math.min(CpuTile.LENGTH, end - first), tile);
      }
    });
  }

  /// Runs tiles that together are a matrix and of which none is of two rows.
  void rowTiles(int rows, int columns, RowTileWork work) {
    ranges(rows, rowsPerBlock(columns), (start, end) -> {
      CpuTile tile = CpuTile.ofThread();
      for (int row = (int) start; row < end; row++) {
        for (int column = 0; column < columns; column += CpuTile.LENGTH) {
          work.run(row, column, Math.min(CpuTile.LENGTH, columns - column), tile);
        }
      }
    });
  }

  /// Rows that a part should have whose work is little for each element.
  static long rowsPerBlock(int columns) {
    return Math.max(1, BLOCK / columns);
  }

  private static Thread helper(Runnable work) {
    Thread thread = new Thread(() -> {
      OneDnn.setThreads(1);
      work.run();
    }, "espalier-cpu");
    thread.setDaemon(true);
    return thread;
  }

  private static final class Work {
    private final int parts;
    private final Part part;
    private final int helpers;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private final CountDownLatch helping;

    Work(int parts, Part part, int helpers) {
      this.parts = parts;
      this.part = part;
      this.helpers = helpers;
      this.helping = new CountDownLatch(helpers);
    }

    void help() {
      try {
        takeParts(nextPart());
      } finally {
        FREE_CORES.release();
        helping.countDown();
      }
    }

    int nextPart() {
      return next.getAndIncrement();
    }

    /// Parts go to whoever is free: cores of a shared machine are not equally fast.
    void takeParts(int first) {
      try {
        for (int i = first; i < parts; i = nextPart()) {
          part.run(i);
        }
      } catch (RuntimeException | Error e) {
        failure.compareAndSet(null, e);
        next.set(parts);
      }
    }

    /// Waits even when interrupted: the parts use memory that the caller may close.
    void finish() {
      long parking = System.nanoTime() + SPIN_NANOS;
      while (helping.getCount() > 0 && System.nanoTime() < parking) {
        Thread.onSpinWait();
      }
      boolean interrupted = false;
      while (true) {
        try {
          helping.await();
          break;
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
      switch (failure.get()) {
        case null -> {
        }
        case Error e -> throw e;
        case RuntimeException e -> throw e;
        case Throwable e -> throw new AssertionError(e);
      }
    }
  }
}
