package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bindings.MathMode;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Precision;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.GpuException;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.NeedsGpu;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/// Products by JCublas, over a libcublas.so.12 that stands in for cuBLAS.
@Tag("jcublas")
@ExtendWith(NeedsGpu.class)
final class JCublasStandInTest {
  private static Backend open(Precision precision) {
    return CudaBackend.open(0, new CudaOptions(precision, OptionalLong.of(256L << 20)));
  }

  @AfterEach
  void everythingIsGivenBack() {
    StandIn.succeed();
    assertEquals(StandIn.NOTHING, StandIn.counts());
  }

  private static CudaBackend openSmall() {
    CudaBackend backend = CudaStandInTest.openSmall(Precision.FP32);
    assertTrue(backend.description().contains(" by JCublas, "), backend.description());
    return backend;
  }

  @Nested
  final class Contract extends BackendContract {
    Contract() {
      super(JCublasStandInTest::openSmall, 0x1p-24);
    }
  }

  @Test
  void momentsOfWideLayersInFloat32AreProductsOfJCublas() {
    CudaStandInTest.checkMomentsOfWideLayers(JCublasStandInTest::openSmall);
  }

  @Test
  void theDescriptionNamesIt() {
    try (Backend backend = open(Precision.TF32)) {
      assertTrue(backend.description().contains("products in tf32 by cuBLAS 12.0.0 by JCublas, "),
          backend.description());
    }
  }

  @Test
  void bfloat16IsMultipliedByTheBinding() {
    try (Backend backend = open(Precision.BF16)) {
      assertTrue(backend.description().contains("products in bf16 by cuBLAS 12.0.0, "), backend.description());
    }
  }

  @Test
  void failuresAreGpuExceptions() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      long workspace = gpu.allocate(CublasProducts.WORKSPACE_BYTES);
      DeviceBuffer buffer = new DeviceBuffer(workspace, CublasProducts.WORKSPACE_BYTES);
      for (String function : new String[]{"cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode"}) {
        StandIn.fail(function, 1);
        StandIn.fail("cublasDestroy_v2", 1);
        GpuException e = assertThrows(GpuException.class, () -> new CublasProducts(gpu, MathMode.FP32, buffer).close());
        assertEquals(function.replace("_v2", "") + " returned 13 (CUBLAS_STATUS_EXECUTION_FAILED)", e.getMessage());
        assertEquals(1, e.getSuppressed().length);
      }
      CublasProducts products = new CublasProducts(gpu, MathMode.FP32, buffer);
      long address = gpu.allocate(3 * 256);
      MatrixBlock a = new MatrixBlock(address, 2, 2, 2);
      MatrixBlock b = new MatrixBlock(address + 256, 2, 2, 2);
      MatrixBlock c = new MatrixBlock(address + 512, 2, 2, 2);
      StandIn.fail("cublasSgemm_v2", 1);
      GpuException e = assertThrows(GpuException.class, () -> products.multiply(1, a, true, b, false, 0, c));
      assertTrue(e.getMessage().startsWith("cublasSgemm returned 13 (CUBLAS_STATUS_EXECUTION_FAILED) for Aᵀ 2×2"),
          e.getMessage());
      products.multiply(1, a, false, b, false, 0, c);
      gpu.free(address);
      StandIn.fail("cublasDestroy_v2", 1);
      assertThrows(GpuException.class, products::close);
      products.close();
      gpu.free(workspace);
    }
  }

  @Test
  void aBackendWhoseLibraryDoesNotStartMultipliesByItself() {
    StandIn.fail("cublasCreate_v2", 1);
    try (Backend backend = open(Precision.FP32)) {
      assertTrue(backend.description().contains("products in fp32 by Espalier's own kernels"), backend.description());
    }
  }
}
