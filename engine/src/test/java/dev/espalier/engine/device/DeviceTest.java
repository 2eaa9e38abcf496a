package dev.espalier.engine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.UnsupportedPrecisionException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cuda.CudaBackend;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Devices where there is no GPU; [DeviceStandInTest] has one.
final class DeviceTest {
  @ParameterizedTest
  @CsvSource({"auto, AUTO, ''", "cuda, CUDA, 0", "cuda:1, CUDA, 1", "cuda:9999, CUDA, 9999", "'cuda:0,1', CUDA, 0 1",
      "'cuda:3,0,2', CUDA, 3 0 2", "cuda:all, CUDA, ''", "cpu, CPU, ''", "reference, REFERENCE, ''"})
  void readsWhatItWrites(String text, Device.Kind kind, String numbers) {
    List<Integer> gpus = Arrays.stream(numbers.split(" ")).filter(number -> !number.isEmpty()).map(Integer::valueOf)
        .toList();
    assertEquals(new Device(kind, gpus), Device.parse(text));
    assertEquals(text, Device.parse(text).toString());
  }

  @Test
  void refusesAGpuTwice() {
    assertEquals("device cuda:1,1 names a GPU twice",
        assertThrows(IllegalArgumentException.class, () -> Device.parse("cuda:1,1")).getMessage());
  }

  @Test
  void theFirstGpuHasTwoNames() {
    assertEquals(Device.CUDA, Device.parse("cuda:0"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1a", "cuda:10000", "cuda:0,", "cuda:0,all",
      "cpu:0", "auto:1", " cpu"})
  void refusesWhatIsNoDevice(String text) {
    assertEquals(
        ("unknown device '%s': use auto, cuda, cuda:1 for the second GPU, cuda:0,1 or cuda:all for several, cpu or"
            + " reference").formatted(text),
        assertThrows(IllegalArgumentException.class, () -> Device.parse(text)).getMessage());
  }

  private static BackendOptions precision(Precision precision) {
    return new BackendOptions(1, Optional.of(precision), OptionalLong.empty());
  }

  @Test
  void opensWhatIsNamed() {
    try (Backend cpu = Device.CPU.open(); Backend reference = Device.REFERENCE.open()) {
      assertTrue(cpu.description().startsWith("cpu ("), cpu.description());
      assertTrue(reference.description().startsWith("reference ("), reference.description());
    }
  }

  @Test
  void cpuTakesTheThreadsThatItIsGiven() {
    try (Backend cpu = Device.CPU.open(precision(Precision.FP32), _ -> {})) {
      assertTrue(cpu.description().endsWith(", 1 thread)"), cpu.description());
    }
    assertEquals(Runtime.getRuntime().availableProcessors(), BackendOptions.DEFAULT.threads());
  }

  @Test
  void refusesPrecisionsThatTheDeviceDoesNotHave() {
    assertEquals("precision tf32: only GPUs round to TF32", refusal(Device.CPU, Precision.TF32));
    assertEquals("precision tf32: the reference backend computes in float64",
        refusal(Device.REFERENCE, Precision.TF32));
    assertEquals("precision bf16: the reference backend computes in float64",
        refusal(Device.REFERENCE, Precision.BF16));
    Device.REFERENCE.open(precision(Precision.FP32), _ -> {}).close();
  }

  private static String refusal(Device device, Precision precision) {
    return assertThrows(UnsupportedPrecisionException.class, () -> device.open(precision(precision), _ -> {}))
        .getMessage();
  }

  @Test
  void autoTakesTheCpuSilentlyWithoutAGpu() {
    assumeFalse(CudaBackend.hasGpu(), "there is a GPU");
    List<String> notices = new ArrayList<>();
    try (Backend backend = Device.AUTO.open(BackendOptions.DEFAULT, notices::add)) {
      assertTrue(backend.description().startsWith("cpu ("), backend.description());
      assertEquals(List.of(), notices);
    }
  }

  @Test
  void aGpuThatIsAskedForMustBeThere() {
    assumeFalse(CudaBackend.hasGpu(), "there is a GPU");
    String problem = Hardware.gpus().problem();
    assertFalse(problem.isBlank());
    assertEquals(problem, assertThrows(DeviceUnavailableException.class, Device.CUDA::open).getMessage());
    assertEquals(problem,
        assertThrows(DeviceUnavailableException.class, () -> Device.CUDA.openGpu(BackendOptions.DEFAULT)).getMessage());
  }
}
