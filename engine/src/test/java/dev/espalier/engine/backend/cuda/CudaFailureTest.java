package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.DeviceFailedException;
import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.EspalierException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.kernels.Argument;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.DeviceMemoryException;
import dev.espalier.kernels.Dimensions;
import dev.espalier.kernels.GpuException;
import dev.espalier.kernels.GpuUnavailableException;
import dev.espalier.kernels.KernelException;
import dev.espalier.kernels.Launch;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.NeedsGpu;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.UpdatesKernel;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import jcuda.driver.CUresult;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// [CudaGpu], [CublasProducts] and the backend when calls of the driver and of cuBLAS fail, over the libraries that
/// stand in for them.
@Tag("stand-in")
@ExtendWith(NeedsGpu.class)
final class CudaFailureTest {
  private static final String UNKNOWN = "the GPU failed: CUDA_ERROR_UNKNOWN";
  private static final Dimensions ONE = new Dimensions(1, 1, 1);

  private String before;

  @BeforeEach
  void count() {
    StandIn.succeed();
    before = StandIn.counts();
  }

  @AfterEach
  void everythingIsGivenBack() {
    StandIn.succeed();
    assertEquals(before, StandIn.counts());
  }

  @ParameterizedTest
  @ValueSource(
      ints = {CUresult.CUDA_ERROR_UNKNOWN, CUresult.CUDA_ERROR_OUT_OF_MEMORY, CUresult.CUDA_ERROR_LAUNCH_FAILED})
  void givesBackWhatItHasWhenAnyCallOfTheConstructorFails(int status) {
    Set<String> failed = new TreeSet<>();
    for (int call = 1; failsToOpen(call, status); call++) {
      failed.add(StandIn.failed());
      assertEquals(before, StandIn.counts(), "call %d, %s".formatted(call, StandIn.failed()));
      StandIn.succeed();
    }
    assertEquals(Set.of("cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute", "cuDeviceGetName",
        "cuDriverGetVersion", "cuDevicePrimaryCtxRetain", "cuDeviceGetDefaultMemPool", "cuMemPoolGetAttribute",
        "cuMemPoolSetAttribute", "cuCtxSetCurrent", "cuStreamCreate", "cuMemGetInfo_v2", "cuMemAllocAsync",
        "cuMemsetD8Async", "cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel", "cuStreamSynchronize",
        "cuMemcpyDtoH_v2", "cuMemFreeAsync"), failed);
  }

  private static boolean failsToOpen(int call, int status) {
    StandIn.fail("", call, status);
    try (CudaGpu gpu = new CudaGpu(0)) {
      StandIn.succeed();
      gpu.synchronize();
      return false;
    } catch (GpuException e) {
      boolean tellsStatus = e.getMessage().contains(CUresult.stringFor(status))
          || e.getMessage().contains(" returned " + status);
      assertTrue(tellsStatus && e.getMessage().lines().count() == 1, e.getMessage());
      return true;
    }
  }

  @Test
  void refusesAChipThatIsTooOld() {
    StandIn.play("compute capability", 75);
    assertEquals("Stand-in, compute capability 7.5 is too old: the kernels need compute capability 8.0 or later",
        refusal());
  }

