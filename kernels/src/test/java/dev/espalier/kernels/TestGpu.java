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

  /// Some bytes of memory.
  record Zone(long address, long bytes) {}

  private final List<Guarded> buffers = new ArrayList<>();

  /// The GPU that tests run on; the test is skipped where there is no g++ for the CPU that plays one.
  static TestGpu open() {
    return open(90);
  }

  /// As [#open], with a compute capability, which launchers pick their kernels by.
  static TestGpu open(int computeCapability) {
    return OnDevice.device().<TestGpu>map(device -> new DriverGpu(device, computeCapability))
        .orElseGet(() -> EmulatedGpu.open(computeCapability));
  }

  /// Bytes of shared memory of a multiprocessor, by the tables of the CUDA C++ Programming Guide. 7.5 has 64 KB.
  static int sharedMemory(int computeCapability) {
    int kilobytes = switch (computeCapability) {
      case 75 -> 64;
      case 80, 87 -> 164;
      case 86, 89, 120, 121 -> 100;
      case 90, 100, 103, 110 -> 228;
      default -> throw new IllegalArgumentException("compute capability " + computeCapability);
    };
    return kilobytes << 10;
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

  /// Waits for the kernels, and copies each zone behind the one before it.
  abstract void copyOut(List<Zone> from, MemorySegment to);

  private void copyOut(long from, MemorySegment to) {
    copyOut(List.of(new Zone(from, to.byteSize())), to);
  }

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
    MemorySegment copy = MemorySegment.ofArray(new byte[Math.toIntExact(buffer.bytes())]);
    copyOut(buffer.address(), copy);
    return copy;
  }

  /// Fails if a byte around a buffer has changed.
  void checkGuards() {
    List<Zone> zones = new ArrayList<>();
    for (Guarded buffer : buffers) {
      long end = buffer.start() + buffer.bytes();
      zones.add(new Zone(buffer.address(), buffer.start()));
      zones.add(new Zone(buffer.address() + end, buffer.all() - end));
    }
    byte[] content = new byte[Math.toIntExact(zones.stream().mapToLong(Zone::bytes).sum())];
    copyOut(zones, MemorySegment.ofArray(content));
    int first = 0;
    for (int z = 0; z < zones.size(); z++) {
      int bytes = (int) zones.get(z).bytes();
      for (int i = 0; i < bytes; i++) {
        if (content[first + i] != GUARD_BYTE) {
          throw new AssertionError(
              "byte %d %s buffer %d was written".formatted(i, z % 2 == 0 ? "before" : "behind", z / 2));
        }
      }
      first += bytes;
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
