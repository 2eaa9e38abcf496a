package dev.espalier.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.Optional;

/// Finds out, printing nothing, whether NVIDIA's driver and a GPU are there.
@SuppressWarnings("restricted")
public final class CudaDriver {
  /// The driver's library, as the loader finds it.
  public static final String LIBRARY = "libcuda.so.1";

  private static final int NAME_BYTES = 256;
  private static final int COMPUTE_CAPABILITY_MAJOR = 75;
  private static final int COMPUTE_CAPABILITY_MINOR = 76;

  /// What was found.
  ///
  /// @param device  the first GPU, for example `NVIDIA H200, compute capability 9.0, 140 GiB, driver for CUDA 12.8`
  /// @param problem otherwise, why there is none
  public record Probe(Optional<String> device, String problem) {}

  private static final class CudaException extends Exception {
    private static final long serialVersionUID = 1;

    CudaException(String message) {
      super(message);
    }
  }

  private CudaDriver() {}

  /// Looks for the driver's library, initialises it and asks for the first GPU.
  public static Probe probe() {
    if (!CudaDriver.class.getModule().isNativeAccessEnabled()) {
      return problem(
          "native access is not granted: start Java with --enable-native-access=dev.espalier.bindings");
    }
    SymbolLookup library;
    try {
      library = SymbolLookup.libraryLookup(LIBRARY, Arena.global()); // never unloaded: the driver keeps threads
    } catch (IllegalArgumentException e) {
      return problem(LIBRARY + " was not found: install NVIDIA's driver to use a GPU");
    }
    try (Arena arena = Arena.ofConfined()) {
      return new Probe(Optional.of(firstDevice(library, arena)), "");
    } catch (CudaException e) {
      return problem(e.getMessage());
    }
  }

  private static Probe problem(String text) {
    return new Probe(Optional.empty(), text);
  }

  private static String firstDevice(SymbolLookup library, Arena arena) throws CudaException {
    MemorySegment number = arena.allocate(JAVA_LONG);
    call(library, "cuInit", 0);
    call(library, "cuDeviceGetCount", number);
    if (number.get(JAVA_INT, 0) < 1) {
      throw new CudaException("NVIDIA's driver sees no GPU");
    }
    call(library, "cuDeviceGet", number, 0);
    int device = number.get(JAVA_INT, 0);
    MemorySegment name = arena.allocate(NAME_BYTES);
    call(library, "cuDeviceGetName", name, NAME_BYTES, device);
    call(library, "cuDeviceGetAttribute", number, COMPUTE_CAPABILITY_MAJOR, device);
    int major = number.get(JAVA_INT, 0);
    call(library, "cuDeviceGetAttribute", number, COMPUTE_CAPABILITY_MINOR, device);
    int minor = number.get(JAVA_INT, 0);
    call(library, "cuDriverGetVersion", number);
    int version = number.get(JAVA_INT, 0);
    call(library, "cuDeviceTotalMem_v2", number, device);
    return "%s, compute capability %d.%d, %d GiB, driver for CUDA %d.%d".formatted(name.getString(0), major,
        minor,
        number.get(JAVA_LONG, 0) >> 30, version / 1000, version % 1000 / 10);
  }

  private static void call(SymbolLookup library, String function, Object... arguments) throws CudaException {
    MemorySegment address = library.find(function)
        .orElseThrow(
            () -> new CudaException("%s lacks %s: its driver is too old".formatted(LIBRARY, function)));
    MemoryLayout[] layouts = new MemoryLayout[arguments.length];
    for (int i = 0; i < layouts.length; i++) {
      layouts[i] = arguments[i] instanceof MemorySegment ? ADDRESS : JAVA_INT;
    }
    int status = status(address, layouts, arguments);
    if (status != 0) {
      throw new CudaException("%s failed with CUDA error %d".formatted(function, status));
    }
  }

  private static int status(MemorySegment address, MemoryLayout[] layouts, Object... arguments) {
    try {
      return (int) Linker.nativeLinker().downcallHandle(address, FunctionDescriptor.of(JAVA_INT, layouts))
          .invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }
}