  @Test
  void refusesADriverThatIsTooOldForTheKernels() {
    StandIn.play("driver", 12040);
    StandIn.fail("cuModuleLoadData", 1, CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    String refusal = refusal();
    assertTrue(
        refusal.startsWith("Stand-in, compute capability 9.0 does not run the kernels of this build (axpy_1024 on "),
        refusal);
    assertTrue(refusal.matches(".*: CUDA_ERROR_UNSUPPORTED_PTX_VERSION\\): they need a driver for CUDA \\d+\\.\\d+ or "
        + "later, this one is for CUDA 12\\.4"), refusal);
  }

  @Test
  void usesADriverThatIsOlderButRunsTheKernels() {
    StandIn.play("driver", 12080);
    try (CudaGpu gpu = new CudaGpu(0)) {
      assertEquals(90, gpu.computeCapability());
    }
  }

  @Test
  void refusesAGpuOnWhichKernelsFailOrWriteNothing() {
    StandIn.fail("cuStreamSynchronize", 1, CUresult.CUDA_ERROR_LAUNCH_FAILED);
    assertTrue(refusal().contains("(the GPU failed: CUDA_ERROR_LAUNCH_FAILED): see whether"));
    StandIn.play("launches", 0);
    assertTrue(refusal().contains("(a kernel wrote wrong numbers): see whether"));
  }

  private static String refusal() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      return fail("opened " + gpu.name());
    } catch (GpuUnavailableException e) {
      return e.getMessage();
    }
  }

  @Test
  void reportsWhatFailsWhileItGivesBack() {
    StandIn.fail("cuMemGetInfo_v2", 1);
    StandIn.fail("cuStreamDestroy_v2", 2);
    try (CudaGpu gpu = new CudaGpu(0)) {
      fail("opened " + gpu.name());
    } catch (GpuException e) {
      assertEquals(UNKNOWN, e.getMessage());
      assertEquals("cuStreamDestroy_v2", StandIn.failed());
      assertEquals(1, e.getSuppressed().length);
    }
  }

  @Test
  void thereIsNoSuchGpu() {
    for (int ordinal : new int[]{-1, 1}) {
      try (CudaGpu gpu = new CudaGpu(ordinal)) {
        fail("opened " + gpu.name());
      } catch (GpuUnavailableException e) {
        assertEquals("there is no GPU %d: this process sees 1, numbered from 0".formatted(ordinal), e.getMessage());
      }
    }
  }

  @Test
  @SuppressWarnings("MustBeClosedChecker")
  void closesTheRestWhenStepsOfClosingFail() {
    CudaGpu gpu = new CudaGpu(0);
    long address = gpu.allocate(32);
    DeviceMatrix matrix = new DeviceMatrix(address, 2, 4);
    new UpdatesKernel(gpu).add(1, matrix, matrix); // loads a module
    gpu.free(address);
    StandIn.fail("cuStreamSynchronize", 1);
    StandIn.fail("cuModuleUnload", 1);
    StandIn.fail("cuStreamDestroy_v2", 1);
    StandIn.fail("cuDevicePrimaryCtxRelease_v2", 1);
    GpuException e = assertThrows(GpuException.class, gpu::close);
    assertEquals(UNKNOWN, e.getMessage());
    assertEquals(3, e.getSuppressed().length);
    assertEquals(before, StandIn.counts());
    gpu.close();
  }

  @Test
  void hostMemoryIsGivenBackWhenTheDeviceDoesNotSeeIt() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      String open = StandIn.counts();
      StandIn.fail("cuMemHostGetDevicePointer_v2", 1);
      assertEquals(UNKNOWN, assertThrows(GpuException.class, () -> gpu.allocateHost(4096)).getMessage());
      assertEquals(open, StandIn.counts());
      StandIn.fail("cuMemHostRegister_v2", 1);
      assertEquals("no room for 4096 bytes of page-locked host memory (%s)".formatted(UNKNOWN),
          assertThrows(DeviceMemoryException.class, () -> gpu.allocateHost(4096)).getMessage());
      assertEquals(open, StandIn.counts());
    }
  }

  @Test
  void everyFailureIsAGpuException() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      long address = gpu.allocate(512);
      Map.<String, Runnable>of("cuMemsetD8Async", () -> gpu.fill(address, 16, (byte) 0), //
          "cuMemcpyAsync", () -> gpu.copy(address, address + 256, 16), //
          "cuEventCreate", gpu::event, //
          "cuStreamBeginCapture_v2", gpu::beginRecording, //
          "cuStreamSynchronize", gpu::synchronize, //
          "cuMemGetInfo_v2", gpu::freeMemory, //
          "cuMemPoolGetAttribute", gpu::freeMemory, //
          "cuMemAllocAsync", () -> gpu.allocate(16), //
          "cuCtxSetCurrent", gpu::makeCurrent).forEach((function, action) -> {
            StandIn.fail(function, 1);
            assertThrows(GpuException.class, action::run, function);
            assertEquals(function, StandIn.failed());
          });
      gpu.free(address);
    }
  }

  @Test
  void aKernelThatDoesNotStartIsNamed() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      long address = gpu.allocate(512);
      DeviceMatrix matrix = new DeviceMatrix(address, 2, 4);
      RandomKernel random = new RandomKernel(gpu);
      for (String function : List.of("cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel", "cuCtxSetCurrent")) {
        StandIn.fail(function, 1);
        String message = assertThrows(KernelException.class, () -> random.uniform(matrix, 1, 2), function).getMessage();
        assertTrue(message.startsWith("uniform_256 on 2×4 ") && message.endsWith(": CUDA_ERROR_UNKNOWN"), message);
      }
      random.uniform(matrix, 1, 2);
      Launch tensors = new Launch("dual_moments", "dual_moments_wgmma_128x128x32x5", ONE, ONE, 0,
          List.of(new Argument.TensorMap(matrix, 4, 2)), List.of("s ", matrix));
      StandIn.fail("cuTensorMapEncodeTiled", 1);
      String message = assertThrows(KernelException.class, () -> gpu.launch(tensors)).getMessage();
      assertTrue(message.contains("cuTensorMapEncodeTiled returned 999 for TensorMap["), message);
      Launch missing = new Launch("nothing", "nothing_256", ONE, ONE, 0, List.of(), List.of());
      assertEquals("this build of espalier lacks nothing.fatbin",
          assertThrows(GpuUnavailableException.class, () -> gpu.launch(missing)).getMessage());
      gpu.free(address);
    }
  }

  // ---- cuBLAS ----

  /// With memory for products.
  private interface Use {
    void accept(CudaGpu gpu, DeviceBuffer workspace);
  }

  private static void withWorkspace(Use use) {
    try (CudaGpu gpu = new CudaGpu(0)) {
      long address = gpu.allocate(CublasProducts.WORKSPACE_BYTES);
      use.accept(gpu, new DeviceBuffer(address, CublasProducts.WORKSPACE_BYTES));
      gpu.free(address);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cublasSetStream_v2", "cublasSetWorkspace_v2"})
  void cublasIsClosedWhenItCannotBePrepared(String function) {
    withWorkspace((gpu, workspace) -> {
      String open = StandIn.counts();
      StandIn.fail(function, 1);
      StandIn.fail("cublasDestroy_v2", 1);
      GpuException e = assertThrows(GpuException.class,
          () -> new CublasProducts(gpu, MathMode.FP32, workspace).close());
      assertEquals(function + " returned 13 (CUBLAS_STATUS_EXECUTION_FAILED, by the stand-in)", e.getMessage());
      assertEquals(1, e.getSuppressed().length);
      assertEquals(open, StandIn.counts());
    });
  }

  @Test
  void cublasThatDoesNotStartIsNoLibrary() {
    withWorkspace((gpu, workspace) -> {
      StandIn.fail("cublasCreate_v2", 1);
      assertThrows(NativeLibraryException.class, () -> new CublasProducts(gpu, MathMode.FP32, workspace).close());
    });
  }

  @Test
  void productsThatFailAreGpuExceptions() {
    withWorkspace((gpu, workspace) -> {
      CublasProducts products = new CublasProducts(gpu, MathMode.FP32, workspace);
      long address = gpu.allocate(3 * 256);
      MatrixBlock a = new MatrixBlock(address, 2, 2, 2);
      MatrixBlock b = new MatrixBlock(address + 256, 2, 2, 2);
      MatrixBlock c = new MatrixBlock(address + 512, 2, 2, 2);
      StandIn.fail("cublasGemmEx", 1);
      GpuException e = assertThrows(GpuException.class, () -> products.multiply(1, a, false, b, false, 0, c));
      assertTrue(
          e.getMessage().startsWith("cublasGemmEx returned 13 (CUBLAS_STATUS_EXECUTION_FAILED, by the stand-in) "),
          e.getMessage());
      products.multiply(1, a, false, b, false, 0, c);
      gpu.free(address);
      StandIn.fail("cublasDestroy_v2", 1);
      assertThrows(GpuException.class, products::close);
      products.close();
    });
  }

  // ---- the backend ----

  private static final CudaOptions OPTIONS = new CudaOptions(Precision.FP32, OptionalLong.of(64L << 20));

  @Test
  void aBackendWithoutItsGpuIsUnavailable() {
    StandIn.fail("cuInit", 1);
    var e = assertThrows(DeviceUnavailableException.class, () -> CudaBackend.open(0, OPTIONS).close());
    assertEquals(UNKNOWN, e.getMessage());
    assertEquals(UNKNOWN, e.getCause().getMessage());
  }

  @Test
  void aBackendWhoseLibraryFailsHasFailed() {
    StandIn.fail("cublasSetStream_v2", 1);
    var e = assertThrows(DeviceFailedException.class, () -> CudaBackend.open(0, OPTIONS).close());
    assertEquals("cublasSetStream_v2 returned 13 (CUBLAS_STATUS_EXECUTION_FAILED, by the stand-in)", e.getMessage());
    assertInstanceOf(GpuException.class, e.getCause());
  }

  @Test
  void aBackendWithoutCublasMultipliesByItself() {
    StandIn.fail("cublasCreate_v2", 1);
    try (Backend backend = CudaBackend.open(0, OPTIONS)) {
      assertTrue(backend.description().contains("products in fp32 by Espalier's own kernels"), backend.description());
    }
  }

  @Test
  void aBackendGivesBackWhatItHasWhenAnyCallOfOpeningFails() {
    Set<String> failed = new TreeSet<>();
    for (int call = 1; failsToOpenABackend(call); call++) {
      failed.add(StandIn.failed());
      assertEquals(before, StandIn.counts(), "call %d, %s".formatted(call, StandIn.failed()));
      StandIn.succeed();
    }
    assertTrue(failed.containsAll(List.of("cuInit", "cuStreamCreate", "cuMemAllocAsync", "cuMemsetD8Async",
        "cublasSetWorkspace_v2", "cuEventCreate", "cuEventRecord", "cuCtxSetCurrent")), failed::toString);
  }

  private static boolean failsToOpenABackend(int call) {
    StandIn.fail("", call);
    try (Backend backend = CudaBackend.open(0, OPTIONS)) {
      if (StandIn.failed().isEmpty()) {
        StandIn.succeed(); // while it is closed
        return false;
      }
      assertTrue(backend.description().contains("own kernels"), "nobody saw the failure of " + StandIn.failed());
      return true;
    } catch (EspalierException e) {
      assertTrue(e instanceof DeviceUnavailableException || e instanceof DeviceFailedException
          || e instanceof OutOfBackendMemoryException, e::toString);
      assertEquals(0, e.getSuppressed().length);
      return true;
    }
  }

  private static CudaBackend openWithoutCublas() {
    return CudaBackend.over(new CudaGpu(0), OPTIONS.memory(),
        (driver, memory) -> CudaProducts.ofKernels(driver, memory, Precision.FP32), Precision.FP32, 1 << 12);
  }

  @Test
  void aRunGivesBackWhatItHasWhenAnyCallFails() throws IOException {
    Set<String> failed = new TreeSet<>();
    for (int call = 1; failsToRun(call); call++) {
      failed.add(StandIn.failed());
      assertEquals(before, StandIn.counts(), "call %d, %s".formatted(call, StandIn.failed()));
      StandIn.succeed();
    }
    assertEquals(Set.of("cuCtxSetCurrent", "cuMemAllocAsync", "cuMemFreeAsync", "cuMemHostRegister_v2",
        "cuMemHostGetDevicePointer_v2", "cuMemsetD8Async", "cuMemcpyAsync", "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize", "cuStreamWaitEvent", "cuStreamBeginCapture_v2",
        "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy", "cuGraphLaunch", "cuEventCreate",
        "cuEventDestroy_v2", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime", "cuModuleLoadData",
        "cuModuleGetFunction", "cuLaunchKernel"), failed);
  }

  private static boolean failsToRun(int call) throws IOException {
    try (CudaBackend backend = openWithoutCublas()) {
      StandIn.fail("", call);
      FailingRun.of(backend);
      assertEquals("", StandIn.failed(), "a failure that nobody saw");
      StandIn.succeed();
      return false;
    } catch (DeviceFailedException | OutOfBackendMemoryException e) {
      assertEquals(0, e.getSuppressed().length, StandIn.failed());
      return true;
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cuCtxSetCurrent", "cuStreamSynchronize", "cuMemFreeAsync", "cuMemHostUnregister",
      "cuEventDestroy_v2", "cuGraphExecDestroy", "cuModuleUnload", "cuMemPoolTrimTo", "cuStreamDestroy_v2",
      "cuDevicePrimaryCtxRelease_v2"})
  void aBackendIsClosedAlthoughACallFails(String function) throws IOException {
    CudaBackend backend = openWithoutCublas();
    FailingRun.of(backend);
    StandIn.fail(function, 1);
    var e = assertThrows(DeviceFailedException.class, backend::close);
    assertTrue(e.getMessage().startsWith("the GPU failed: "), e.getMessage());
    assertEquals(function, StandIn.failed());
    assertEquals(before, StandIn.counts());
    backend.close();
  }
}
