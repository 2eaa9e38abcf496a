package dev.espalier.kernels;

/// The products of [ProductKernel], with a workspace of their own: they need no library but the driver.
public final class KernelProducts implements MatrixProducts {
  private final ProductKernel kernel;
  private final Arithmetic arithmetic;
  private final DeviceBuffer workspace;

  /// Products in one stream.
  ///
  /// @param workspace of [ProductKernel#largestWorkspace] bytes, owned by the caller, used by nothing else
  public KernelProducts(ProductKernel kernel, Arithmetic arithmetic, DeviceBuffer workspace) {
    Kernels.room("workspace", workspace, kernel.largestWorkspace(arithmetic));
    this.kernel = kernel;
    this.arithmetic = arithmetic;
    this.workspace = workspace;
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, double beta,
      MatrixBlock c) {
    kernel.multiply(arithmetic, alpha, a, transposeA, b, transposeB, beta, c, workspace);
  }

  @Override
  public String description() {
    return "Espalier's own kernels, " + kernel.description(arithmetic);
  }
}
