package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.NativeLibraryException;

/// Products by cuBLAS, in the stream of the kernels, with a workspace of their own.
public final class CublasProducts implements MatrixProducts {
  /// NVIDIA's advice for compute capability 9.0; without one cuBLAS allocates, which no recording admits.
  public static final long WORKSPACE_BYTES = 32L << 20;

  private final CudaGpu gpu;
  private final CudaBlas cublas;

  /// Products in one stream.
  ///
  /// @param workspace of [#WORKSPACE_BYTES] bytes, owned by the caller, used by nothing else
  /// @throws NativeLibraryException if there is no cuBLAS, or it does not start
  /// @throws GpuException if cuBLAS or the driver fails
  public CublasProducts(CudaGpu gpu, MathMode mode, DeviceBuffer workspace) {
    Kernels.room("workspace", workspace, WORKSPACE_BYTES);
    this.gpu = gpu;
    gpu.makeCurrent();
    cublas = CudaBlas.open(mode);
    try {
      cublas.prepare(gpu, workspace);
    } catch (NativeCallException e) {
      GpuException failure = failure(e);
      try {
        cublas.close();
      } catch (NativeCallException second) {
        failure.addSuppressed(second);
      }
      throw failure;
    }
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, double beta,
      MatrixBlock c) {
    gpu.makeCurrent();
    try {
      cublas.multiply((float) alpha, a, transposeA, b, transposeB, (float) beta, c);
    } catch (NativeCallException e) {
      throw failure(e);
    }
  }

  /// c = x Wᵀ, of factors that are bfloat16 in memory, row-major and without gaps.
  ///
  /// @param x c.rows × inner
  /// @param weights c.columns × inner
  /// @throws IllegalArgumentException if a buffer has fewer bytes
  /// @throws GpuException if cuBLAS fails
  /// @throws UnsupportedOperationException unless these are products in bfloat16
  public void multiplyBfloat16(DeviceBuffer x, DeviceBuffer weights, int inner, DeviceMatrix c) {
    Kernels.room("x", x, 2L * c.rows() * inner);
    Kernels.room("weights", weights, 2L * c.columns() * inner);
    gpu.makeCurrent();
    try {
      cublas.multiplyBfloat16(x, weights, inner, c);
    } catch (NativeCallException e) {
      throw failure(e);
    }
  }

  private static GpuException failure(NativeCallException e) {
    return new GpuException(e.getMessage(), e);
  }

  @Override
  public boolean isLibrary() {
    return true;
  }

  @Override
  public String description() {
    return cublas.description();
  }

  @Override
  public void close() {
    try (cublas) {
      gpu.makeCurrent();
    } catch (NativeCallException e) {
      throw failure(e);
    }
  }
}
