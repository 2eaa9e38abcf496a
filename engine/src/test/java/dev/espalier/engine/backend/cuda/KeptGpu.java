package dev.espalier.engine.backend.cuda;

import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.backend.Precision;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/// The first GPU, with cuBLAS, for many backends one after the other: it stays open when they are closed.
final class KeptGpu implements AutoCloseable {
  /// Of transfer buffers: little page-locked memory, and transfers that take several turns.
  private static final long SLOT_BYTES = 1 << 16;

  private final CudaGpu gpu = new CudaGpu(0);
  private final Map<Precision, Optional<MatrixProducts>> cublas = new EnumMap<>(Precision.class);
  private final List<Long> workspaces = new ArrayList<>();

  /// A backend as [CudaBackend#open] makes it, by cuBLAS if there is one, but for what it shares and the size of its transfer buffers.
  ///
  /// @param budget bytes to take at most
  CudaBackend backend(Precision precision, long budget) {
    Optional<MatrixProducts> shared = cublas.computeIfAbsent(precision, this::cublas);
    return CudaBackend.over(withoutClose(), OptionalLong.of(budget), (driver, memory) -> shared
        .map(KeptGpu::withoutClose).orElseGet(() -> CudaProducts.ofKernels(driver, memory, precision)), precision,
        SLOT_BYTES);
  }

  private Optional<MatrixProducts> cublas(Precision precision) {
    long workspace = gpu.allocate(CublasProducts.WORKSPACE_BYTES);
    workspaces.add(workspace);
    try {
      return Optional.of(new CublasProducts(gpu, CudaProducts.mode(precision),
          new DeviceBuffer(workspace, CublasProducts.WORKSPACE_BYTES)));
    } catch (NativeLibraryException e) {
      return Optional.empty();
    }
  }

  private Driver withoutClose() {
    return (Driver) Proxy.newProxyInstance(Driver.class.getClassLoader(), new Class<?>[]{Driver.class},
        (_, method, arguments) -> call(method, arguments));
  }

  private Object call(Method method, Object... arguments) throws Throwable {
    if (method.getName().equals("close")) {
      gpu.synchronize();
      return null;
    }
    try {
      return method.invoke(gpu, arguments);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }

  private static MatrixProducts withoutClose(MatrixProducts products) {
    return new MatrixProducts() {
      @Override
      public void multiply(double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b, boolean transposeB,
          double beta, MatrixBlock c) {
        products.multiply(alpha, a, transposeA, b, transposeB, beta, c);
      }

      @Override
      public boolean isLibrary() {
        return products.isLibrary();
      }

      @Override
      public String description() {
        return products.description();
      }
    };
  }

  @Override
  public void close() {
    cublas.values().forEach(products -> products.ifPresent(MatrixProducts::close));
    workspaces.forEach(gpu::free);
    gpu.close();
  }
}
