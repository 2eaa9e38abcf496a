package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.DeviceFailedException;
import dev.espalier.engine.EspalierException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.kernels.DeviceMemoryException;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.GpuException;
import dev.espalier.kernels.Launch;
import java.util.function.Supplier;

/// A driver whose failures are exceptions of the engine.
final class CheckedDriver implements Driver {
  private final Driver driver;

  CheckedDriver(Driver driver) {
    this.driver = driver;
  }

  /// Runs a call that may fail on the GPU.
  static void run(Runnable call) {
    get(() -> {
      call.run();
      return null;
    });
  }

  /// The result of a call that may fail on the GPU.
  static <T> T get(Supplier<T> call) {
    try {
      return call.get();
    } catch (GpuException e) {
      throw translated(e);
    }
  }

  private static EspalierException translated(GpuException e) {
    return e instanceof DeviceMemoryException
        ? new OutOfBackendMemoryException(e.getMessage(), Remedy.SMALLER_BATCH, Remedy.OTHER_DEVICE)
        : new DeviceFailedException(e.getMessage(), e);
  }

  @Override
  public String name() {
    return driver.name();
  }

  @Override
  public int computeCapability() {
    return driver.computeCapability();
  }

  @Override
  public int multiprocessors() {
    return driver.multiprocessors();
  }

  @Override
  public int sharedMemory() {
    return driver.sharedMemory();
  }

  @Override
  public long freeMemory() {
    return get(driver::freeMemory);
  }

  @Override
  public long totalMemory() {
    return driver.totalMemory();
  }

  @Override
  public long allocate(long bytes) {
    return get(() -> driver.allocate(bytes));
  }

  @Override
  public void free(long address) {
    run(() -> driver.free(address));
  }

  @Override
  public HostMemory allocateHost(long bytes) {
    return get(() -> driver.allocateHost(bytes));
  }

  @Override
  public void free(HostMemory memory) {
    run(() -> driver.free(memory));
  }

  @Override
  public void fill(long address, long bytes, byte value) {
    run(() -> driver.fill(address, bytes, value));
  }

  @Override
  public void copy(long from, long to, long bytes) {
    run(() -> driver.copy(from, to, bytes));
  }

  @Override
  public void copyIn(HostMemory from, long offset, long to, long bytes, Stream stream) {
    run(() -> driver.copyIn(from, offset, to, bytes, stream));
  }

  @Override
  public void copyOut(long from, HostMemory to, long offset, long bytes, Stream stream) {
    run(() -> driver.copyOut(from, to, offset, bytes, stream));
  }

  @Override
  public Event event() {
    return get(driver::event);
  }

  @Override
  public void record(Event event, Stream stream) {
    run(() -> driver.record(event, stream));
  }

  @Override
  public void await(Event event, Stream stream) {
    run(() -> driver.await(event, stream));
  }

  @Override
  public void synchronize(Event event) {
    run(() -> driver.synchronize(event));
  }

  @Override
  public double seconds(Event from, Event to) {
    return get(() -> driver.seconds(from, to));
  }

  @Override
  public void synchronize() {
    run(driver::synchronize);
  }

  @Override
  public void beginRecording() {
    run(driver::beginRecording);
  }

  @Override
  public Graph endRecording() {
    return get(driver::endRecording);
  }

  @Override
  public void launch(Graph graph) {
    run(() -> driver.launch(graph));
  }

  @Override
  public void launch(Launch launch, Stream stream) {
    run(() -> driver.launch(launch, stream));
  }

  @Override
  public void close() {
    run(driver::close);
  }
}
