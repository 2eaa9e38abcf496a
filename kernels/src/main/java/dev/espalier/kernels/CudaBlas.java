package dev.espalier.kernels;

import dev.espalier.bindings.Cublas;
import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeLibraryException;

/// cuBLAS in the context and the stream of a GPU. There are two ways to call it, which compute the same: JCublas, which
/// is linked to version 12 and rounds to float32 or TF32, and the binding of [Cublas], for the rest.
///
/// Methods throw [dev.espalier.bindings.NativeCallException] if cuBLAS refuses or fails.
sealed interface CudaBlas extends AutoCloseable permits BoundBlas, JCudaBlas {
  /// Opens the library that [Cublas] finds, for products in a mode.
  ///
  /// @throws NativeLibraryException if there is none, or it does not start
  static CudaBlas open(MathMode mode) {
    String library = Cublas.load();
    boolean isForJCublas = Cublas.majorVersion() == JCudaBlas.VERSION && mode != MathMode.BF16;
    return isForJCublas && JCudaLoader.jcublasProblem().isEmpty()
        ? new JCudaBlas(library, mode)
        : new BoundBlas(Cublas.open(), mode);
  }

  /// Sets the stream of products to that of the kernels, and the memory that they work in.
  void prepare(CudaGpu gpu, DeviceBuffer workspace);

  /// c = α op(a)·op(b) + β c: see [Cublas#multiply].
  void multiply(float alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, float beta,
      MatrixBlock c);

  /// c = x Wᵀ of bfloat16 factors: see [Cublas#multiplyBfloat16].
  ///
  /// @throws UnsupportedOperationException if it was opened by JCublas, which it never is for bfloat16
  void multiplyBfloat16(DeviceBuffer x, DeviceBuffer weights, int inner, DeviceMatrix c);

  /// Its version, how it is called, and its file, for people.
  String description();

  @Override
  void close();
}
