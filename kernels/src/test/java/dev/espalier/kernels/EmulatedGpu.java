package dev.espalier.kernels;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// The kernels compiled for the CPU (src/test/cuda), behind the interface that launchers use.
@SuppressWarnings("restricted") // calls native code
final class EmulatedGpu extends TestGpu {
  /// In which order threads and blocks run.
  enum Order {
    FORWARD(0), REVERSE(1), RANDOM(2);

    private final long code;

    Order(long code) {
      this.code = code;
    }
  }

  /// How unkind the machine is. The mechanisms that are late land as late as the rules allow, the others at
  /// once.
  ///
  /// @param order of threads and blocks
  /// @param lateMechanisms bits: 1 cp.async, 2 TMA, 4 wgmma
  record Schedule(Order order, int lateMechanisms) {
    static final int LATE_COPIES = 1;
    static final int LATE_TENSOR_COPIES = 2;
    static final int LATE_WGMMA = 4;
  }

  private static final Path LIBRARY = Path.of(System.getProperty("espalier.kernels.emulator", ""));
  /// AddressSanitizer has its own zones around an allocation, and sees what reads them too.
  private static final int GUARD = LIBRARY.toString().contains("emulator-address") ? 0 : 256;
  private static final int ERROR_BYTES = 2048;
  private static final int ALIGNMENT = 256;

  private final Arena arena = Arena.ofConfined();
  private final List<MemorySegment> reserved = new ArrayList<>();
  private final MethodHandle launch;
  private final MethodHandle parameterBytes;
  private final MethodHandle set;
  private final MethodHandle tensorMap;
  private final MethodHandle reserve;
  private final MethodHandle release;
  private final int computeCapability;

