package dev.espalier.kernels;

import dev.espalier.bindings.MemoryPool;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.TensorMap;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.SoftReference;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import jcuda.CudaException;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/// An NVIDIA GPU by JCuda's driver API, in the device's primary context, which every call makes current on the calling
/// thread and leaves so. Memory comes from the device's stream-ordered pool, which keeps freed memory until this is
/// closed. Every failure of the driver, of JCuda or of a kernel is a [GpuException].
public final class CudaGpu implements Driver {
  private static final int MOST_ARGUMENTS = 16;
  /// A tensor map is the largest argument, and aligned the most.
  private static final int ARGUMENT_SLOT = Argument.TensorMap.BYTES;
  private static final int PAGE = 4096;
  /// The oldest compute capability that kernels are built for.
  private static final int OLDEST = 80;
  /// By family: megabytes that each device would unpack again.
  private static final Map<String, SoftReference<byte[]>> FATBINS = new ConcurrentHashMap<>();

  private final Arena arena = Arena.ofShared(); // any thread may close this
  /// What gives back each thing that was acquired, the last first.
  private final Deque<Runnable> releases = new ArrayDeque<>();
  private final CUdevice device = new CUdevice();
  private final CUcontext context = new CUcontext();
  private final MemoryPool pool;
  private final Map<Stream, OwnStream> streams = new EnumMap<>(Stream.class);
  private final Map<String, CUmodule> modules = new HashMap<>();
  private final Map<String, CUfunction> functions = new HashMap<>();
  private final Map<Long, OwnMemory> hostMemory = new HashMap<>();
  private final String name;
  private final int computeCapability;
  private final int multiprocessors;
  private final int sharedMemory;
  private final long totalMemory;
  /// An argument a slot, which the driver copies before a launch returns, and the addresses of the slots.
  private final MemorySegment slots = arena.allocate((long) MOST_ARGUMENTS * ARGUMENT_SLOT, ARGUMENT_SLOT);
  private final Pointer parameters;

  /// A handle whose value other libraries need.
  private static final class OwnStream extends CUstream {
    long address() {
      return getNativePointer();
    }
  }

  /// An address in host memory as JCuda wants it.
  private static final class HostAddress extends Pointer {
    HostAddress(long value) {
      super(value);
    }
  }

  /// An address in device memory as JCuda wants it.
  private static final class Address extends CUdeviceptr {
    Address() {}

    Address(long value) {
      super(new CUdeviceptr(), value);
    }

    long value() {
      return getNativePointer() + getByteOffset();
    }
  }

  private record CudaEvent(CudaGpu gpu, CUevent handle) implements Event {
    @Override
    public void close() {
      gpu.giveBack(() -> JCudaDriver.cuEventDestroy(handle));
    }
  }

  private record CudaGraph(CudaGpu gpu, CUgraphExec handle) implements Graph {
    @Override
    public void close() {
      try {
        gpu.synchronize();
      } finally {
        gpu.giveBack(() -> JCudaDriver.cuGraphExecDestroy(handle));
      }
    }
  }

  private interface Call {
    int run();
  }

  /// Opens a device.
  ///
  /// @param ordinal of the device, from 0, among those that CUDA shows this process
  /// @throws GpuUnavailableException if there is no such device, the build had no nvcc, or a small kernel does not run, as
  ///                                 on a chip or driver that is too old; the message says what to do
  /// @throws GpuException if the driver fails
  public CudaGpu(int ordinal) {
    releases.push(arena::close);
    try {
      findDevice(ordinal);
      int driver = driverVersion();
      int major = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
      int minor = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
      computeCapability = 10 * major + minor;
      multiprocessors = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
      sharedMemory = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
      name = "%s, compute capability %d.%d".formatted(deviceName(), major, minor);
      if (computeCapability < OLDEST) {
        throw new GpuUnavailableException("%s is too old: the kernels need compute capability %d.%d or later"
            .formatted(name, OLDEST / 10, OLDEST % 10));
      }
      translated(() -> JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
      releases.push(() -> translated(() -> JCudaDriver.cuDevicePrimaryCtxRelease(device)));
      pool = openPool(ordinal);
      for (Stream stream : Stream.values()) {
        streams.put(stream, openStream());
      }
      totalMemory = memory()[1];
      MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, MOST_ARGUMENTS);
      for (int i = 0; i < MOST_ARGUMENTS; i++) {
        addresses.setAtIndex(ValueLayout.JAVA_LONG, i, slots.address() + (long) i * ARGUMENT_SLOT);
      }
      parameters = new HostAddress(addresses.address());
      requireThatKernelsRun(driver);
    } catch (RuntimeException | Error e) {
      release().ifPresent(e::addSuppressed);
      throw e;
    }
  }

