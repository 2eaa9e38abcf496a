package dev.espalier.engine.backend;

import dev.espalier.bindings.Cublas;
import dev.espalier.bindings.Cublas.MathMode;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;

/// Products by cuBLAS, in the stream of the kernels.
final class CublasProducts implements MatrixProducts {
  /// NVIDIA's advice for compute capability 9.0; without one cuBLAS allocates, which no recording admits.
  private static final long WORKSPACE_BYTES = 32L << 20;

  private final CudaGpu gpu;
  private final CudaMemory memory;
  private final MathMode mode;
  private final Cublas cublas;
  private final CudaMemory.Block workspace;

  /// @throws NativeLibraryException if there is no cuBLAS, or it does not start
  @SuppressWarnings("MustBeClosedChecker") // closed in close()
  CublasProducts(CudaGpu gpu, CudaMemory memory, Precision precision) {
    this.gpu = gpu;
    this.memory = memory;
    mode = switch (precision) {
      case FP32 -> MathMode.FP32;
      case TF32 -> MathMode.TF32;
      case BF16 -> MathMode.BF16;
    };
    workspace = memory.allocate(WORKSPACE_BYTES, "cuBLAS");
    try {
      gpu.makeCurrent();
      cublas = Cublas.open();
    } catch (NativeLibraryException e) {
      memory.free(workspace);
      throw e;
    }
    cublas.setStream(gpu.computeStream());
    cublas.setWorkspace(workspace.address(), workspace.bytes());
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB,
      double beta, MatrixBlock c) {
    gpu.makeCurrent();
    cublas.multiply(mode, c.rows(), c.columns(), transposeA ? a.rows() : a.columns(), (float) alpha,
        a.address(), a.stride(), transposeA, b.address(), b.stride(), transposeB, (float) beta, c.address(),
        c.stride());
  }

  @Override
  public String description() {
    return cublas.description();
  }

  @Override
  public void close() {
    gpu.makeCurrent();
    cublas.close();
    memory.free(workspace);
  }
}
