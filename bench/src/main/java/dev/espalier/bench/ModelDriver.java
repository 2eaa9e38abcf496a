package dev.espalier.bench;

import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Launch;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/// A chip that runs nothing, and keeps what would be launched.
final class ModelDriver implements Driver {
  private final Chip chip;
  private final List<Launch> launches = new ArrayList<>();
  private long next = 1L << 20;

  ModelDriver(Chip chip) {
    this.chip = chip;
  }

  /// The launches since the last call.
  List<Launch> launches() {
    List<Launch> all = List.copyOf(launches);
    launches.clear();
    return all;
  }

  @Override
  public String name() {
    return chip.name();
  }

  @Override
  public int computeCapability() {
    return chip.computeCapability();
  }

  @Override
  public int multiprocessors() {
    return chip.multiprocessors();
  }

  @Override
  public int sharedMemory() {
    return chip.sharedMemory();
  }

  @Override
  public long freeMemory() {
    return Long.MAX_VALUE;
  }

  @Override
  public long totalMemory() {
    return Long.MAX_VALUE;
  }

  /// Addresses that lie apart.
  @Override
  public long allocate(long bytes) {
    long address = next;
    next += Math.ceilDiv(bytes, 256) * 256;
    return address;
  }

  @Override
  public void free(long address) {
    // There is nothing.
  }

  @Override
  public HostMemory allocateHost(long bytes) {
    return new HostMemory(Arena.ofAuto().allocate(bytes), allocate(bytes));
  }

  @Override
  public void free(HostMemory memory) {
    // Java's collector does.
  }

  @Override
  public void fill(long address, long bytes, byte value) {
    // There is nothing.
  }

  @Override
  public void copy(long from, long to, long bytes) {
    // There is nothing.
  }

  @Override
  public void copyIn(HostMemory from, long offset, long to, long bytes, Stream stream) {
    // There is nothing.
  }

  @Override
  public void copyOut(long from, HostMemory to, long offset, long bytes, Stream stream) {
    // There is nothing.
  }

  @Override
  public void launch(Launch launch, Stream stream) {
    launches.add(launch);
  }

  @Override
  public Event event() {
    return () -> {};
  }

  @Override
  public void record(Event event, Stream stream) {
    // Nothing takes time.
  }

  @Override
  public void await(Event event, Stream stream) {
    // Nothing takes time.
  }

  @Override
  public void synchronize(Event event) {
    // Nothing takes time.
  }

  @Override
  public double seconds(Event from, Event to) {
    return 0;
  }

  @Override
  public void synchronize() {
    // Nothing takes time.
  }

  @Override
  public void beginRecording() {
    throw new UnsupportedOperationException();
  }

  @Override
  public Graph endRecording() {
    throw new UnsupportedOperationException();
  }

  @Override
  public void launch(Graph graph) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {
    // Nothing is held.
  }
}
