package dev.espalier.kernels;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Host memory with a life of its own, of zeros.
final class OwnMemory {
  private final Arena arena = Arena.ofShared();
  private final MemorySegment segment;

  OwnMemory(long bytes, long alignment) {
    segment = arena.allocate(bytes, alignment);
  }

  MemorySegment segment() {
    return segment;
  }

  void free() {
    arena.close();
  }
}
