package dev.espalier.engine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.EspalierException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cuda.StandIn;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Hardware.Gpu;
import dev.espalier.engine.device.Hardware.GpuState;
import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.kernels.NeedsGpu;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

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

  @ParameterizedTest
  @ValueSource(strings = {"cuda:all", "cuda:0,1", "cuda:1,0"})
  void severalGpusShareThePasses(String name) throws IOException {
    StandIn.play("devices", 2);
    List<String> notices = new ArrayList<>();
    BackendOptions options = new BackendOptions(1, Optional.empty(), OptionalLong.of(256 << 20));
    try (Arena arena = Arena.ofShared(); Backend gpus = Device.parse(name).open(options, notices::add)) {
      assertEquals(
          List.of("device %s: 2 GPUs share the samples of a pass; training and selection run on the first alone"
              .formatted(name)),
          notices);
      String first = name.endsWith("0") ? "Stand-in 1" : "Stand-in";
      assertTrue(gpus.description().startsWith("cuda (2 GPUs, the first %s, compute".formatted(first)),
          gpus.description());
      assertTrue(StandIn.count("used by the second") > 0);
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(12, 9, 4),
          List.of(Activation.RELU, Activation.IDENTITY));
      Dataset source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 130, 12, 1, 0.5));
      PruningOptions pruning = PruningOptions.builder().sparsity(0.7).batchSize(20)
          .repair(Repairs.parse("refit+joint:outer=1:inner=2")).build();
      double found = new Pruner(gpus, pruning).prune(network, source, arena).measuredChange().orElseThrow();
      try (Backend reference = Device.REFERENCE.open()) {
        double expected = new Pruner(reference, pruning).prune(network, source, arena).measuredChange().orElseThrow();
        assertEquals(expected, found, 0.05 * expected); // of TF32
      }
    }
  }

  @Test
  void refusesOneOfSeveralThatIsNotThere() {
    StandIn.play("devices", 2);
    assertEquals("there is no GPU 2: this process sees 2, numbered from 0",
        assertThrows(DeviceUnavailableException.class, () -> Device.parse("cuda:0,2").open()).getMessage());
  }

  @Test
  void describesAllGpus() {
    StandIn.play("devices", 2);
    assertEquals(
        List.of("Stand-in, compute capability 9.0, 1 GiB, driver for CUDA 13.0",
            "Stand-in 1, compute capability 9.0, 1 GiB, driver for CUDA 13.0"),
        Hardware.gpus().value().orElseThrow().stream().map(Gpu::description).toList());
  }

  @Test
  void describesTheGpu() {
    Gpu gpu = Hardware.gpus().value().orElseThrow().getFirst();
    assertEquals("Stand-in, compute capability 9.0, 1 GiB, driver for CUDA 13.0", gpu.description());
    GpuState now = gpu.now().orElseThrow();
    assertEquals(OptionalInt.of(3201), now.memoryClock());
    assertEquals(OptionalDouble.of(76.3), now.power());
    assertEquals(OptionalLong.empty(), now.totalMemory()); // which the stand-in does not tell
    assertTrue(Hardware.cublas().value().orElseThrow().contains("13.0.0"), Hardware.cublas()::toString);
  }

  /// Through the driver's and cuBLAS's calls, recorded graphs among them, on two backends of one GPU.
  @Test
  void timesTwoOfFour() {
    try (Arena arena = Arena.ofShared();
        GpuBackend plain = Device.CUDA.openGpu(inPrecision(Precision.TF32));
        GpuBackend bfloat16 = Device.CUDA.openGpu(inPrecision(Precision.BF16))) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(40, 33, 3),
          List.of(Activation.RELU, Activation.SOFTMAX));
      Map<Variant, Times> times = new InferenceTimes(plain, bfloat16).ofRandomTwoOfFour(network, 9);
      assertEquals(Set.of(Variant.DENSE, Variant.BF16, Variant.TWO_OF_FOUR), times.keySet());
    }
  }

  private static BackendOptions inPrecision(Precision precision) {
    return new BackendOptions(1, Optional.of(precision), OptionalLong.of(256 << 20));
  }
}
