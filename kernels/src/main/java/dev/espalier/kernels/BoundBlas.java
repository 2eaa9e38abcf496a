package dev.espalier.kernels;

import dev.espalier.bindings.Cublas;
import dev.espalier.bindings.MathMode;

/// cuBLAS by the binding.
final class BoundBlas implements CudaBlas {
  private final Cublas cublas;
  private final MathMode mode;

  /// @param cublas closed with this
  BoundBlas(Cublas cublas, MathMode mode) {
    this.cublas = cublas;
    this.mode = mode;
  }

  @Override
  public void prepare(CudaGpu gpu, DeviceBuffer workspace) {
    cublas.setStream(gpu.computeStream());
    cublas.setWorkspace(workspace.address(), workspace.bytes());
  }

  @Override
  public void multiply(float alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, float beta,
      MatrixBlock c) {
    cublas.multiply(mode, c.rows(), c.columns(), transposeA ? a.rows() : a.columns(), alpha, a.address(), a.stride(),
        transposeA, b.address(), b.stride(), transposeB, beta, c.address(), c.stride());
  }

  @Override
  public void multiplyBfloat16(DeviceBuffer x, DeviceBuffer weights, int inner, DeviceMatrix c) {
    cublas.multiplyBfloat16(c.rows(), c.columns(), inner, 1, x.address(), inner, false, weights.address(), inner, true,
        0, c.address(), c.columns());
  }

  @Override
  public String description() {
    return cublas.description();
  }

  @Override
  public void close() {
    cublas.close();
  }
}
