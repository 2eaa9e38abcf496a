package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.Resource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory for the inside of an operation, kept for the next one.
final class CpuScratch implements Resource {
  private CpuMemory memory;

  /// Memory for at least `elements` float32 numbers, with whatever it holds.
  MemorySegment atLeast(long elements) {
    if (memory == null || memory.segment().byteSize() < elements * Float.BYTES) {
      close();
      memory = new CpuMemory(elements);
    }
    return memory.segment();
  }

  @Override
  public void close() {
    if (memory != null) {
      memory.close();
      memory = null;
    }
  }

  /// A part's product or factor.
  static final OfThread PRODUCT = new OfThread();

  /// Memory of each thread, for one purpose.
  static final class OfThread {
    private final ThreadLocal<MemorySegment> memory = ThreadLocal.withInitial(() -> MemorySegment.NULL);

    /// The calling thread's, for at least `elements` float32 numbers, with whatever it holds; its next call may give
    /// the same.
    MemorySegment atLeast(long elements) {
      long bytes = elements * Float.BYTES;
      if (memory.get().byteSize() < bytes) {
        memory.set(Arena.ofAuto().allocate(bytes, CpuTiles.CACHE_LINE * Float.BYTES));
      }
      return memory.get();
    }
  }
}
