package dev.espalier.kernels;

/// Plain matrix products on a device: by a library, or by [ProductKernel].
public interface MatrixProducts {
  /// c = α op(a)·op(b) + β c, after the work that was started before.
  ///
  /// @param a rows × inner, or inner × rows if transposed
  /// @param b inner × columns, or columns × inner if transposed
  /// @param c rows × columns, apart from the others; not read when β is 0
  /// @throws IllegalArgumentException if the shapes do not fit
  void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB,
      double beta,
      MatrixBlock c);

  /// Whose products they are and how they round, for people.
  String description();
}