  private EmulatedGpu(int computeCapability) {
    this.computeCapability = computeCapability;
    SymbolLookup library = SymbolLookup.libraryLookup(LIBRARY, Arena.global());
    launch = handle(library, "simt_launch", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, JAVA_INT,
        JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG));
    parameterBytes = handle(library, "simt_parameter_bytes", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    set = handle(library, "simt_set", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
    tensorMap = handle(library, "simt_tensor_map",
        FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT));
    reserve = handle(library, "simt_reserve", FunctionDescriptor.of(ADDRESS, JAVA_LONG));
    release = handle(library, "simt_release", FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG));
  }

  private static MethodHandle handle(SymbolLookup library, String name, FunctionDescriptor descriptor) {
    return Linker.nativeLinker().downcallHandle(library.find(name).orElseThrow(), descriptor);
  }

  /// As [#open(int)], on any compute capability's kernels.
  static EmulatedGpu open() {
    return open(90);
  }

  /// A GPU that runs threads forward and lets copies land at once; the test is skipped where it was
  /// not built.
  static EmulatedGpu open(int computeCapability) {
    assumeTrue(Files.exists(LIBRARY), "no g++ when this was built: kernels cannot run on the CPU");
    EmulatedGpu gpu = new EmulatedGpu(computeCapability);
    gpu.schedule(new Schedule(Order.FORWARD, 0));
    gpu.set("last_blocks", 0);
    return gpu;
  }

  void schedule(Schedule schedule) {
    set("schedule", schedule.order().code);
    set("late", schedule.lateMechanisms());
  }

  /// From here on only the last `blocks` of each grid run.
  void runLastBlocks(int blocks) {
    set("last_blocks", blocks);
  }

  private void set(String key, long value) {
    try {
      int rc = (int) set.invokeExact(arena.allocateFrom(key), value);
      assertEquals(0, rc);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public int computeCapability() {
    return computeCapability;
  }

  @Override
  public int multiprocessors() {
    return 4;
  }

  @Override
  public int sharedMemory() {
    return sharedMemory(computeCapability);
  }

  /// Whether the library has a kernel.
  boolean has(String kernel) {
    try (Arena call = Arena.ofConfined()) {
      return (int) parameterBytes.invokeExact(call.allocateFrom(kernel), 0) > 0;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /// A matrix of zeros of any size, which takes memory only where it is touched. No guard zones.
  DeviceMatrix sparse(int rows, int columns) {
    long bytes = (long) rows * columns * Float.BYTES;
    try {
      MemorySegment map = (MemorySegment) reserve.invokeExact(bytes);
      assumeTrue(map.address() != 0, "no address space for %d bytes".formatted(bytes));
      reserved.add(map.reinterpret(bytes));
      return new DeviceMatrix(map.address(), rows, columns);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  @Override
  long allocate(long bytes) {
    return arena.allocate(bytes, ALIGNMENT).address();
  }

  @Override
  void fill(long address, long bytes, byte value) {
    memory(address, bytes).fill(value);
  }

  @Override
  void copyIn(MemorySegment from, long to) {
    memory(to, from.byteSize()).copyFrom(from);
  }

  @Override
  void copyOut(List<Zone> from, MemorySegment to) {
    long at = 0;
    for (Zone zone : from) {
      to.asSlice(at, zone.bytes()).copyFrom(memory(zone.address(), zone.bytes()));
      at += zone.bytes();
    }
  }

  @Override
  int guard() {
    return GUARD;
  }

  private static MemorySegment memory(long address, long bytes) {
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  @Override
  public void launch(Launch launch) {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment name = call.allocateFrom(launch.kernel());
      List<Argument> arguments = launch.arguments();
      MemorySegment pointers = call.allocate(ADDRESS, arguments.size());
      for (int i = 0; i < arguments.size(); i++) {
        MemorySegment value = encode(arguments.get(i), call);
        int expected = (int) parameterBytes.invokeExact(name, i);
        if (expected != value.byteSize()) {
          throw new KernelException(launch,
              "argument %d has %d bytes, the kernel's parameter %d".formatted(i, value.byteSize(), expected));
        }
        pointers.setAtIndex(ADDRESS, i, value);
      }
      int more = (int) parameterBytes.invokeExact(name, arguments.size());
      if (more != 0) {
        throw new KernelException(launch, "too few arguments, or no such kernel");
      }
      MemorySegment error = call.allocate(ERROR_BYTES);
      Dimensions grid = launch.grid();
      Dimensions block = launch.block();
      int rc = (int) this.launch.invokeExact(name, grid.x(), grid.y(), grid.z(), block.x(), block.y(), block.z(),
          (long) launch.sharedBytes(), pointers, error, (long) ERROR_BYTES);
      if (rc != 0) {
        throw new KernelException(launch, error.getString(0));
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private MemorySegment encode(Argument argument, Arena call) throws Throwable {
    return switch (argument) {
      case Argument.Address(long value) -> call.allocateFrom(JAVA_LONG, value);
      case Argument.Int32(int value) -> call.allocateFrom(JAVA_INT, value);
      case Argument.Int64(long value) -> call.allocateFrom(JAVA_LONG, value);
      case Argument.Float32(float value) -> call.allocateFrom(ValueLayout.JAVA_FLOAT, value);
      case Argument.Float64(double value) -> call.allocateFrom(ValueLayout.JAVA_DOUBLE, value);
      case Argument.TensorMap(DeviceMatrix matrix, long stride, int boxRows) -> {
        MemorySegment map = call.allocate(Argument.TensorMap.BYTES, 64);
        int rc = (int) tensorMap.invokeExact(map, MemorySegment.ofAddress(matrix.address()), (long) matrix.columns(),
            (long) matrix.rows(), stride * Float.BYTES, Argument.TensorMap.BOX_COLUMNS, boxRows);
        assertEquals(0, rc);
        yield map;
      }
    };
  }

  @Override
  void free() {
    try {
      for (MemorySegment map : reserved) {
        release.invokeExact(map, map.byteSize());
      }
    } catch (Throwable e) {
      throw new AssertionError(e);
    } finally {
      arena.close();
    }
  }
}
