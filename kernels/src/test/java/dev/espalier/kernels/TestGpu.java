package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// A GPU whose memory tests write and read: the CPU that plays one, or inside tests tagged `gpu` a device. Every
/// buffer lies between guard zones, which [#close] checks.
abstract class TestGpu implements Gpu, AutoCloseable {
  private static final byte GUARD_BYTE = (byte) 0xA5;
  private static final byte NAN_BYTE = (byte) 0xFF;

  /// A buffer of `bytes`, `start` bytes behind the beginning of `all` at `address`.
  private record Guarded(long address, long all, long start, long bytes) {}

  private final List<Guarded> buffers = new ArrayList<>();

  /// The GPU that tests run on; the test is skipped where there is no g++ for the CPU that plays one.
  static TestGpu open() {
    return open(90);
  }

  /// As [#open], with a compute capability, which launchers pick their kernels by.
  static TestGpu open(int computeCapability) {
    return OnDevice.driver().<TestGpu>map(driver -> new DriverGpu(driver, computeCapability))
        .orElseGet(() -> EmulatedGpu.open(computeCapability));
  }

  /// What an addition of tensor cores may lose, relatively: on the CPU, which rounds to nearest, as elsewhere.
  double tensorCoreUnit() {
    return Checks.UNIT;
  }

  /// Memory of undefined content at a multiple of 256.
  abstract long allocate(long bytes);

  /// Writes `value` into every byte.
  abstract void fill(long address, long bytes, byte value);

  abstract void copyIn(MemorySegment from, long to);

  /// Waits for the kernels, and copies.
  abstract void copyOut(long from, MemorySegment to);

  /// Gives all memory back.
  abstract void free();

  /// Bytes of a guard zone, a multiple of 256.
  abstract int guard();

  /// A matrix that holds `values`.
  DeviceMatrix matrix(int rows, int columns, float... values) {
    DeviceMatrix matrix = matrix(rows, columns);
    write(matrix, values);
    return matrix;
  }

  /// A matrix of NaN: what a kernel must write before it reads.
  DeviceMatrix matrix(int rows, int columns) {
    return matrixAt(0, rows, columns);
  }

  /// A matrix of NaN, `offset` elements behind an address that is a multiple of 256.
  DeviceMatrix matrixAt(int offset, int rows, int columns) {
    long bytes = (long) rows * columns * Float.BYTES;
    return new DeviceMatrix(guarded(bytes, (long) offset * Float.BYTES, NAN_BYTE), rows, columns);
  }

  /// A buffer of `bytes` times `fill`.
  DeviceBuffer buffer(long bytes, int fill) {
    return new DeviceBuffer(guarded(bytes, 0, (byte) fill), bytes);
  }

  private long guarded(long bytes, long offset, byte fill) {
    long start = guard() + offset;
    long all = start + bytes + guard(); // the guard behind starts at the very next byte
    long address = allocate(all);
    fill(address, all, GUARD_BYTE);
    fill(address + start, bytes, fill);
    buffers.add(new Guarded(address, all, start, bytes));
    return address + start;
  }

  float[] read(DeviceMatrix matrix) {
    float[] values = new float[Math.toIntExact(matrix.elements())];
    copyOut(matrix.address(), MemorySegment.ofArray(values));
    return values;
  }

  void write(DeviceMatrix matrix, float... values) {
    assertEquals(matrix.elements(), values.length);
    copyIn(MemorySegment.ofArray(values), matrix.address());
  }

  void write(DeviceBuffer buffer, double... values) {
    assertEquals(buffer.bytes(), (long) values.length * Double.BYTES);
    copyIn(MemorySegment.ofArray(values), buffer.address());
  }

  void fill(DeviceBuffer buffer, int value) {
    fill(buffer.address(), buffer.bytes(), (byte) value);
  }

  long readLong(DeviceBuffer buffer, int index) {
    return read(buffer).getAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, index);
  }

  int readInt(DeviceBuffer buffer, int index) {
    return read(buffer).getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, index);
  }

  double readDouble(DeviceBuffer buffer, int index) {
    return read(buffer).getAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, index);
  }

  private MemorySegment read(DeviceBuffer buffer) {
    return read(buffer.address(), buffer.bytes());
  }

  private MemorySegment read(long address, long bytes) {
    MemorySegment copy = MemorySegment.ofArray(new byte[Math.toIntExact(bytes)]);
    copyOut(address, copy);
    return copy;
  }

  /// Fails if a byte around a buffer has changed.
  void checkGuards() {
    for (int i = 0; i < buffers.size(); i++) {
      Guarded buffer = buffers.get(i);
      long end = buffer.start() + buffer.bytes();
      checkGuard(buffer.address(), buffer.start(), i, "before");
      checkGuard(buffer.address() + end, buffer.all() - end, i, "behind");
    }
  }

  private void checkGuard(long address, long bytes, int buffer, String where) {
    byte[] guard = read(address, bytes).toArray(ValueLayout.JAVA_BYTE);
    for (int i = 0; i < guard.length; i++) {
      if (guard[i] != GUARD_BYTE) {
        throw new AssertionError("byte %d %s buffer %d was written".formatted(i, where, buffer));
      }
    }
  }

  /// Gives the memory back; a subclass also gives back what else it holds.
  @Override
  public void close() {
    try {
      checkGuards();
    } finally {
      free();
    }
  }
}
