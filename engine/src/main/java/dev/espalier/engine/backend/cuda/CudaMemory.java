package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;

/// A GPU's memory under a budget. What is as large as a layer's weights leaves a part of it to the batches, and
/// where it does not fit lies in page-locked host memory instead: kernels that go over it once reach it there.
final class CudaMemory implements Resource {
  /// Allocations are rounded up to it.
  private static final long GRANULE = 256;
  /// The part of the budget that is kept for batches: one in so many.
  private static final long BATCH_SHARE = 4;

  private final Driver driver;
  private final long budget;
  private long used;
  private long hostBytes;
  private DeviceBuffer scratch;
  private long generation;

  /// Memory at an address.
  ///
  /// @param host where it lies in host memory, null where it lies on the device
  record Block(long address, long bytes, Driver.HostMemory host) {
    boolean isOnHost() {
      return host != null;
    }
  }

  CudaMemory(Driver driver, long budget) {
    this.driver = driver;
    this.budget = budget;
  }

  long budget() {
    return budget;
  }

  /// Bytes on the device.
  long used() {
    return used;
  }

  /// Bytes in host memory.
  long hostBytes() {
    return hostBytes;
  }

  /// Grows when an address that work may have recorded is given back.
  long generation() {
    return generation;
  }

  /// Bytes that weights, moments and the like may take of a budget.
  static long shareOfWeights(long budget) {
    return budget - budget / BATCH_SHARE;
  }

  /// What an allocation takes.
  static long rounded(long bytes) {
    return Math.ceilDiv(bytes, GRANULE) * GRANULE;
  }

  /// Zeros, on the device.
  ///
  /// @throws OutOfBackendMemoryException if they do not fit
  Block allocate(long bytes, String what) {
    Block block = allocateWorkspace(bytes, what);
    try {
      driver.fill(block.address(), block.bytes(), (byte) 0);
    } catch (RuntimeException e) {
      Resources allocated = new Resources();
      allocated.own(() -> free(block));
      allocated.closeAfter(e);
      throw e;
    }
    return block;
  }

  /// Memory on the device, of any contents.
  ///
  /// @throws OutOfBackendMemoryException if it does not fit
  Block allocateWorkspace(long bytes, String what) {
    long size = rounded(bytes);
    if (size > budget - used) {
      throw outOfMemory(what, size,
          "of %s of GPU memory %s are taken".formatted(MemoryBudget.text(budget), MemoryBudget.text(used)));
    }
    Block block = new Block(onDevice(size, what), size, null);
    used += size;
    return block;
  }

  private long onDevice(long size, String what) {
    try {
      return driver.allocate(size);
    } catch (OutOfBackendMemoryException e) {
      throw outOfMemory(what, size, e.getMessage());
    }
  }

  /// Zeros as large as a layer's weights, on the device while there is room beside the batches, else on the host.
  ///
  /// @throws OutOfBackendMemoryException if the host has not as much either
  Block allocateWeights(long bytes, String what) {
    long size = rounded(bytes);
    if (size <= shareOfWeights(budget) - used) {
      return allocate(bytes, what);
    }
    try {
      Driver.HostMemory host = driver.allocateHost(size);
      hostBytes += size;
      return new Block(host.address(), size, host);
    } catch (OutOfBackendMemoryException e) {
      throw outOfMemory(what, size,
          "neither of %s of GPU memory nor on the host: %s".formatted(MemoryBudget.text(budget), e.getMessage()));
    }
  }

  private static OutOfBackendMemoryException outOfMemory(String what, long bytes, String why) {
    return new OutOfBackendMemoryException("%s needs %s: %s".formatted(what, MemoryBudget.text(bytes), why),
        Remedy.SMALLER_BATCH, Remedy.MORE_DEVICE_MEMORY);
  }

  void free(Block block) {
    generation++;
    if (block.isOnHost()) {
      hostBytes -= block.bytes();
      try (Resource _ = () -> driver.free(block.host())) { // also if the GPU failed
        driver.synchronize();
      }
    } else {
      used -= block.bytes();
      driver.free(block.address());
    }
  }

  /// Memory for the next kernel alone.
  DeviceBuffer scratch(long bytes) {
    if (scratch == null || scratch.bytes() < bytes) {
      close();
      Block block = allocate(bytes, "workspace");
      scratch = new DeviceBuffer(block.address(), block.bytes());
    }
    return scratch;
  }

  /// Gives back what [#scratch] took.
  @Override
  public void close() {
    if (scratch != null) {
      Block block = new Block(scratch.address(), scratch.bytes(), null);
      scratch = null;
      free(block);
    }
  }
}
