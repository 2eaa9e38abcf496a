package dev.espalier.kernels;

/// A rectangle of a matrix in device memory, owned by somebody else: float32, row-major.
///
/// @param address of the first element, a multiple of 4
/// @param rows at least 1
/// @param columns at least 1
/// @param stride elements from one row to the next, at least `columns`
public record MatrixBlock(long address, int rows, int columns, int stride) {
  /// @throws IllegalArgumentException if a dimension is below 1, the stride below the columns, or the address
  ///                                  cannot be that of a float
  public MatrixBlock {
    if (rows < 1 || columns < 1 || stride < columns || address == 0 || address % Float.BYTES != 0) {
      throw new IllegalArgumentException(
          "address=%#x, rows=%d, columns=%d, stride=%d".formatted(address, rows, columns, stride));
    }
  }

  /// A whole matrix.
  public static MatrixBlock of(DeviceMatrix matrix) {
    return new MatrixBlock(matrix.address(), matrix.rows(), matrix.columns(), matrix.columns());
  }

  /// The `count` rows from `first` on.
  public MatrixBlock rows(int first, int count) {
    if (first < 0 || count < 1 || count > rows - first) {
      throw new IndexOutOfBoundsException("rows %d + %d of %d".formatted(first, count, rows));
    }
    return new MatrixBlock(address + (long) first * stride * Float.BYTES, count, columns, stride);
  }

  /// The `count` columns from `first` on.
  public MatrixBlock columns(int first, int count) {
    if (first < 0 || count < 1 || count > columns - first) {
      throw new IndexOutOfBoundsException("columns %d + %d of %d".formatted(first, count, columns));
    }
    return new MatrixBlock(address + (long) first * Float.BYTES, rows, count, stride);
  }

  @Override
  public String toString() {
    return rows + "×" + columns;
  }
}
