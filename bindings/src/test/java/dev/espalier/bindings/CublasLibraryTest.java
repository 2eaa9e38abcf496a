package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class CublasLibraryTest {
  private static final int ANY = Integer.MAX_VALUE;

  @TempDir
  private Path folder;
  private final Map<String, String> environment = new HashMap<>();

  private Path file(String name) throws IOException {
    Path file = folder.resolve(name);
    Files.createDirectories(file.getParent());
    return Files.createFile(file);
  }

  private static Optional<Path> nothing(String name) {
    return Optional.empty();
  }

  private CublasLibrary search(Function<String, Optional<Path>> byLoader, int newest) {
    return new CublasLibrary(environment, folder.resolve("local"), byLoader, newest);
  }

  private List<Path> candidates(Function<String, Optional<Path>> byLoader, int newest) {
    return search(byLoader, newest).candidates().toList();
  }

  @Test
  void looksInToolkitsThenByTheLoaderThenInPython() throws IOException {
    Path home = file("home/targets/x86_64-linux/lib/libcublas.so.11");
    Path path = file("path/lib/libcublas.so.12");
    Path chosen = file("local/cuda/lib64/libcublas.so.12");
    Path newer = file("local/cuda-12.10/lib64/libcublas.so.12");
    Path older = file("local/cuda-12.9/lib64/libcublas.so.12");
    Path loaders = file("loader/libcublas.so.12");
    Path wheel = file("venv/lib/python3.13/site-packages/nvidia/cublas/lib/libcublas.so.12");
    file("local/cuda-12.10/lib64/libcublasLt.so.12");
    file("local/other/lib64/libcublas.so.12");
    environment.put("CUDA_HOME", folder.resolve("home").toString());
    environment.put("CUDA_PATH", folder.resolve("path").toString());
    environment.put("VIRTUAL_ENV", folder.resolve("venv").toString());
    assertEquals(List.of(home, path, chosen, newer, older, loaders, wheel),
        candidates(name -> name.equals("libcublas.so.12") ? Optional.of(loaders) : Optional.empty(), ANY));
  }

  @Test
  void prefersTheNewestThatTheDriverRuns() throws IOException {
    Path eleven = file("local/cuda/lib64/libcublas.so.11");
    Path twelve = file("local/cuda/lib64/libcublas.so.12");
    Path thirteen = file("local/cuda/lib64/libcublas.so.13");
    file("local/cuda/lib64/libcublas.so.10");
    file("local/cuda/lib64/libcublas.so");
    assertEquals(List.of(thirteen, twelve, eleven), candidates(CublasLibraryTest::nothing, ANY));
    assertEquals(List.of(twelve, eleven), candidates(CublasLibraryTest::nothing, 12));
  }

  @Test
  void theLoaderIsAskedOnlyUntilItKnowsOne() {
    StringBuilder asked = new StringBuilder();
    Path loaders = folder.resolve("libcublas.so.12");
    assertEquals(List.of(loaders), candidates(name -> {
      asked.append(name).append(' ');
      return name.endsWith("12") ? Optional.of(loaders) : Optional.empty();
    }, ANY));
    assertEquals("libcublas.so.13 libcublas.so.12 ", asked.toString());
  }

  /// A link in `bin` to the Python of the system, which has packages of its own; and packages of the user.
  @Test
  void findsThePackagesOfThePythonOnThePathWithoutStartingIt() throws IOException {
    Path python = file("system/bin/python3.13");
    assertTrue(python.toFile().setExecutable(true));
    Files.createDirectories(folder.resolve("tool/bin"));
    Files.createSymbolicLink(folder.resolve("tool/bin/python3"), python);
    Path linked = file("tool/lib/python3.13/site-packages/nvidia/cu13/lib/libcublas.so.13");
    Path system = file("system/lib/python3/dist-packages/nvidia/cublas/lib/libcublas.so.12");
    Path local = file("system/local/lib/python3.13/dist-packages/nvidia/cublas/lib/libcublas.so.12");
    Path user = file("me/.local/lib/python3.13/site-packages/nvidia/cublas/lib/libcublas.so.12");
    assertTrue(file("later/bin/python3").toFile().setExecutable(true));
    file("later/lib/python3.13/site-packages/nvidia/cublas/lib/libcublas.so.12");
    environment.put("PATH", String.join(":", folder + "/empty", folder + "/tool/bin", folder + "/later/bin"));
    environment.put("HOME", folder + "/me");
    assertEquals(List.of(linked, system, local, user), candidates(CublasLibraryTest::nothing, ANY));
  }

  @Test
  void aPathInTheEnvironmentIsTheOnlyOne() throws IOException {
    file("local/cuda/lib64/libcublas.so.13");
    Path named = file("mine.so");
    environment.put("ESPALIER_CUBLAS", named.toString());
    assertEquals(List.of(named), candidates(CublasLibraryTest::nothing, ANY));
    Files.delete(named);
    assertEquals("cuBLAS: ESPALIER_CUBLAS names " + named + ", which is no file: correct or unset it",
        assertThrows(NativeLibraryException.class, () -> search(CublasLibraryTest::nothing, ANY).load()).getMessage());
  }

  @Test
  void saysInOneLineWhereItLooked() throws IOException {
    environment.put("CUDA_HOME", folder + "/home");
    environment.put("VIRTUAL_ENV", folder + "/venv");
    Files.createDirectories(folder.resolve("venv/lib/python3.13/site-packages"));
    assertEquals(
        ("cuBLAS: no libcublas.so.12 or libcublas.so.11 in %1$s/home, %1$s/local/cuda*, the loader's path, "
            + "%1$s/venv/lib/python3.13/site-packages/nvidia/*/lib: install CUDA's cuBLAS or name the library with "
            + "ESPALIER_CUBLAS").formatted(folder),
        assertThrows(NativeLibraryException.class, () -> search(CublasLibraryTest::nothing, 12).load()).getMessage());
  }

  @Test
  void saysInOneLineWhyWhatItFoundDoesNotLoad() throws IOException {
    Path thirteen = file("local/cuda/lib64/libcublas.so.13");
    Path twelve = file("local/cuda/lib64/libcublas.so.12");
    String message = assertThrows(NativeLibraryException.class, () -> search(CublasLibraryTest::nothing, ANY).load())
        .getMessage();
    assertTrue(message.startsWith("cuBLAS: " + thirteen + ": "), message);
    assertTrue(message.contains("; " + twelve + ": "), message);
    assertEquals(1, message.lines().count());
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void knowsWhichFileTheLoaderTook() {
    Path libm = CublasLibrary.loaded("libm.so.6").orElseThrow();
    assertTrue(Files.isRegularFile(libm), libm.toString());
    assertEquals(Optional.empty(), CublasLibrary.loaded("libnothing.so.6"));
  }
}
