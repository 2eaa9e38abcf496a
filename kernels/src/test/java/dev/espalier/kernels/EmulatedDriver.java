package dev.espalier.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

/// The CPU as a GPU with memory and two streams, for tests of what is built on [Driver]. Work is done as late
/// as the rules allow: only when somebody waits for it, and in the stream that nobody waits for not at all. So a
/// missing event shows as a wrong result. Device memory begins as NaN, becomes NaN again when it is given back,
/// and lies between guard zones, which are checked when it is given back, [#close] at the latest.
@SuppressWarnings("restricted") // reads memory by address
public final class EmulatedDriver implements Driver {
  /// Which streams run ahead.
  public enum Order {
    /// A stream's work is done when it is waited for.
    LATE,
    /// The copy stream's work is done as soon as its events allow, the compute stream's when it is waited for.
    COPIES_FIRST
  }

  private static final int GUARD = 256;
  private static final byte GUARD_BYTE = (byte) 0xA5;
  private static final byte NAN_BYTE = (byte) 0xFF;

  /// The memory of all devices by address, and whose it is: none reaches that of another.
  private static final ConcurrentSkipListMap<Long, EmulatedDriver> OWNERS = new ConcurrentSkipListMap<>();

  private final EmulatedGpu gpu;
  private final Order order;
  private final long totalMemory;
  private final Map<Long, Allocation> allocations = new ConcurrentHashMap<>();
  private final Map<Long, OwnMemory> hostMemory = new HashMap<>();
  private final Map<Stream, Deque<Work>> queues = new EnumMap<>(Stream.class);
  private List<Work> recording;
  private long used;

  private long launches;
  private long graphs;
  private boolean closed;

  private record Allocation(OwnMemory memory, long bytes) {
    MemorySegment whole() {
      return memory.segment();
    }

    MemorySegment content() {
      return whole().asSlice(GUARD, bytes);
    }
  }

  /// Something in a queue.
  private interface Work {
    /// @return whether it was done; if not it waits for an event that has not been reached
    boolean run();
  }

  private static final class QueuedEvent implements Event {
    private long wanted;
    private long reached;
    private long nanos;
    private Stream stream;

    @Override
    public void close() {
      // Nothing is held.
    }
  }

  private record Recorded(List<Work> work) implements Graph {
    @Override
    public void close() {
      // Nothing is held.
    }
  }

  /// The test is skipped where the kernels were not built for the CPU.
  ///
  /// @param computeCapability 80 to 100: decides which kernels run
  /// @param totalMemory bytes of device memory
  public EmulatedDriver(int computeCapability, long totalMemory, Order order) {
    gpu = EmulatedGpu.open(computeCapability);
    this.totalMemory = totalMemory;
    this.order = order;
    for (Stream stream : Stream.values()) {
      queues.put(stream, new ArrayDeque<>());
    }
  }

  /// Kernels that ran so far.
  public long launches() {
    return launches;
  }

  /// Graphs launched so far.
  public long graphs() {
    return graphs;
  }

  /// Allocations of the device and the host that were not given back.
  public int allocations() {
    return allocations.size() + hostMemory.size();
  }

  /// Bytes of device memory in use.
  public long usedMemory() {
    return used;
  }

  @Override
  public String name() {
    return "emulated GPU";
  }

  @Override
  public int computeCapability() {
    return gpu.computeCapability();
  }

  @Override
  public int multiprocessors() {
    return gpu.multiprocessors();
  }

  @Override
  public int sharedMemory() {
    return gpu.sharedMemory();
  }

  // ---- memory ----

  @Override
  public long freeMemory() {
    return totalMemory - used;
  }

  @Override
  public long totalMemory() {
    return totalMemory;
  }

  @Override
  public long allocate(long bytes) {
    requireNoRecording();
    if (bytes > totalMemory - used) {
      throw new DeviceMemoryException("%d bytes of %d".formatted(bytes, totalMemory - used));
    }
    Allocation allocation = new Allocation(new OwnMemory(GUARD + bytes + GUARD, 256), bytes);
    allocation.whole().fill(GUARD_BYTE);
    allocation.content().fill(NAN_BYTE);
    used += bytes;
    long address = allocation.content().address();
    allocations.put(address, allocation);
    OWNERS.put(address, this);
    return address;
  }

  @Override
  public void free(long address) {
    requireNoRecording();
    Allocation allocation = allocations.get(address);
    if (allocation == null) {
      throw new IllegalStateException("nothing is allocated at %#x".formatted(address));
    }
    used -= allocation.bytes();
    enqueue(Stream.COMPUTE, () -> {
      requireGuards(allocation);
      allocations.remove(address);
      OWNERS.remove(address);
      allocation.memory().free();
    });
  }

  private static void requireGuards(Allocation allocation) {
    MemorySegment whole = allocation.whole();
    for (long i = 0; i < GUARD; i++) {
      if (whole.get(ValueLayout.JAVA_BYTE, i) != GUARD_BYTE
          || whole.get(ValueLayout.JAVA_BYTE, whole.byteSize() - 1 - i) != GUARD_BYTE) {
        throw new IllegalStateException("memory beside %d bytes was written".formatted(allocation.bytes()));
      }
    }
  }

  @Override
  public HostMemory allocateHost(long bytes) {
    OwnMemory memory = new OwnMemory(bytes, 256);
    hostMemory.put(memory.segment().address(), memory);
    return new HostMemory(memory.segment(), memory.segment().address());
  }

