package dev.espalier.kernels;

import java.lang.foreign.MemorySegment;

/// One GPU as a backend sees it: memory, copies and kernels in two streams, or in tests the CPU that plays
/// one. Work in a stream takes effect in order; streams wait for each other by events alone. Used by one
/// thread at a time, any. Every method throws a [GpuException] if the GPU fails, also
/// when work of an earlier call does.
///
/// Kernels, [#fill] and [#copy] run in [Stream#COMPUTE] where no stream is named.
public interface Driver extends Gpu, AutoCloseable {
  /// A queue of work.
  enum Stream {
    /// Kernels, and copies that they wait for.
    COMPUTE,
    /// Copies beside them, and kernels that look at what was copied.
    COPY
  }

  /// A point in a stream.
  interface Event extends AutoCloseable {
    /// Releases the event; work that waits for it still does.
    @Override
    void close();
  }

  /// Work that was recorded, to be repeated.
  interface Graph extends AutoCloseable {
    /// Releases the recording once it has run.
    @Override
    void close();
  }

  /// Page-locked memory of the host, which kernels reach too, over the bus.
  ///
  /// @param segment as the host sees it: to be read and written while no work in a stream uses it
  /// @param address as the device sees it
  record HostMemory(MemorySegment segment, long address) {}

  /// For example `NVIDIA H200, compute capability 9.0`.
  String name();

  /// Free bytes of device memory now, other processes taken off, memory that is kept for later allocations included.
  long freeMemory();

  /// Bytes of device memory.
  long totalMemory();

  /// Device memory of undefined content, for work from here on; its address is a multiple of 256.
  ///
  /// @throws DeviceMemoryException if there is not as much
  long allocate(long bytes);

  /// Gives memory of [#allocate] back once the work so far in [Stream#COMPUTE] is done.
  void free(long address);

  /// Page-locked host memory.
  ///
  /// @throws DeviceMemoryException if the system does not give as much
  HostMemory allocateHost(long bytes);

  /// Gives memory of [#allocateHost] back at once: no work may be using it.
  void free(HostMemory memory);

  /// Writes `value` into every byte.
  void fill(long address, long bytes, byte value);

  /// Copies between device addresses that do not overlap.
  void copy(long from, long to, long bytes);

  /// Copies `bytes` bytes of `from`, from `offset` on, to the device.
  void copyIn(HostMemory from, long offset, long to, long bytes, Stream stream);

  /// Copies `bytes` bytes of the device into `to`, from `offset` on.
  void copyOut(long from, HostMemory to, long offset, long bytes, Stream stream);

  /// Starts a kernel in a stream, which must not be recorded unless it is [Stream#COMPUTE].
  ///
  /// @throws KernelException if it cannot be started
  void launch(Launch launch, Stream stream);

  @Override
  default void launch(Launch launch) {
    launch(launch, Stream.COMPUTE);
  }

  /// This GPU for launchers whose kernels belong into a stream.
  default Gpu in(Stream stream) {
    Driver driver = this;
    return new Gpu() {
      @Override
      public void launch(Launch launch) {
        driver.launch(launch, stream);
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
    };
  }

  /// An event, not yet recorded.
  Event event();

  /// Moves the event behind the work in `stream` so far.
  void record(Event event, Stream stream);

  /// Later work in `stream` starts after the event as it was last recorded; at once if it never was.
  void await(Event event, Stream stream);

  /// Waits on the host for the event as it was last recorded.
  void synchronize(Event event);

  /// Seconds between two recorded events that were waited for.
  double seconds(Event from, Event to);

  /// Waits for all work.
  ///
  /// @throws GpuException if it failed
  void synchronize();

  /// From here on work in [Stream#COMPUTE] is recorded and not done; nothing may be allocated, freed or waited
  /// for until [#endRecording].
  void beginRecording();

  /// What was recorded.
  Graph endRecording();

  /// Does recorded work, in [Stream#COMPUTE].
  void launch(Graph graph);

  /// Waits for all work and gives everything back but memory.
  @Override
  void close();
}