  private static void requireJCudaAndKernels() {
    JCudaLoader.problem().ifPresent(problem -> {
      throw new GpuUnavailableException(problem);
    });
    if (!isBuilt()) {
      throw new GpuUnavailableException(
          "this build of espalier has no GPU kernels: install CUDA's nvcc, 12.8 or later, and build it again");
    }
  }

  /// How many devices CUDA shows this process.
  ///
  /// @throws GpuUnavailableException if there is no driver, or the build had no nvcc; the message says what to do
  /// @throws GpuException if the driver fails
  public static int count() {
    requireJCudaAndKernels();
    translated(() -> JCudaDriver.cuInit(0));
    int[] count = new int[1];
    translated(() -> JCudaDriver.cuDeviceGetCount(count));
    return count[0];
  }

  private void findDevice(int ordinal) {
    int count = count();
    if (ordinal < 0 || ordinal >= count) {
      throw new GpuUnavailableException(
          "there is no GPU %d: this process sees %d, numbered from 0".formatted(ordinal, count));
    }
    translated(() -> JCudaDriver.cuDeviceGet(device, ordinal));
  }

  /// Runs a kernel and looks at what it wrote. Otherwise a chip or driver that cannot run the kernels of this build would
  /// fail in the middle of a run.
  private void requireThatKernelsRun(int driver) {
    long address = allocate(PAGE);
    try {
      DeviceMatrix numbers = new DeviceMatrix(address, 1, PAGE / Float.BYTES);
      fill(address, PAGE, (byte) 0x3f);
      new UpdatesKernel(this).add(1, numbers, numbers);
      synchronize();
      if (!areAll(numbers, 2 * Float.intBitsToFloat(0x3f3f3f3f))) {
        throw new GpuException("a kernel wrote wrong numbers");
      }
    } catch (GpuException e) {
      GpuException failure = new GpuUnavailableException(
          "%s does not run the kernels of this build (%s): %s".formatted(name, e.getMessage(), remedy(driver)), e);
      throw undone(failure, () -> free(address));
    }
    free(address);
  }

