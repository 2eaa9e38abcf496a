package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The script that makes the fatbins, with programs that stand for nvcc.
@EnabledOnOs(OS.LINUX)
class FatbinBuildTest {
  private static final String NEEDED = "CUDA 12.8 or later is needed: building without GPU kernels";

  @TempDir
  private Path folder;
  private int status;

  @ParameterizedTest
  @ValueSource(strings = {"10.2", "11.8", "12.0", "12.6"})
  void anNvccThatDoesNotKnowTheChipsIsNamedAndNotUsed(String release) throws IOException, InterruptedException {
    List<String> lines = build("Cuda compilation tools, release " + release + ", V" + release + ".140");
    assertEquals(List.of("kernels: nvcc is of CUDA " + release + ", " + NEEDED), lines);
    assertEquals(0, status);
    assertTrue(Files.notExists(folder.resolve("fatbins")));
  }

  @Test
  void anNvccThatDoesNotSayItsReleaseIsNotUsed() throws IOException, InterruptedException {
    assertEquals(List.of("kernels: nvcc is of an unknown release, " + NEEDED), build("nvcc of tomorrow"));
    assertEquals(0, status);
  }

  @ParameterizedTest
  @ValueSource(strings = {"12.8", "12.10", "13.0"})
  void aNewerNvccCompilesAndItsFailureIsTheBuilds(String release) throws IOException, InterruptedException {
    List<String> lines = build("Cuda compilation tools, release " + release + ", V" + release + ".1");
    assertTrue(lines.stream().anyMatch(line -> line.contains("sm_120")), lines::toString);
    assertNotEquals(0, status);
  }

  /// What the script prints with an nvcc that says which it is, and cannot compile.
  private List<String> build(String version) throws IOException, InterruptedException {
    Path nvcc = Files.writeString(folder.resolve("nvcc"), """
        #!/bin/sh
        if [ "$1" = --version ]; then echo '%s'; else echo "$@"; exit 1; fi
        """.formatted(version));
    assertTrue(nvcc.toFile().setExecutable(true));
    ProcessBuilder start = new ProcessBuilder("bash", "src/main/cuda/build.sh", folder.resolve("fatbins").toString(),
        folder.resolve("reports").toString()).redirectErrorStream(true);
    start.environment().merge("PATH", folder.toString(), (path, first) -> first + ":" + path);
    Process process = start.start();
    List<String> lines = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    status = process.waitFor();
    return lines;
  }
}