  @Override
  public void free(HostMemory memory) {
    hostMemory.remove(memory.address()).free();
  }

  private void requireOwn(long address) {
    Map.Entry<Long, EmulatedDriver> block = OWNERS.floorEntry(address);
    if (block == null || block.getValue() == this) {
      return;
    }
    Allocation allocation = block.getValue().allocations.get(block.getKey());
    if (allocation != null && address < block.getKey() + allocation.bytes()) {
      throw new IllegalStateException("%#x is in the memory of another device".formatted(address));
    }
  }

  private MemorySegment at(long address, long bytes) {
    requireOwn(address);
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  @Override
  public void fill(long address, long bytes, byte value) {
    enqueue(Stream.COMPUTE, () -> at(address, bytes).fill(value));
  }

  @Override
  public void copy(long from, long to, long bytes) {
    enqueue(Stream.COMPUTE, () -> at(to, bytes).copyFrom(at(from, bytes)));
  }

  @Override
  public void copyIn(HostMemory from, long offset, long to, long bytes, Stream stream) {
    MemorySegment source = from.segment().asSlice(offset, bytes);
    enqueue(stream, () -> at(to, bytes).copyFrom(source));
  }

  @Override
  public void copyOut(long from, HostMemory to, long offset, long bytes, Stream stream) {
    MemorySegment target = to.segment().asSlice(offset, bytes);
    enqueue(stream, () -> target.copyFrom(at(from, bytes)));
  }

  // ---- order ----

  private void enqueue(Stream stream, Runnable work) {
    enqueueWork(stream, () -> {
      work.run();
      return true;
    });
  }

  private void enqueueWork(Stream stream, Work work) {
    if (recording != null) {
      if (stream == Stream.COPY) {
        throw new IllegalStateException("only work in the compute stream is recorded");
      }
      recording.add(work);
      return;
    }
    queues.get(stream).add(work);
    if (order == Order.COPIES_FIRST) {
      runWhilePossible(Stream.COPY);
    }
  }

  private void runWhilePossible(Stream stream) {
    Deque<Work> queue = queues.get(stream);
    while (!queue.isEmpty() && queue.peek().run()) {
      queue.remove();
    }
  }

  private void runUntil(QueuedEvent event) {
    while (event.reached < event.wanted) {
      step(event.stream);
    }
  }

  private void step(Stream stream) {
    Work next = queues.get(stream).remove();
    if (!next.run()) {
      throw new IllegalStateException("streams wait for each other");
    }
  }

  @Override
  public Event event() {
    return new QueuedEvent();
  }

  @Override
  public void record(Event event, Stream stream) {
    requireNoRecording();
    QueuedEvent queued = (QueuedEvent) event;
    queued.stream = stream;
    queued.wanted++;
    long reached = queued.wanted;
    enqueue(stream, () -> {
      queued.reached = reached;
      queued.nanos = System.nanoTime();
    });
  }

  @Override
  public void await(Event event, Stream stream) {
    requireNoRecording();
    QueuedEvent queued = (QueuedEvent) event;
    long wanted = queued.wanted;
    enqueueWork(stream, () -> {
      if (queued.reached < wanted && stream == Stream.COMPUTE) {
        while (queued.reached < wanted) {
          step(Stream.COPY);
        }
      } else if (queued.reached < wanted && order == Order.LATE) {
        while (queued.reached < wanted) {
          step(Stream.COMPUTE);
        }
      }
      return queued.reached >= wanted;
    });
  }

  @Override
  public void synchronize(Event event) {
    requireNoRecording();
    QueuedEvent queued = (QueuedEvent) event;
    if (queued.stream == Stream.COPY && order == Order.COPIES_FIRST) {
      while (queued.reached < queued.wanted) {
        step(Stream.COMPUTE);
        runWhilePossible(Stream.COPY);
      }
    }
    runUntil(queued);
  }

  @Override
  public double seconds(Event from, Event to) {
    return (((QueuedEvent) to).nanos - ((QueuedEvent) from).nanos) * 1e-9;
  }

  @Override
  public void synchronize() {
    requireNoRecording();
    while (!queues.values().stream().allMatch(Deque::isEmpty)) {
      runWhilePossible(Stream.COPY);
      if (!queues.get(Stream.COMPUTE).isEmpty()) {
        step(Stream.COMPUTE);
      }
    }
  }

  @Override
  public void beginRecording() {
    requireNoRecording();
    recording = new ArrayList<>();
  }

  @Override
  public Graph endRecording() {
    Graph graph = new Recorded(List.copyOf(recording));
    recording = null;
    return graph;
  }

  @Override
  public void launch(Graph graph) {
    graphs++;
    ((Recorded) graph).work().forEach(work -> enqueueWork(Stream.COMPUTE, work));
  }

  private void requireNoRecording() {
    if (recording != null) {
      throw new IllegalStateException("not while work is recorded");
    }
  }

  @Override
  public void launch(Launch launch, Stream stream) {
    for (Argument argument : launch.arguments()) {
      switch (argument) {
        case Argument.Address(long address) -> requireOwn(address);
        case Argument.TensorMap(DeviceMatrix matrix, long _, int _) -> requireOwn(matrix.address());
        default -> {
          // A number.
        }
      }
    }
    enqueue(stream, () -> {
      launches++;
      gpu.launch(launch);
    });
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    synchronize();
    gpu.close();
    allocations.values().forEach(EmulatedDriver::requireGuards);
    allocations.forEach((address, allocation) -> {
      OWNERS.remove(address);
      allocation.memory().free();
    });
  }
}
