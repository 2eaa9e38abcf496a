package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;

/// The products of [ProductKernel], with a workspace of their own: they need no library but the driver.
public final class KernelProducts implements MatrixProducts {
  private final ProductKernel kernel;
  private final MathMode mode;
  private final DeviceBuffer workspace;

  /// Products in one stream.
  ///
  /// @param workspace of [ProductKernel#largestWorkspace] bytes, owned by the caller, used by nothing else
  public KernelProducts(ProductKernel kernel, MathMode mode, DeviceBuffer workspace) {
    Kernels.room("workspace", workspace, kernel.largestWorkspace(mode));
    this.kernel = kernel;
    this.mode = mode;
    this.workspace = workspace;
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, double beta,
      MatrixBlock c) {
    kernel.multiply(mode, alpha, a, transposeA, b, transposeB, beta, c, workspace);
  }

  @Override
  public String description() {
    return "Espalier's own kernels, " + kernel.description(mode);
  }
}
