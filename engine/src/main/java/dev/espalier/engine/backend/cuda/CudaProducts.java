package dev.espalier.engine.backend.cuda;

import dev.espalier.bindings.MathMode;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.Resources;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.KernelProducts;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.ProductKernel;
import java.util.function.Function;

/// Products on a GPU whose workspace counts as memory of the backend.
final class CudaProducts implements MatrixProducts {
  private final MatrixProducts products;
  private final Resources resources = new Resources();

  private CudaProducts(CudaMemory memory, long workspaceBytes, String name,
      Function<DeviceBuffer, MatrixProducts> products) {
    CudaMemory.Block workspace = memory.allocateWorkspace(workspaceBytes, name);
    resources.own(() -> memory.free(workspace));
    try {
      this.products = products.apply(new DeviceBuffer(workspace.address(), workspace.bytes()));
    } catch (RuntimeException e) {
      resources.closeAfter(e);
      throw e;
    }
    resources.own(() -> CheckedDriver.run(this.products::close));
  }

  /// By cuBLAS.
  ///
  /// @throws NativeLibraryException if there is no cuBLAS, or it does not start
  static CudaProducts ofCublas(CudaGpu gpu, CudaMemory memory, Precision precision) {
    MathMode mode = mode(precision);
    return new CudaProducts(memory, CublasProducts.WORKSPACE_BYTES, "cuBLAS",
        buffer -> new CublasProducts(gpu, mode, buffer));
  }

  /// By our own kernels, which need nothing but the driver; bf16 is TF32 here.
  static CudaProducts ofKernels(Driver driver, CudaMemory memory, Precision precision) {
    ProductKernel kernel = new ProductKernel(driver);
    MathMode mode = mode(precision);
    return new CudaProducts(memory, kernel.largestWorkspace(mode), "products",
        buffer -> new KernelProducts(kernel, mode, buffer));
  }

  /// How products round for a precision.
  static MathMode mode(Precision precision) {
    return switch (precision) {
      case FP32 -> MathMode.FP32;
      case TF32 -> MathMode.TF32;
      case BF16 -> MathMode.BF16;
    };
  }

  @Override
  public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB, double beta,
      MatrixBlock c) {
    CheckedDriver.run(() -> products.multiply(alpha, a, transposeA, b, transposeB, beta, c));
  }

  @Override
  public boolean isLibrary() {
    return products.isLibrary();
  }

  @Override
  public String description() {
    return products.description();
  }

  @Override
  public void close() {
    resources.close();
  }
}
