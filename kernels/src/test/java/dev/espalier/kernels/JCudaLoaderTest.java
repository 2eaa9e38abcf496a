package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
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
    Path library = JCudaLoader.unpack(directory);
    assertTrue(library.getFileName().toString().startsWith("libJCudaDriver-"));
    assertTrue(Files.size(library) > 0);
  }
}
