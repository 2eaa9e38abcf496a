package dev.espalier.kernels;

/// A matrix in device memory, owned by somebody else: float32, row-major, no gaps. Nothing can be read
/// through it.
///
/// @param address of the first element, a multiple of 4
/// @param rows at least 1
/// @param columns at least 1
public record DeviceMatrix(long address, int rows, int columns) {
  /// @throws IllegalArgumentException if a dimension is below 1 or the address cannot be that of a float
  public DeviceMatrix {
    if (rows < 1 || columns < 1 || address == 0 || address % Float.BYTES != 0) {
      throw new IllegalArgumentException("address=%#x, rows=%d, columns=%d".formatted(address, rows, columns));
    }
  }

  /// The number of elements.
  public long elements() {
    return (long) rows * columns;
  }

  /// The size in bytes.
  public long bytes() {
    return elements() * Float.BYTES;
  }

  /// The `count` rows from `first` on.
  public DeviceMatrix slice(int first, int count) {
    if (first < 0 || count < 1 || count > rows - first) {
      throw new IndexOutOfBoundsException("rows %d + %d of %d".formatted(first, count, rows));
    }
    return new DeviceMatrix(address + (long) first * columns * Float.BYTES, count, columns);
  }

  /// Whether vectors of `width` elements can be read from the start of every row.
  boolean admits(int width) {
    return columns % width == 0 && startsAt(width);
  }

  /// Whether a vector of `width` elements can be read from the start.
  boolean startsAt(int width) {
    return address % ((long) width * Float.BYTES) == 0;
  }

  /// Whether they share a byte.
  boolean overlaps(DeviceMatrix other) {
    return address < other.address + other.bytes() && other.address < address + bytes();
  }

  @Override
  public String toString() {
    return rows + "×" + columns;
  }
}
