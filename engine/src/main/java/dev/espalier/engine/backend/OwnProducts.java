package dev.espalier.engine.backend;

import dev.espalier.kernels.Arithmetic;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.KernelProducts;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.ProductKernel;

/// Products by our own kernels, which need nothing but the driver; bf16 is TF32 here.
final class OwnProducts implements MatrixProducts {
  private final CudaMemory memory;
  private final CudaMemory.Block workspace;
  private final KernelProducts products;

  OwnProducts(Driver driver, CudaMemory memory, Precision precision) {
    this.memory = memory;
    ProductKernel kernel = new ProductKernel(driver);
    Arithmetic arithmetic = arithmetic(precision);
    workspace = memory.allocate(kernel.largestWorkspace(arithmetic), "products");
    products = new KernelProducts(kernel, arithmetic,
        new DeviceBuffer(workspace.address(), workspace.bytes()));
  }

  /// How kernels round for a precision.
  static Arithmetic arithmetic(Precision precision) {
    return precision == Precision.FP32 ? Arithmetic.FP32 : Arithmetic.TF32;
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB,
      double beta, MatrixBlock c) {
    products.multiply(alpha, a, transposeA, b, transposeB, beta, c);
  }

  @Override
  public String description() {
    return products.description();
  }

  @Override
  public void close() {
    memory.free(workspace);
  }
}
