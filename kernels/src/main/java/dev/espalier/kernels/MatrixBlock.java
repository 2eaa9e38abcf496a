package dev.espalier.kernels;

/// A rectangle of a matrix in device memory, owned by somebody else: float32, row-major.
///
/// @param address of the first element, a multiple of 4
/// @param rows at least 1
/// @param columns at least 1
/// @param stride elements from one row to the next, at least `columns`
public record MatrixBlock(long address, int rows, int columns, int stride) {
  /// @throws IllegalArgumentException if a dimension is below 1, rows overlap, or the address cannot be that of a
  ///                                  float
  public MatrixBlock {
    if (rows < 1 || columns < 1 || stride < columns || address == 0 || address % Float.BYTES != 0) {
      throw new IllegalArgumentException(
          "address=%#x, rows=%d, columns=%d, stride=%d".formatted(address, rows, columns, stride));
    }
  }

  /// The whole of a matrix.
  public static MatrixBlock of(DeviceMatrix matrix) {
    return new MatrixBlock(matrix.address(), matrix.rows(), matrix.columns(), matrix.columns());
  }

  /// The `count` rows from `first` on.
  public MatrixBlock rows(int first, int count) {
    checkPart("rows", first, count, rows);
    return new MatrixBlock(address + (long) first * stride * Float.BYTES, count, columns, stride);
  }

  /// The `count` columns from `first` on.
  public MatrixBlock columns(int first, int count) {
    checkPart("columns", first, count, columns);
    return new MatrixBlock(address + (long) first * Float.BYTES, rows, count, stride);
  }

  private static void checkPart(String what, int first, int count, int all) {
    if (first < 0 || count < 1 || count > all - first) {
      throw new IndexOutOfBoundsException("%s %d + %d of %d".formatted(what, first, count, all));
    }
  }

  /// The number of elements.
  public long elements() {
    return (long) rows * columns;
  }

  /// Whether vectors of `width` elements can be read from the start of every row.
  boolean admits(int width) {
    return stride % width == 0 && address % ((long) width * Float.BYTES) == 0;
  }

  /// Whether they may share a byte: never, if it says so; blocks of different strides that lie between one
  /// another's rows count as sharing.
  boolean overlaps(MatrixBlock other) {
    long distance = (other.address - address) / Float.BYTES;
    if (distance >= span() || -distance >= other.span()) {
      return false;
    }
    long column = Math.floorMod(distance, stride);
    boolean besides = stride == other.stride && column >= columns && column + other.columns <= stride;
    return !besides;
  }

  /// Elements from the first to the last.
  private long span() {
    return (rows - 1L) * stride + columns;
  }

  @Override
  public String toString() {
    return rows + "×" + columns + (stride == columns ? "" : " of stride " + stride);
  }
}
