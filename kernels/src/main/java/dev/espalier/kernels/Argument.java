package dev.espalier.kernels;

/// One argument of a kernel.
public sealed interface Argument {
  /// A pointer into device memory; 0 is null.
  record Address(long value) implements Argument {}

  /// An `int`.
  record Int32(int value) implements Argument {}

  /// An `int64_t`.
  record Int64(long value) implements Argument {}

  /// A `float`.
  record Float32(float value) implements Argument {}

  /// A `double`.
  record Float64(double value) implements Argument {}

  /// A `const __grid_constant__ TensorMap`: a matrix whose boxes the copy engine moves, swizzled by 128
  /// bytes.
  ///
  /// @param matrix whose rows start at multiples of 16 bytes
  /// @param stride elements from one row to the next, a multiple of 4
  /// @param boxRows rows of a box, up to 256; it is 32 columns wide
  record TensorMap(DeviceMatrix matrix, long stride, int boxRows) implements Argument {
    /// Columns of a box: 128 bytes.
    public static final int BOX_COLUMNS = 32;
    /// Bytes of an encoded map.
    public static final int BYTES = 128;
  }

  /// The pointer to a matrix.
  static Argument of(DeviceMatrix matrix) {
    return new Address(matrix.address());
  }

  /// The pointer to a block of a matrix.
  static Argument of(MatrixBlock block) {
    return new Address(block.address());
  }

  /// The pointer to a buffer.
  static Argument of(DeviceBuffer buffer) {
    return new Address(buffer.address());
  }

  /// An `int`.
  static Argument of(int value) {
    return new Int32(value);
  }

  /// An `int64_t`.
  static Argument of(long value) {
    return new Int64(value);
  }

  /// A `float`.
  static Argument of(float value) {
    return new Float32(value);
  }

  /// A `double`.
  static Argument of(double value) {
    return new Float64(value);
  }

  /// A null pointer.
  static Argument none() {
    return new Address(0);
  }
}
