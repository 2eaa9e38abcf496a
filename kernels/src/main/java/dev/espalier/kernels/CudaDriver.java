package dev.espalier.kernels;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import jcuda.JCudaVersion;
import jcuda.LibUtils;
import jcuda.driver.JCudaDriver;

/// Loads JCuda, once and only where it can be loaded: without a driver the first touch of `JCudaDriver` fails
/// with thirty lines, and every later one in another way.
@SuppressWarnings("restricted") // calls native code
public final class CudaDriver {
  static final String LIBRARY = "libcuda.so.1";
  private static final Optional<String> PROBLEM = load();

  private CudaDriver() {}

  /// Why there is no CUDA on this machine, in one line that says what to do; empty if there is. Call it
  /// before anything of JCuda.
  public static Optional<String> problem() {
    return PROBLEM;
  }

  private static Optional<String> load() {
    int status;
    try {
      SymbolLookup library = SymbolLookup.libraryLookup(LIBRARY, Arena.global());
      status = (int) Linker.nativeLinker()
          .downcallHandle(library.findOrThrow("cuInit"), FunctionDescriptor.of(JAVA_INT, JAVA_INT))
          .invokeExact(0);
    } catch (IllegalArgumentException _) {
      return Optional.of("no CUDA driver (%s): install NVIDIA's".formatted(LIBRARY));
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
    if (status != 0) {
      return Optional.of("the CUDA driver does not start: cuInit returns " + status);
    }
    try {
      loadJCuda();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
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
    String name = LibUtils.createLibraryFileName(
        LibUtils.createPlatformLibraryName("JCudaDriver-" + JCudaVersion.get()));
    try (InputStream resource = Optional
        .ofNullable(JCudaVersion.class.getClassLoader().getResourceAsStream("lib/" + name))
        .orElseThrow(() -> new IOException("JCuda has no library for this platform: " + name))) {
      Path file = directory.resolve(name);
      Files.copy(resource, file);
      return file;
    }
  }
}
