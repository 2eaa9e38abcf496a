package dev.espalier.kernels;

import dev.espalier.bindings.CudaDriver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import jcuda.JCudaVersion;
import jcuda.LibUtils;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;

/// Loads JCuda, once and only where it can be loaded: without a driver the first touch of `JCudaDriver` fails
/// with thirty lines, and every later one in another way.
public final class JCudaLoader {
  private static final Optional<String> PROBLEM = load();

  /// JCublas is looked for once, and only where someone asks.
  private static final class OfCublas {
    static final Optional<String> PROBLEM = JCublas2.class.getModule().isNativeAccessEnabled()
        ? load("JCublas2", () -> JCublas2.setExceptionsEnabled(false))
        : Optional.of("native access is not granted to jcublas");
  }

  private JCudaLoader() {}

  /// Why CUDA cannot be used on this machine, in one line that says what to do; empty if it can. Comes before any other
  /// use of JCuda.
  public static Optional<String> problem() {
    return PROBLEM;
  }

  /// Why JCublas cannot be used, empty if it can. Comes after cuBLAS 12 was loaded, which it is linked to, and before any
  /// other use of JCublas.
  static Optional<String> jcublasProblem() {
    return OfCublas.PROBLEM;
  }

  private static Optional<String> load() {
    CudaDriver.Probe probe = CudaDriver.probe();
    return probe.gpus().isEmpty()
        ? Optional.of(probe.problem())
        : load("JCudaDriver", () -> JCudaDriver.setExceptionsEnabled(true));
  }

  /// JCuda takes a native library from a file of a fixed name in the temporary directory, whoever put it
  /// there, or else from a resource beside its own classes, which on the module path are in another module. So
  /// it is given a directory of its own that holds the file already.
  ///
  /// @param first the first use of the library
  private static Optional<String> load(String library, Runnable first) {
    String shared = System.getProperty("java.io.tmpdir");
    try {
      Path directory = Files.createTempDirectory("espalier-jcuda");
      Path file = unpack(library, directory);
      try {
        System.setProperty("java.io.tmpdir", directory.toString());
        first.run();
      } finally {
        System.setProperty("java.io.tmpdir", shared);
        // It stays mapped; the directory need not.
        Files.deleteIfExists(file);
        Files.deleteIfExists(directory);
      }
      return Optional.empty();
    } catch (IOException | LinkageError e) {
      return Optional.of("%s does not load: %s".formatted(library,
          Optional.ofNullable(e.getMessage()).flatMap(text -> text.lines().findFirst()).orElse(e.toString())));
    }
  }

  /// Copies a native library of JCuda into `directory`.
  static Path unpack(String library, Path directory) throws IOException {
    String name = LibUtils
        .createLibraryFileName(LibUtils.createPlatformLibraryName(library + "-" + JCudaVersion.get()));
    try (InputStream resource = Optional
        .ofNullable(JCudaVersion.class.getClassLoader().getResourceAsStream("lib/" + name))
        .orElseThrow(() -> new IOException("JCuda has no library for this platform: " + name))) {
      Path file = directory.resolve(name);
      Files.copy(resource, file);
      return file;
    }
  }
}
