package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Resource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory outside Java's heap for float32 numbers, zero at first. The pool's threads read and write it while the one
/// that allocated it waits for them.
final class CpuMemory implements Resource {
  private static final long CACHE_LINE = 64;

  private final Arena arena;
  private final MemorySegment segment;
  private boolean closed;

  /// @throws OutOfBackendMemoryException if the system has not enough
  @SuppressWarnings("MustBeClosedChecker") // closed by close()
  CpuMemory(long elements) {
    arena = Arena.ofShared();
    try {
      segment = arena.allocate(Math.multiplyExact(elements, Float.BYTES), CACHE_LINE);
    } catch (OutOfMemoryError e) {
      arena.close();
      throw new OutOfBackendMemoryException(
          "%s do not fit into memory".formatted(MemoryBudget.text(elements * Float.BYTES)), Remedy.SMALLER_BATCH);
    }
  }

  MemorySegment segment() {
    return segment;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      arena.close();
    }
  }
}
