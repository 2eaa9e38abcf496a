package dev.espalier.engine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.EspalierException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cuda.StandIn;
import dev.espalier.engine.device.Hardware.Gpu;
import dev.espalier.engine.device.Hardware.GpuState;
import dev.espalier.kernels.NeedsGpu;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Devices where there is a GPU, over the libraries that stand in for NVIDIA's.
@Tag("stand-in")
@ExtendWith(NeedsGpu.class)
final class DeviceStandInTest {
  /// Too little for anything.
  private static final BackendOptions KIBIBYTE = new BackendOptions(1, Optional.empty(), OptionalLong.of(1 << 10));

  @AfterEach
  void everythingIsGivenBack() {
    StandIn.succeed();
    assertEquals(StandIn.NOTHING, StandIn.counts());
  }

  @Test
  void autoTakesTheGpu() {
    List<String> notices = new ArrayList<>();
    try (Backend backend = Device.AUTO.open(BackendOptions.DEFAULT, notices::add)) {
      String description = backend.description();
      assertTrue(description.startsWith("cuda (Stand-in, compute capability 9.0, products in tf32 by cuBLAS 13.0.0, "),
          description);
      assertEquals(List.of(), notices);
    }
  }

  @ParameterizedTest
  @CsvSource({"cuInit, DeviceUnavailableException", "cuStreamCreate, DeviceUnavailableException",
      "cuMemAllocAsync, DeviceUnavailableException", "cuModuleLoadData, DeviceUnavailableException",
      "cuLaunchKernel, DeviceUnavailableException", "cublasSetStream_v2, DeviceFailedException",
      "cuEventRecord, DeviceFailedException"})
  void aGpuThatDoesNotOpenIsRefusedOrPassedOver(String function, String failure) {
    StandIn.fail(function, 1);
    EspalierException refusal = assertThrows(EspalierException.class, Device.CUDA::open);
    assertEquals(failure, refusal.getClass().getSimpleName());
    assertEquals(function, StandIn.failed());

    StandIn.fail(function, 1);
    assertPassedOver(BackendOptions.DEFAULT, refusal.getMessage());
  }

  /// That auto takes the CPU, and says once why.
  private static void assertPassedOver(BackendOptions options, String why) {
    List<String> notices = new ArrayList<>();
    try (Backend backend = Device.AUTO.open(options, notices::add)) {
      assertTrue(backend.description().startsWith("cpu ("), backend.description());
      assertEquals(List.of("device auto: not the GPU: " + why), notices);
      assertEquals(StandIn.NOTHING, StandIn.counts());
    }
  }

  @Test
  void aGpuWithoutEnoughMemoryIsRefusedOrPassedOver() {
    OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
        () -> Device.CUDA.open(KIBIBYTE, _ -> {}));
    assertPassedOver(KIBIBYTE, refusal.getMessage());
  }

  @Test
  void aGpuThatIsTooOldIsRefusedOrPassedOver() {
    StandIn.play("compute capability", 75);
    EspalierException refusal = assertThrows(DeviceUnavailableException.class, Device.CUDA::open);
    assertPassedOver(BackendOptions.DEFAULT, refusal.getMessage());
  }

  @Test
  void refusesAGpuThatIsNotThere() {
    assertEquals("there is no GPU 3: this process sees 1, numbered from 0",
        assertThrows(DeviceUnavailableException.class, () -> Device.parse("cuda:3").open()).getMessage());
  }

  @Test
  void describesTheGpu() {
    Gpu gpu = Hardware.gpu().value().orElseThrow();
    assertEquals("Stand-in, compute capability 9.0, 1 GiB, driver for CUDA 13.0", gpu.description());
    GpuState now = gpu.now().orElseThrow();
    assertEquals(OptionalInt.of(3201), now.memoryClock());
    assertEquals(OptionalDouble.of(76.3), now.power());
    assertEquals(OptionalLong.empty(), now.totalMemory()); // which the stand-in does not tell
    assertTrue(Hardware.cublas().value().orElseThrow().contains("13.0.0"), Hardware.cublas()::toString);
  }
}
