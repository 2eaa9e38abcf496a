package dev.espalier.engine.matrix;

import java.lang.foreign.MemorySegment;
import java.util.stream.IntStream;

/// Copies in host memory by several threads, where there are many cores: one copies about 10 GB/s, while page-locked memory
/// reaches a GPU at 50.
public final class HostCopy {
  /// A thread's part of a copy, at the least.
  private static final long PART_BYTES = 1L << 22;
  /// A copy leaves three of four cores to others, and gains little by more threads than these.
  private static final int THREADS = Math.clamp(Runtime.getRuntime().availableProcessors() / 4, 1, 4);

  private HostCopy() {}

  /// Copies all of `from` into the first bytes of `to`, which must not overlap.
  public static void copy(MemorySegment from, MemorySegment to) {
    copy(from, to, THREADS);
  }

  /// As [#copy], by at most so many threads.
  static void copy(MemorySegment from, MemorySegment to, int threads) {
    long bytes = from.byteSize();
    int parts = MatrixView.isThreadConfined(from) || MatrixView.isThreadConfined(to)
        ? 1
        : Math.clamp(bytes / PART_BYTES, 1, threads);
    IntStream.range(0, parts).parallel().forEach(part -> {
      long first = bytes * part / parts;
      MemorySegment.copy(from, first, to, first, bytes * (part + 1) / parts - first);
    });
  }
}