  private boolean areAll(DeviceMatrix numbers, float value) {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment copy = call.allocate(numbers.bytes(), Float.BYTES);
      call(() -> JCudaDriver.cuMemcpyDtoH(new HostAddress(copy.address()), new Address(numbers.address()),
          numbers.bytes()));
      for (int i = 0; i < numbers.columns(); i++) {
        if (copy.getAtIndex(ValueLayout.JAVA_FLOAT, i) != value) {
          return false;
        }
      }
      return true;
    }
  }

  private static String remedy(int driver) {
    int built = builtForCuda();
    return driver < built
        ? "they need a driver for CUDA %s or later, this one is for CUDA %s".formatted(cuda(built), cuda(driver))
        : "see whether other programs run on this GPU";
  }

  private static String cuda(int version) {
    return "%d.%d".formatted(version / 1000, version % 1000 / 10);
  }

  /// The CUDA version of the nvcc that built the kernels, as the driver gives its own: 13000 is 13.0.
  private static int builtForCuda() {
    return Integer.parseInt(new String(resource("cuda.version"), StandardCharsets.UTF_8).strip());
  }

  /// The CUDA version that the driver is for: 13000 is 13.0.
  private static int driverVersion() {
    int[] version = new int[1];
    translated(() -> JCudaDriver.cuDriverGetVersion(version));
    return version[0];
  }

  private MemoryPool openPool(int ordinal) {
    MemoryPool opened = translated(() -> MemoryPool.open(ordinal));
    releases.push(() -> translated(() -> {
      opened.close();
      return null;
    }));
    return opened;
  }

  private OwnStream openStream() {
    OwnStream stream = new OwnStream();
    call(() -> JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
    releases.push(() -> giveBack(() -> JCudaDriver.cuStreamDestroy(stream)));
    return stream;
  }

  private int attribute(int attribute) {
    int[] value = new int[1];
    translated(() -> JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
    return value[0];
  }

  private String deviceName() {
    byte[] text = new byte[256];
    translated(() -> JCudaDriver.cuDeviceGetName(text, text.length, device));
    int end = 0;
    while (text[end] != 0) {
      end++;
    }
    return new String(text, 0, end, StandardCharsets.UTF_8);
  }

  /// Whether the build had nvcc and so made GPU kernels.
  public static boolean isBuilt() {
    return CudaGpu.class.getResource("dual_moments.fatbin") != null;
  }

  /// Makes the device's context current on the calling thread, for other libraries.
  public void makeCurrent() {
    translated(() -> JCudaDriver.cuCtxSetCurrent(context));
  }

  /// Calls the driver in this device's context.
  ///
  /// @throws GpuException if the call fails, or work before it did
  private void call(Call function) {
    makeCurrent();
    translated(function::run);
  }

  /// As [#call], for a function that gives something back: it is called in any case.
  private void giveBack(Call function) {
    try {
      makeCurrent();
    } finally {
      translated(function::run);
    }
  }

  /// A failure, after what was done before it is undone.
  private static GpuException undone(GpuException failure, Runnable undo) {
    try {
      undo.run();
    } catch (GpuException second) {
      failure.addSuppressed(second);
    }
    return failure;
  }

  /// Calls JCuda or the bindings.
  ///
  /// @throws GpuException if the call fails, or work before it did
  private static <T> T translated(Supplier<T> function) {
    try {
      return function.get();
    } catch (CudaException | NativeCallException e) {
      throw new GpuException("the GPU failed: " + e.getMessage(), e);
    } catch (LinkageError e) {
      throw new GpuUnavailableException("NVIDIA's driver or JCuda lacks a function: " + e.getMessage(), e);
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public int computeCapability() {
    return computeCapability;
  }

  @Override
  public int multiprocessors() {
    return multiprocessors;
  }

  @Override
  public int sharedMemory() {
    return sharedMemory;
  }

  /// An address in device memory as JCuda wants it.
  static Pointer pointer(long address) {
    return new Address(address);
  }

  /// The stream of kernels.
  CUstream stream() {
    return streams.get(Stream.COMPUTE);
  }

  /// The CUstream of kernels, for other libraries.
  public long computeStream() {
    return streams.get(Stream.COMPUTE).address();
  }

  // ---- memory ----

  private long[] memory() {
    long[] free = new long[1];
    long[] total = new long[1];
    call(() -> JCudaDriver.cuMemGetInfo(free, total));
    return new long[]{free[0], total[0]};
  }

  @Override
  public long freeMemory() {
    return memory()[0] + translated(pool::unused);
  }

  @Override
  public long totalMemory() {
    return totalMemory;
  }

  @Override
  public long allocate(long bytes) {
    Address address = new Address();
    try {
      call(() -> JCudaDriver.cuMemAllocAsync(address, bytes, streams.get(Stream.COMPUTE)));
    } catch (GpuException e) {
      throw isOutOfMemory(e) ? outOfMemory("%d bytes of GPU memory; %d are free".formatted(bytes, freeMemory()), e) : e;
    }
    return address.value();
  }

  @Override
  public void free(long address) {
    giveBack(() -> JCudaDriver.cuMemFreeAsync(new Address(address), streams.get(Stream.COMPUTE)));
  }

  @Override
  public HostMemory allocateHost(long bytes) {
    OwnMemory own;
    try {
      own = new OwnMemory(bytes, PAGE);
    } catch (OutOfMemoryError e) {
      throw outOfMemory("%d bytes of host memory".formatted(bytes), e);
    }
    Pointer pages = new HostAddress(own.segment().address());
    Address seen = new Address();
    try {
      call(() -> JCudaDriver.cuMemHostRegister(pages, bytes,
          JCudaDriver.CU_MEMHOSTREGISTER_PORTABLE | JCudaDriver.CU_MEMHOSTREGISTER_DEVICEMAP));
    } catch (GpuException e) {
      own.free();
      throw outOfMemory("%d bytes of page-locked host memory".formatted(bytes), e);
    }
    try {
      call(() -> JCudaDriver.cuMemHostGetDevicePointer(seen, pages, 0));
    } catch (GpuException e) {
      throw undone(e, () -> {
        giveBack(() -> JCudaDriver.cuMemHostUnregister(pages)); // if this fails, they stay locked, so they must stay
        own.free();
      });
    }
    hostMemory.put(own.segment().address(), own);
    return new HostMemory(own.segment(), seen.value());
  }

  private static boolean isOutOfMemory(GpuException e) {
    return e.getMessage().contains(CUresult.stringFor(CUresult.CUDA_ERROR_OUT_OF_MEMORY));
  }

  private static DeviceMemoryException outOfMemory(String wanted, Throwable cause) {
    return new DeviceMemoryException("no room for %s (%s)".formatted(wanted, cause.getMessage()), cause);
  }

  @Override
  public void free(HostMemory memory) {
    long address = memory.segment().address();
    giveBack(() -> JCudaDriver.cuMemHostUnregister(new HostAddress(address)));
    hostMemory.remove(address).free();
  }

  @Override
  public void fill(long address, long bytes, byte value) {
    call(() -> JCudaDriver.cuMemsetD8Async(new Address(address), value, bytes, streams.get(Stream.COMPUTE)));
  }

  @Override
  public void copy(long from, long to, long bytes) {
    call(() -> JCudaDriver.cuMemcpyAsync(new Address(to), new Address(from), bytes, streams.get(Stream.COMPUTE)));
  }

  @Override
  public void copyIn(HostMemory from, long offset, long to, long bytes, Stream stream) {
    Pointer source = new HostAddress(from.segment().asSlice(offset, bytes).address());
    call(() -> JCudaDriver.cuMemcpyHtoDAsync(new Address(to), source, bytes, streams.get(stream)));
  }

  @Override
  public void copyOut(long from, HostMemory to, long offset, long bytes, Stream stream) {
    Pointer target = new HostAddress(to.segment().asSlice(offset, bytes).address());
    call(() -> JCudaDriver.cuMemcpyDtoHAsync(target, new Address(from), bytes, streams.get(stream)));
  }

  // ---- order ----

  @Override
  public Event event() {
    CUevent handle = new CUevent();
    call(() -> JCudaDriver.cuEventCreate(handle, 0));
    return new CudaEvent(this, handle);
  }

  @Override
  public void record(Event event, Stream stream) {
    call(() -> JCudaDriver.cuEventRecord(handle(event), streams.get(stream)));
  }

  @Override
  public void await(Event event, Stream stream) {
    call(() -> JCudaDriver.cuStreamWaitEvent(streams.get(stream), handle(event), 0));
  }

  @Override
  public void synchronize(Event event) {
    call(() -> JCudaDriver.cuEventSynchronize(handle(event)));
  }

  @Override
  public double seconds(Event from, Event to) {
    float[] milliseconds = new float[1];
    call(() -> JCudaDriver.cuEventElapsedTime(milliseconds, handle(from), handle(to)));
    return milliseconds[0] * 1e-3;
  }

  private static CUevent handle(Event event) {
    return ((CudaEvent) event).handle();
  }

  @Override
  public void synchronize() {
    for (OwnStream stream : streams.values()) {
      call(() -> JCudaDriver.cuStreamSynchronize(stream));
    }
  }

  @Override
  public void beginRecording() {
    call(() -> JCudaDriver.cuStreamBeginCapture(streams.get(Stream.COMPUTE),
        CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  }

  @Override
  public Graph endRecording() {
    CUgraph graph = new CUgraph();
    // The context is current since #beginRecording.
    translated(() -> JCudaDriver.cuStreamEndCapture(streams.get(Stream.COMPUTE), graph));
    CudaGraph executable = new CudaGraph(this, new CUgraphExec());
    try {
      call(() -> JCudaDriver.cuGraphInstantiate(executable.handle(), graph, 0));
    } catch (GpuException e) {
      throw undone(e, () -> giveBack(() -> JCudaDriver.cuGraphDestroy(graph)));
    }
    try {
      giveBack(() -> JCudaDriver.cuGraphDestroy(graph));
    } catch (GpuException e) {
      throw undone(e, executable::close);
    }
    return executable;
  }

  @Override
  public void launch(Graph graph) {
    call(() -> JCudaDriver.cuGraphLaunch(((CudaGraph) graph).handle(), streams.get(Stream.COMPUTE)));
  }

  // ---- kernels ----

  @Override
  public void launch(Launch launch, Stream stream) {
    if (launch.arguments().size() > MOST_ARGUMENTS) {
      throw new KernelException(launch, launch.arguments().size() + " arguments");
    }
    try {
      JCudaDriver.cuCtxSetCurrent(context);
      CUfunction function = functions.computeIfAbsent(launch.kernel(), _ -> load(launch));
      encode(launch.arguments());
      Dimensions grid = launch.grid();
      Dimensions block = launch.block();
      JCudaDriver.cuLaunchKernel(function, grid.x(), grid.y(), grid.z(), block.x(), block.y(), block.z(),
          launch.sharedBytes(), streams.get(stream), parameters, null);
    } catch (CudaException | NativeCallException | LinkageError e) {
      throw new KernelException(launch, e);
    }
  }

  private CUfunction load(Launch launch) {
    CUfunction function = new CUfunction();
    JCudaDriver.cuModuleGetFunction(function, modules.computeIfAbsent(launch.family(), this::loadModule),
        launch.kernel());
    if (launch.sharedBytes() > 0) {
      JCudaDriver.cuFuncSetAttribute(function, CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
          launch.sharedBytes());
    }
    return function;
  }

  private CUmodule loadModule(String family) {
    CUmodule module = new CUmodule();
    JCudaDriver.cuModuleLoadData(module, fatbin(family));
    releases.push(() -> giveBack(() -> JCudaDriver.cuModuleUnload(module)));
    return module;
  }

  private static byte[] fatbin(String family) {
    return Optional.ofNullable(FATBINS.get(family)).map(SoftReference::get).orElseGet(() -> {
      byte[] fatbin = resource(family + ".fatbin");
      FATBINS.put(family, new SoftReference<>(fatbin));
      return fatbin;
    });
  }

  /// What the build made of the kernels.
  private static byte[] resource(String file) {
    try (InputStream resource = Optional.ofNullable(CudaGpu.class.getResourceAsStream(file))
        .orElseThrow(() -> new GpuUnavailableException("this build of espalier lacks " + file))) {
      return resource.readAllBytes();
    } catch (IOException e) {
      throw new GpuUnavailableException("cannot read %s: %s".formatted(file, e.getMessage()), e);
    }
  }

  private void encode(List<Argument> arguments) {
    for (int i = 0; i < arguments.size(); i++) {
      long at = (long) i * ARGUMENT_SLOT;
      switch (arguments.get(i)) {
        case Argument.Address(long value) -> slots.set(ValueLayout.JAVA_LONG, at, value);
        case Argument.Int32(int value) -> slots.set(ValueLayout.JAVA_INT, at, value);
        case Argument.Int64(long value) -> slots.set(ValueLayout.JAVA_LONG, at, value);
        case Argument.Float32(float value) -> slots.set(ValueLayout.JAVA_FLOAT, at, value);
        case Argument.Float64(double value) -> slots.set(ValueLayout.JAVA_DOUBLE, at, value);
        case Argument.TensorMap map -> {
          DeviceMatrix matrix = map.matrix();
          TensorMap encoded = new TensorMap(matrix.address(), matrix.rows(), matrix.columns(), map.stride(),
              map.boxRows(), Argument.TensorMap.BOX_COLUMNS);
          try (Arena call = Arena.ofConfined()) {
            MemorySegment.copy(encoded.encode(call), 0, slots, at, Argument.TensorMap.BYTES);
          }
        }
      }
    }
  }

  /// Waits for all work and gives everything back but memory. May be called twice.
  ///
  /// @throws GpuException the first failure, with the later ones suppressed; everything else was given back
  @Override
  public void close() {
    if (releases.isEmpty()) {
      return;
    }
    releases.push(this::synchronize);
    release().ifPresent(failure -> {
      throw failure;
    });
  }

  /// Runs all releases.
  ///
  /// @return the first failure, with the later ones suppressed
  private Optional<GpuException> release() {
    GpuException first = null;
    while (!releases.isEmpty()) {
      try {
        releases.pop().run();
      } catch (GpuException e) {
        if (first == null) {
          first = e;
        } else {
          first.addSuppressed(e);
        }
      }
    }
    return Optional.ofNullable(first);
  }
}
