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

/// Loads JCuda, once and only where it can be loaded: without a driver the first touch of `JCudaDriver` fails
/// with thirty lines, and every later one in another way.
public final class JCudaLoader {
  private static final Optional<String> PROBLEM = load();

  private JCudaLoader() {}

  /// Why CUDA cannot be used on this machine, in one line that says what to do; empty if it can. Comes before any other
  /// use of JCuda.
  public static Optional<String> problem() {
    return PROBLEM;
  }

  private static Optional<String> load() {
    CudaDriver.Probe probe = CudaDriver.probe();
    if (probe.device().isEmpty()) {
      return Optional.of(probe.problem());
    }
    try {
      loadJCuda();
    } catch (IOException | LinkageError e) {
      return Optional.of("JCuda does not load: "
          + Optional.ofNullable(e.getMessage()).flatMap(text -> text.lines().findFirst()).orElse(e.toString()));
    }
    return Optional.empty();
  }

  /// JCuda takes its native library from a file of a fixed name in the temporary directory, whoever put it
  /// there, or else from a resource beside its own classes, which on the module path are in another module. So
  /// it is given a directory of its own that holds the file already.
  private static void loadJCuda() throws IOException {
    String shared = System.getProperty("java.io.tmpdir");
    Path directory = Files.createTempDirectory("espalier-jcuda");
    Path library = unpack(directory);
    try {
      System.setProperty("java.io.tmpdir", directory.toString());
      JCudaDriver.setExceptionsEnabled(true);
    } finally {
      System.setProperty("java.io.tmpdir", shared);
      // It stays mapped; the directory need not.
      Files.deleteIfExists(library);
      Files.deleteIfExists(directory);
    }
  }

  /// Copies JCuda's native library into `directory`.
  static Path unpack(Path directory) throws IOException {
    String name = LibUtils
        .createLibraryFileName(LibUtils.createPlatformLibraryName("JCudaDriver-" + JCudaVersion.get()));
    try (InputStream resource = Optional
        .ofNullable(JCudaVersion.class.getClassLoader().getResourceAsStream("lib/" + name))
        .orElseThrow(() -> new IOException("JCuda has no library for this platform: " + name))) {
      Path file = directory.resolve(name);
      Files.copy(resource, file);
      return file;
    }
  }
}
