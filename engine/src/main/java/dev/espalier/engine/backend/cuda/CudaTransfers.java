package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.HostCopy;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Driver.Stream;
import dev.espalier.kernels.MatrixBlock;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// Copies between host and GPU beside the kernels, through two page-locked buffers of each side that take turns:
/// while kernels work on what one brought, the other is filled.
final class CudaTransfers implements Resource {
  static final long SLOT_BYTES = 32L << 20;
  private static final int SLOTS = 2;
  private static final int RESULT_BYTES = 1 << 16;

  private final Driver driver;
  private final CudaMemory memory;
  private final long slotBytes;
  private final List<Slot> slots = new ArrayList<>();
  private final Resources resources = new Resources();
  private Driver.HostMemory results;
  private int next;

  /// A buffer on each side.
  ///
  /// @param copied the copy between them is done
  /// @param consumed the kernels are done with the device's
  private record Slot(Driver.HostMemory host, CudaMemory.Block device, Driver.Event copied, Driver.Event consumed) {}

  /// What is done with rows that lie on the device.
  interface RowsUse {
    /// @param rows in memory that is used again for others
    /// @param first the number of the first
    void accept(MatrixBlock rows, int first);
  }

  CudaTransfers(Driver driver, CudaMemory memory, long slotBytes) {
    this.driver = driver;
    this.memory = memory;
    this.slotBytes = slotBytes;
  }

  /// Bytes of device memory that are taken once something was copied.
  long deviceBytes() {
    return SLOTS * slotBytes;
  }

  private Slot nextSlot() {
    if (slots.size() < SLOTS) {
      slots.add(slot());
    }
    Slot slot = slots.get(next % SLOTS);
    next++;
    return slot;
  }

  private Slot slot() {
    return Resources.build(acquired -> {
      Driver.HostMemory host = driver.allocateHost(slotBytes);
      acquired.own(() -> driver.free(host));
      CudaMemory.Block device = memory.allocate(slotBytes, "the transfer of data");
      acquired.own(() -> memory.free(device));
      Driver.Event copied = event(acquired);
      Driver.Event consumed = event(acquired);
      driver.record(consumed, Stream.COMPUTE); // the memory exists from this point of that stream on
      resources.own(acquired);
      return new Slot(host, device, copied, consumed);
    });
  }

  private Driver.Event event(Resources acquired) {
    Driver.Event event = driver.event();
    acquired.own(() -> CheckedDriver.run(event::close));
    return event;
  }

  /// Copies `source`, which may be used again on return, into `target`.
  void upload(MemorySegment source, CudaMatrix target) {
    if (target.memory().isOnHost()) {
      driver.synchronize();
      HostCopy.copy(source, target.memory().host().segment().asSlice(target.offset()));
      return;
    }
    for (long at = 0; at < source.byteSize(); at += slotBytes) {
      long bytes = Math.min(slotBytes, source.byteSize() - at);
      Slot slot = nextSlot();
      driver.synchronize(slot.copied());
      HostCopy.copy(source.asSlice(at, bytes), slot.host().segment());
      bring(slot, slot.host(), 0, bytes);
      driver.copy(slot.device().address(), target.device().address() + at, bytes);
      driver.record(slot.consumed(), Stream.COMPUTE);
    }
  }

  /// Copies into the slot's device memory; kernels from here on see it.
  private void bring(Slot slot, Driver.HostMemory from, long offset, long bytes) {
    driver.await(slot.consumed(), Stream.COPY);
    driver.copyIn(from, offset, slot.device().address(), bytes, Stream.COPY);
    driver.record(slot.copied(), Stream.COPY);
    driver.await(slot.copied(), Stream.COMPUTE);
  }

  /// Copies `source` into `target` and waits for it.
  void download(CudaMatrix source, MemorySegment target) {
    if (source.memory().isOnHost()) {
      driver.synchronize();
      HostCopy.copy(source.memory().host().segment().asSlice(source.offset(), target.byteSize()), target);
      return;
    }
    Slot before = null;
    for (long at = 0; at < target.byteSize(); at += slotBytes) {
      long bytes = Math.min(slotBytes, target.byteSize() - at);
      Slot slot = nextSlot();
      driver.synchronize(slot.copied());
      driver.copyOut(source.device().address() + at, slot.host(), 0, bytes, Stream.COMPUTE);
      driver.record(slot.copied(), Stream.COMPUTE);
      if (before != null) {
        take(before, target.asSlice(at - slotBytes, slotBytes));
      }
      before = slot;
    }
    long last = (target.byteSize() - 1) / slotBytes * slotBytes;
    take(before, target.asSlice(last));
  }

  private void take(Slot slot, MemorySegment target) {
    driver.synchronize(slot.copied());
    HostCopy.copy(slot.host().segment().asSlice(0, target.byteSize()), target);
  }

  /// Brings the rows of a matrix that lies on the host to the device, some at a time.
  void forEachRows(CudaMatrix matrix, RowsUse use) {
    long rowBytes = (long) matrix.columns() * Float.BYTES;
    int most = (int) Math.min(matrix.rows(), slotBytes / rowBytes);
    if (most == 0) {
      throw new OutOfBackendMemoryException(
          "a weight matrix of %d columns lies on the host, and a row of it exceeds the %s that are copied at a time"
              .formatted(matrix.columns(), MemoryBudget.text(slotBytes)),
          Remedy.MORE_DEVICE_MEMORY);
    }
    // Kernels may have written it where it lies.
    try (Resources acquired = new Resources()) {
      Driver.Event written = event(acquired);
      driver.record(written, Stream.COMPUTE);
      driver.await(written, Stream.COPY);
      for (int first = 0; first < matrix.rows(); first += most) {
        int count = Math.min(most, matrix.rows() - first);
        Slot slot = nextSlot();
        bring(slot, matrix.memory().host(), matrix.offset() + first * rowBytes, count * rowBytes);
        use.accept(MatrixBlock.of(new DeviceMatrix(slot.device().address(), count, matrix.columns())), first);
        driver.record(slot.consumed(), Stream.COMPUTE);
      }
    }
  }

  /// The first `count` 64-bit words at a device address, once the work before is done.
  long[] words(long address, int count) {
    if (results == null) {
      Driver.HostMemory host = driver.allocateHost(RESULT_BYTES);
      resources.own(() -> driver.free(host));
      results = host;
    }
    long[] words = new long[count];
    int most = RESULT_BYTES / Long.BYTES;
    for (int first = 0; first < count; first += most) {
      int some = Math.min(most, count - first);
      driver.copyOut(address + (long) first * Long.BYTES, results, 0, (long) some * Long.BYTES, Stream.COMPUTE);
      driver.synchronize();
      MemorySegment.copy(results.segment(), ValueLayout.JAVA_LONG, 0, words, first, some);
    }
    return words;
  }

  @Override
  public void close() {
    slots.clear();
    results = null;
    try (resources) { // also if the GPU failed
      driver.synchronize();
    }
  }
}
