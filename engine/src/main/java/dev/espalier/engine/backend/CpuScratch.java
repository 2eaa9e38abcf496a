package dev.espalier.engine.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory for the inside of an operation, kept for the next one.
final class CpuScratch implements Resource {
  private static final ThreadLocal<MemorySegment> OF_THREAD = ThreadLocal
      .withInitial(() -> MemorySegment.NULL);

  private CpuMemory memory;

  /// Memory of the calling thread for at least `elements` float32 numbers, with whatever it holds; its next call may give
  /// the same.
  static MemorySegment ofThread(long elements) {
    long bytes = elements * Float.BYTES;
    if (OF_THREAD.get().byteSize() < bytes) {
      OF_THREAD.set(Arena.ofAuto().allocate(bytes, CpuTiles.CACHE_LINE * Float.BYTES));
    }
    return OF_THREAD.get();
  }

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
}
