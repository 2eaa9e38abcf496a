package dev.espalier.kernels;

/// Matrix products on a GPU, in the stream of its kernels.
public interface MatrixProducts extends AutoCloseable {
  /// c = α op(a)·op(b) + β c, where op transposes or not; c is written without being read when β is 0.
  ///
  /// @param a rows × inner, or inner × rows if transposed
  /// @param b inner × columns, or columns × inner if transposed
  /// @param c rows × columns, apart from a and b
  /// @throws IllegalArgumentException if the shapes do not fit
  /// @throws GpuException if the GPU or a library fails
  void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, double beta,
      MatrixBlock c);

  /// The library or kernels that multiply, for example `cuBLAS 13.1`.
  String description();

  /// Whether a library multiplies, and not our own kernels.
  default boolean isLibrary() {
    return false;
  }

  /// Releases its resources; the products must be done. May be called twice.
  @Override
  default void close() {}
}
