package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.CudaDriver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JCudaLoaderTest {
  @Test
  void saysInOneLineThatThereIsNoDriver() {
    assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "this machine has a GPU");
    Optional<String> problem = JCudaLoader.problem();
    assertTrue(problem.isPresent());
    assertEquals(1, problem.get().lines().count());
    assertEquals(problem, JCudaLoader.problem());
  }

  @Test
  void jcudaComesWithItsLibrary(@TempDir Path directory) throws IOException {
    Path library = JCudaLoader.unpack("JCudaDriver", directory);
    assertTrue(library.getFileName().toString().startsWith("libJCudaDriver-"));
    assertTrue(Files.size(library) > 0);
  }

  @Test
  @Tag("gpu")
  void jcudaTalksToTheDriverThatTheBindingsFind() {
    Optional<String> problem = JCudaLoader.problem();
    assumeTrue(problem.isEmpty(), () -> problem.orElse(""));
    int[] version = new int[1];
    JCudaDriver.cuDriverGetVersion(version);
    String device = CudaDriver.probe().gpus().getFirst().description();
    assertTrue(device.endsWith("driver for CUDA %d.%d".formatted(version[0] / 1000, version[0] % 1000 / 10)), device);
  }
}
