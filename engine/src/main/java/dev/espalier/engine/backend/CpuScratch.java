package dev.espalier.engine.backend;

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
}
