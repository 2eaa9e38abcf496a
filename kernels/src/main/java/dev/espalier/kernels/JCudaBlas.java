package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.NativeLibraryException;
import jcuda.Pointer;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasMath;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;

/// cuBLAS 12 by JCublas, in float32 and TF32. Its `cublasGemmEx` has no bfloat16: it takes the compute type for a data
/// type, as the C++ overload of the same name does, so products are `cublasSgemm` in a math mode.
final class JCudaBlas implements CudaBlas {
  /// The version that JCublas is linked to.
  static final int VERSION = 12;

  private final String description;
  private final int math;
  private final cublasHandle handle = new cublasHandle();
  private boolean closed;

  /// @param library the loaded library, for people
  /// @param mode FP32 or TF32
  /// @throws NativeLibraryException if it does not start
  JCudaBlas(String library, MathMode mode) {
    description = library.replaceFirst(",", " by JCublas,");
    math = mode == MathMode.TF32 ? cublasMath.CUBLAS_TF32_TENSOR_OP_MATH : cublasMath.CUBLAS_DEFAULT_MATH;
    int status = JCublas2.cublasCreate(handle);
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new NativeLibraryException("%s does not start: cublasCreate returned %d (%s)".formatted(description, status,
          cublasStatus.stringFor(status)));
    }
  }

  @Override
  public void prepare(CudaGpu gpu, DeviceBuffer workspace) {
    check(JCublas2.cublasSetStream(handle, new cudaStream_t(gpu.stream())), "cublasSetStream", "");
    check(JCublas2.cublasSetWorkspace(handle, CudaGpu.pointer(workspace.address()), workspace.bytes()),
        "cublasSetWorkspace", "");
    check(JCublas2.cublasSetMathMode(handle, math), "cublasSetMathMode", "");
  }

  /// A row-major matrix is its transpose in column-major order, and Cᵀ = op(B)ᵀ·op(A)ᵀ: cuBLAS, which is column-major,
  /// gets the factors in the other order, with the same transposes.
  @Override
  public void multiply(float alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, float beta,
      MatrixBlock c) {
    int inner = transposeA ? a.rows() : a.columns();
    int status = JCublas2.cublasSgemm(handle, operation(transposeB), operation(transposeA), c.columns(), c.rows(),
        inner, Pointer.to(new float[]{alpha}), CudaGpu.pointer(b.address()), b.stride(), CudaGpu.pointer(a.address()),
        a.stride(), Pointer.to(new float[]{beta}), CudaGpu.pointer(c.address()), c.stride());
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      check(status, "cublasSgemm",
          "A%s %s, B%s %s, C %s".formatted(transposeA ? "ᵀ" : "", a, transposeB ? "ᵀ" : "", b, c));
    }
  }

  private static int operation(boolean transposed) {
    return transposed ? cublasOperation.CUBLAS_OP_T : cublasOperation.CUBLAS_OP_N;
  }

  private static void check(int status, String function, String arguments) {
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new NativeCallException(function, status, cublasStatus.stringFor(status), arguments);
    }
  }

  @Override
  public void multiplyBfloat16(DeviceBuffer x, DeviceBuffer weights, int inner, DeviceMatrix c) {
    throw new UnsupportedOperationException("JCublas has no bfloat16");
  }

  @Override
  public String description() {
    return description;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      check(JCublas2.cublasDestroy(handle), "cublasDestroy", "");
    }
  }
}
