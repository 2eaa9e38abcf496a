package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.bindings.Nvml.ClockLimit;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Against a library that knows one GPU.
class NvmlTest {
  private static final String GPU = "0000:17:00.0";

  @TempDir
  private static Path folder;
  private static StubLibrary stub;

  @BeforeAll
  static void load() throws IOException, InterruptedException {
    stub = StubLibrary.load(StubLibrary.compile(folder, "libnvidia-ml.so.1", "nvml.c"));
  }

  private static Nvml.Reading reading(OptionalDouble power) {
    return new Nvml.Reading(OptionalLong.of(150_754_820_096L), OptionalLong.of(150_000_000_000L), OptionalInt.of(1980),
        OptionalInt.of(3201), power, OptionalInt.of(41));
  }

  @Test
  void readsFigures() throws Throwable {
    try (Nvml nvml = Nvml.open(GPU).orElseThrow()) {
      assertEquals(1, stub.number("stub_users"));
      assertEquals(reading(OptionalDouble.of(76.3)), nvml.read());
      for (int none : new int[]{3, 4}) { // NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION
        stub.set("stub_power_status", none);
        assertEquals(reading(OptionalDouble.empty()), nvml.read());
      }
      stub.set("stub_power_status", 15);
      assertEquals("nvmlDeviceGetPowerUsage returned 15 (GPU is lost)",
          assertThrows(NativeCallException.class, nvml::read).getMessage());
      stub.set("stub_power_status", 0);
    }
    assertEquals(0, stub.number("stub_users"));
  }

  @Test
  void tellsWhoComputes() throws Throwable {
    try (Nvml nvml = Nvml.open(GPU).orElseThrow()) {
      assertEquals(Optional.of(List.of()), nvml.users());
      stub.set("stub_processes", 3);
      assertEquals(Optional.of(List.of(new Nvml.User(100, OptionalLong.empty()),
          new Nvml.User(101, OptionalLong.of(1 << 20)), new Nvml.User(102, OptionalLong.of(2 << 20)))), nvml.users());
      stub.set("stub_processes", 1000); // more than there is room for at first
      assertEquals(new Nvml.User(1099, OptionalLong.of(999L << 20)), nvml.users().orElseThrow().getLast());
      stub.set("stub_process_status", 3);
      assertEquals(Optional.empty(), nvml.users());
    } finally {
      stub.set("stub_processes", 0);
      stub.set("stub_process_status", 0);
    }
  }

  /// Bits that are not known are left out.
  @Test
  void tellsWhyTheClockIsLow() throws Throwable {
    try (Nvml nvml = Nvml.open(GPU).orElseThrow()) {
      assertEquals(Optional.of(Set.of(ClockLimit.POWER, ClockLimit.TEMPERATURE)), nvml.clockLimits());
      stub.set("stub_process_status", 4);
      assertEquals(Optional.empty(), nvml.clockLimits());
    } finally {
      stub.set("stub_process_status", 0);
    }
  }

  @Test
  void closesOnce() throws Throwable {
    Nvml nvml = Nvml.open(GPU).orElseThrow();
    nvml.close();
    nvml.close();
    assertEquals(0, stub.number("stub_users"));
  }

  @Test
  void aGpuThatItDoesNotKnowIsNone() throws Throwable {
    assertEquals(Optional.empty(), Nvml.open("0000:18:00.0"));
    assertEquals(0, stub.number("stub_users"));
  }
}
