package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/// On a machine without NVIDIA's libraries; twice each, since a class that fails to initialise fails otherwise at once.
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class NoDriverTest {
  private static void assumeAbsent(String library) {
    boolean there;
    try {
      SymbolLookup.libraryLookup(library, Arena.global());
      there = true;
    } catch (IllegalArgumentException e) {
      there = false;
    }
    assumeTrue(!there, "this machine has " + library);
  }

  @Test
  @Order(1)
  void thereIsNoGpu() {
    assumeAbsent("libcuda.so.1");
    CudaDriver.Probe none = new CudaDriver.Probe(List.of(),
        "libcuda.so.1 was not found: install NVIDIA's driver to use a GPU");
    assertEquals(none, CudaDriver.probe());
    assertEquals(none, CudaDriver.probe());
    assertEquals(OptionalInt.empty(), CudaDriver.cudaVersion());
  }

  @Test
  @Order(2)
  void thereIsNoNvml() {
    assumeAbsent("libnvidia-ml.so.1");
    assertEquals(Optional.empty(), Nvml.open("0000:17:00.0"));
    assertEquals(Optional.empty(), Nvml.open("0000:17:00.0"));
  }

  /// Afterwards there is a driver, an old one.
  @Test
  @Order(3)
  void saysWhatAnOldDriverLacks(@TempDir Path folder) throws IOException, InterruptedException {
    assumeAbsent("libcuda.so.1");
    StubLibrary.load(StubLibrary.compile(folder, CudaDriver.LIBRARY, "cuda.c", "-DOLD"));
    assertEquals(new CudaDriver.Probe(List.of(), "libcuda.so.1 lacks cuDeviceGetPCIBusId: its driver is too old"),
        CudaDriver.probe());
  }
}
