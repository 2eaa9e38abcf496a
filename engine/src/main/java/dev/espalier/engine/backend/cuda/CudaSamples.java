package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleTransfer;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Driver.Stream;
import dev.espalier.kernels.ReductionsKernel;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// How batches of samples reach the GPU: read into page-locked memory, copied and looked at for values that are not finite
/// while kernels work on the batch before. The memory of a pass that has ended serves the next.
final class CudaSamples implements Resource {
  /// One batch is read while one is copied, and one is copied while one waits for the kernels.
  private static final int BUFFERS = 2;

  private final Driver driver;
  private final CudaMemory memory;
  private final ReductionsKernel looking;
  private final List<Buffers> idle = new ArrayList<>();

  CudaSamples(Driver driver, CudaMemory memory) {
    this.driver = driver;
    this.memory = memory;
    looking = new ReductionsKernel(driver.in(Stream.COPY));
  }

  /// Bytes of device memory that a pass takes.
  static long bytes(int samples, int inputs) {
    return BUFFERS * CudaMemory.rounded(batchBytes(samples, inputs)) + CudaMemory.rounded(Long.BYTES);
  }

  private static long batchBytes(int samples, int inputs) {
    return (long) samples * inputs * Float.BYTES;
  }

  /// The way of a pass's batches.
  SampleTransfer open(int samples, int inputs) {
    long bytes = batchBytes(samples, inputs);
    for (Buffers buffers : idle) {
      if (buffers.bytes >= bytes) {
        idle.remove(buffers);
        return new Transfer(buffers, samples, inputs);
      }
    }
    close(); // too small for what comes now
    return new Transfer(Resources.build(acquired -> new Buffers(bytes, acquired)), samples, inputs);
  }

  /// Gives back what no pass uses.
  @Override
  public void close() {
    try (Resources all = new Resources()) {
      idle.forEach(all::own);
      idle.clear();
    }
  }

  /// Memory on both sides.
  private final class Buffers implements Resource {
    private final long bytes;
    private final List<Driver.HostMemory> host = new ArrayList<>();
    private final List<CudaMemory.Block> device = new ArrayList<>();
    /// The copy into a buffer of the device is done.
    private final List<Driver.Event> copied = new ArrayList<>();
    /// The kernels are done with a buffer of the device.
    private final List<Driver.Event> consumed = new ArrayList<>();
    /// The index of the first element that is not finite, on either side.
    private final CudaMemory.Block found;
    private final Driver.HostMemory foundThere;
    private final Resources resources;

    Buffers(long bytes, Resources resources) {
      this.bytes = bytes;
      this.resources = resources;
      for (int i = 0; i < BUFFERS; i++) {
        host.add(hostMemory(bytes));
        device.add(deviceMemory(bytes));
        copied.add(event());
        consumed.add(event());
      }
      foundThere = hostMemory(Long.BYTES);
      found = deviceMemory(Long.BYTES);
      forget();
    }

    private Driver.HostMemory hostMemory(long size) {
      Driver.HostMemory allocated = driver.allocateHost(size);
      resources.own(() -> driver.free(allocated));
      return allocated;
    }

    private CudaMemory.Block deviceMemory(long size) {
      CudaMemory.Block allocated = memory.allocate(size, "the transfer of samples");
      resources.own(() -> memory.free(allocated));
      return allocated;
    }

    private Driver.Event event() {
      Driver.Event event = driver.event();
      resources.own(() -> CheckedDriver.run(event::close));
      return event;
    }

    /// Makes it as if all elements so far were finite. Copies from here on come behind it.
    void forget() {
      driver.fill(found.address(), Long.BYTES, (byte) -1);
      consumed.forEach(event -> driver.record(event, Stream.COMPUTE));
    }

    @Override
    public void close() {
      try (resources) { // also if the GPU failed
        driver.synchronize();
      }
    }
  }

  /// A pass that uses buffers.
  private final class Transfer implements SampleTransfer {
    private final Buffers buffers;
    private final int samples;
    private final int inputs;
    /// The device's buffer with the batch that was taken last.
    private int current;
    private boolean closed;

    Transfer(Buffers buffers, int samples, int inputs) {
      this.buffers = buffers;
      this.samples = samples;
      this.inputs = inputs;
    }

    @Override
    public int count() {
      return BUFFERS;
    }

    @Override
    public MatrixView buffer(int number) {
      return new MatrixView(buffers.host.get(number).segment().asSlice(0, batchBytes(samples, inputs)), samples,
          inputs);
    }

    /// Waits for the copy, which waits for the kernels of the batch before the last one at most.
    @Override
    public long take(int number, int rows) {
      current = (current + 1) % BUFFERS;
      DeviceMatrix there = new DeviceMatrix(buffers.device.get(current).address(), rows, inputs);
      driver.await(buffers.consumed.get(current), Stream.COPY);
      driver.copyIn(buffers.host.get(number), 0, there.address(), there.bytes(), Stream.COPY);
      looking.firstNonFinite(there, new DeviceBuffer(buffers.found.address(), Long.BYTES));
      driver.copyOut(buffers.found.address(), buffers.foundThere, 0, Long.BYTES, Stream.COPY);
      driver.record(buffers.copied.get(current), Stream.COPY);
      driver.synchronize(buffers.copied.get(current));
      long first = buffers.foundThere.segment().get(ValueLayout.JAVA_LONG, 0);
      if (first >= 0) {
        buffers.forget();
      }
      return first;
    }

    @Override
    public void load(Matrix target) {
      DeviceMatrix to = CudaMatrix.device(target);
      driver.await(buffers.copied.get(current), Stream.COMPUTE);
      driver.copy(buffers.device.get(current).address(), to.address(), to.bytes());
      driver.record(buffers.consumed.get(current), Stream.COMPUTE);
    }

    @Override
    public void close() {
      if (!closed) {
        closed = true;
        idle.add(buffers);
      }
    }
  }
}
