package dev.espalier.bindings;

import static dev.espalier.bindings.cuda.cuda_h.CUDA_SUCCESS;
import static dev.espalier.bindings.cuda.cuda_h.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
import static dev.espalier.bindings.cuda.cuda_h.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT;
import static dev.espalier.bindings.cuda.cuda_h.CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGet;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGetDefaultMemPool;
import static dev.espalier.bindings.cuda.cuda_h.cuMemPoolGetAttribute;
import static dev.espalier.bindings.cuda.cuda_h.cuMemPoolSetAttribute;
import static dev.espalier.bindings.cuda.cuda_h.cuMemPoolTrimTo;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/// A device's default stream-ordered memory pool, which keeps freed memory while a `MemoryPool` of the device is open.
/// By default it returns freed memory to the driver at the next synchronisation, and fetches it again for the next
/// allocation. JCuda lacks the call that changes this. May be used from any thread.
public final class MemoryPool implements AutoCloseable {
  private static final long KEEP_ALL = -1; // unsigned

  /// The number of open pools of a device, and the threshold of its pool before the first was opened.
  private record Use(int count, long threshold) {}

  private static final Map<Integer, Use> USES = new HashMap<>();

  private final int ordinal;
  private final MemorySegment pool;
  private boolean closed;

  private MemoryPool(int ordinal, MemorySegment pool) {
    this.ordinal = ordinal;
    this.pool = pool;
  }

  /// The pool of a device. Needs the driver (see [CudaDriver#probe]), initialised.
  ///
  /// @param ordinal of the device, from 0
  /// @throws NativeCallException if the driver refuses
  public static MemoryPool open(int ordinal) {
    synchronized (USES) {
      MemoryPool pool = new MemoryPool(ordinal, defaultPool(ordinal));
      Use use = USES.get(ordinal);
      if (use == null) {
        use = new Use(0, pool.get(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD()));
        pool.setThreshold(KEEP_ALL);
      }
      USES.put(ordinal, new Use(use.count() + 1, use.threshold()));
      return pool;
    }
  }

  private static MemorySegment defaultPool(int ordinal) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment device = arena.allocate(JAVA_INT);
      check(cuDeviceGet(device, ordinal), "cuDeviceGet");
      MemorySegment pool = arena.allocate(ADDRESS);
      check(cuDeviceGetDefaultMemPool(pool, device.get(JAVA_INT, 0)), "cuDeviceGetDefaultMemPool");
      return pool.get(ADDRESS, 0);
    }
  }

  private long get(int attribute) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(JAVA_LONG);
      check(cuMemPoolGetAttribute(pool, attribute, value), "cuMemPoolGetAttribute");
      return value.get(JAVA_LONG, 0);
    }
  }

  private void setThreshold(long bytes) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocateFrom(JAVA_LONG, bytes);
      check(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD(), value), "cuMemPoolSetAttribute");
    }
  }

  /// Bytes that the pool keeps for later allocations: the driver does not count them as free.
  ///
  /// @throws NativeCallException if the driver fails
  public long unused() {
    return get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT()) - get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT());
  }

  private static void check(int status, String function) {
    if (status != CUDA_SUCCESS()) {
      throw new NativeCallException(function, status);
    }
  }

  /// Gives unused memory back to the driver. The last pool that is closed for a device restores its threshold.
  ///
  /// @throws NativeCallException if the driver fails; the pool is closed all the same
  @Override
  public void close() {
    synchronized (USES) {
      if (closed) {
        return;
      }
      closed = true;
      Use use = USES.remove(ordinal);
      try {
        if (use.count() > 1) {
          USES.put(ordinal, new Use(use.count() - 1, use.threshold()));
        } else {
          setThreshold(use.threshold());
        }
      } finally {
        check(cuMemPoolTrimTo(pool, 0), "cuMemPoolTrimTo");
      }
    }
  }
}
