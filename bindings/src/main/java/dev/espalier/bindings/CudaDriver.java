package dev.espalier.bindings;

import static dev.espalier.bindings.cuda.cuda_h.CUDA_SUCCESS;
import static dev.espalier.bindings.cuda.cuda_h.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static dev.espalier.bindings.cuda.cuda_h.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGet;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGetAttribute;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGetCount;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGetName;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceGetPCIBusId;
import static dev.espalier.bindings.cuda.cuda_h.cuDeviceTotalMem_v2;
import static dev.espalier.bindings.cuda.cuda_h.cuDriverGetVersion;
import static dev.espalier.bindings.cuda.cuda_h.cuInit;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.IntSupplier;

/// Finds out, printing nothing, whether NVIDIA's driver and a GPU are there.
public final class CudaDriver {
  /// The driver's library, as the loader finds it.
  static final String LIBRARY = "libcuda.so.1";

  static final String NO_NATIVE_ACCESS = "native access is not granted: start Java with "
      + "--enable-native-access=dev.espalier.bindings";

  private static final int NAME_BYTES = 256;
  private static final int BUS_ID_BYTES = 32;

  /// A GPU.
  ///
  /// @param description for example `NVIDIA H200, compute capability 9.0, 140 GiB, driver for CUDA 12.8`
  /// @param pciBusId as [Nvml#open] takes it
  public record Gpu(String description, String pciBusId) {}

  /// What was found.
  ///
  /// @param gpus in the order of their numbers
  /// @param problem why there are none
  public record Probe(List<Gpu> gpus, String problem) {}

  private static final class CudaException extends Exception {
    private static final long serialVersionUID = 1;

    CudaException(String message) {
      super(message);
    }
  }

  private CudaDriver() {}

  /// Looks for the driver's library, initialises it and asks for the GPUs.
  public static Probe probe() {
    if (!CudaDriver.class.getModule().isNativeAccessEnabled()) {
      return problem(NO_NATIVE_ACCESS);
    }
    Optional<SymbolLookup> library = library();
    if (library.isEmpty()) {
      return problem(LIBRARY + " was not found: install NVIDIA's driver to use a GPU");
    }
    try (Arena arena = Arena.ofConfined()) {
      return devices(library.get(), arena);
    } catch (CudaException e) {
      return problem(e.getMessage());
    }
  }

  private static Probe problem(String text) {
    return new Probe(List.of(), text);
  }

  /// The major version of CUDA that the driver is for; empty if there is none.
  static OptionalInt cudaVersion() {
    Optional<SymbolLookup> library = library();
    if (library.isEmpty()) {
      return OptionalInt.empty();
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(JAVA_INT);
      call(library.get(), "cuDriverGetVersion", () -> cuDriverGetVersion(version));
      return OptionalInt.of(version.get(JAVA_INT, 0) / 1000);
    } catch (CudaException e) {
      return OptionalInt.empty();
    }
  }

  /// Comes before the first touch of the generated class, which fails, and so for good, where there is no library.
  private static Optional<SymbolLookup> library() {
    try {
      // Never unloaded: the driver keeps threads.
      return Optional.of(SymbolLookup.libraryLookup(LIBRARY, Arena.global()));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  private static Probe devices(SymbolLookup library, Arena arena) throws CudaException {
    MemorySegment number = arena.allocate(JAVA_LONG);
    call(library, "cuInit", () -> cuInit(0));
    call(library, "cuDeviceGetCount", () -> cuDeviceGetCount(number));
    int count = number.get(JAVA_INT, 0);
    if (count < 1) {
      throw new CudaException("NVIDIA's driver sees no GPU");
    }
    List<Gpu> gpus = new ArrayList<>();
    for (int ordinal = 0; ordinal < count; ordinal++) {
      gpus.add(gpu(library, ordinal, number, arena));
    }
    return new Probe(List.copyOf(gpus), "");
  }

  private static Gpu gpu(SymbolLookup library, int ordinal, MemorySegment number, Arena arena) throws CudaException {
    call(library, "cuDeviceGet", () -> cuDeviceGet(number, ordinal));
    int device = number.get(JAVA_INT, 0);
    MemorySegment name = arena.allocate(NAME_BYTES);
    call(library, "cuDeviceGetName", () -> cuDeviceGetName(name, NAME_BYTES, device));
    int major = attribute(library, number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR(), device);
    int minor = attribute(library, number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR(), device);
    call(library, "cuDriverGetVersion", () -> cuDriverGetVersion(number));
    int version = number.get(JAVA_INT, 0);
    call(library, "cuDeviceTotalMem_v2", () -> cuDeviceTotalMem_v2(number, device));
    long memory = number.get(JAVA_LONG, 0);
    MemorySegment busId = arena.allocate(BUS_ID_BYTES);
    call(library, "cuDeviceGetPCIBusId", () -> cuDeviceGetPCIBusId(busId, BUS_ID_BYTES, device));
    return new Gpu("%s, compute capability %s.%s, %s GiB, driver for CUDA %s.%s".formatted(name.getString(0), major,
        minor, memory >> 30, version / 1000, version % 1000 / 10), busId.getString(0));
  }

  private static int attribute(SymbolLookup library, MemorySegment number, int attribute, int device)
      throws CudaException {
    call(library, "cuDeviceGetAttribute", () -> cuDeviceGetAttribute(number, attribute, device));
    return number.get(JAVA_INT, 0);
  }

  private static void call(SymbolLookup library, String function, IntSupplier generated) throws CudaException {
    if (library.find(function).isEmpty()) {
      throw new CudaException("%s lacks %s: its driver is too old".formatted(LIBRARY, function));
    }
    int status = generated.getAsInt();
    if (status != CUDA_SUCCESS()) {
      throw new CudaException("%s failed with CUDA error %d".formatted(function, status));
    }
  }
}
