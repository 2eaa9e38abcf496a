package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import dev.espalier.bindings.ClusterLaunch;
import dev.espalier.bindings.ClusterLaunch.Extent;
import dev.espalier.bindings.KernelLaunch;
import dev.espalier.bindings.MathMode;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.kernels.CublasProducts;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver.HostMemory;
import dev.espalier.kernels.Driver.Stream;
import dev.espalier.kernels.JCudaLoader;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.UpdatesKernel;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/// Times on the host what a call that does next to nothing, a launch and a product of cuBLAS cost, by JCuda and by FFM, and
/// what copies to a GPU reach, from memory of each kind.
public final class GpuOverhead {
  /// How much is timed.
  ///
  /// @param launches that are started before one synchronisation: fewer than the driver queues
  /// @param bytes of copies
  record Sizes(int launches, List<Integer> bytes, int warmUps, int repeats) {
    static final Sizes FULL = new Sizes(500, List.of(1 << 16, 1 << 20, 1 << 25, 1 << 30), 40, 31);
    /// To see that all of it runs; the longer copy takes several turns of the double buffers.
    static final Sizes TINY = new Sizes(3, List.of(4096, 70_000_000), 1, 3);
  }

  private static final String KERNEL = "axpy_1024";
  /// Empty calls in the place of a launch.
  private static final int CALLS = 200;
  private static final Extent ONE = new Extent(1, 1, 1);
  private static final Extent BLOCK = new Extent(256, 1, 1);

  private final CudaGpu gpu;
  private final Sizes sizes;
  private final PrintStream out;

  /// Of y += x / 2.
  private record Operands(DeviceMatrix x, DeviceMatrix y) {}

  /// A handle whose value FFM needs.
  private static final class OwnFunction extends CUfunction {
    long address() {
      return getNativePointer();
    }
  }

  /// A handle whose value FFM needs.
  private static final class OwnStream extends CUstream {
    long address() {
      return getNativePointer();
    }
  }

  /// An address in host memory as JCuda wants it.
  private static final class HostAddress extends Pointer {
    HostAddress(MemorySegment segment) {
      super(segment.address());
    }
  }

  /// An address in device memory as JCuda wants it.
  private static final class Address extends CUdeviceptr {
    Address(long value) {
      super(new CUdeviceptr(), value);
    }
  }

  GpuOverhead(CudaGpu gpu, Sizes sizes, PrintStream out) {
    this.gpu = gpu;
    this.sizes = sizes;
    this.out = out;
  }

  /// @param args `--tiny` to see that all of it runs, in seconds
  public static void main(String[] args) throws IOException {
    String problem = JCudaLoader.problem().orElse(
        CudaGpu.isBuilt() ? "" : "this build has no GPU kernels: build it again with CUDA's nvcc, 12.8 or later");
    if (!problem.isEmpty()) {
      System.err.println("GpuOverhead: no GPU to measure: " + problem);
      System.exit(1);
    }
    Sizes sizes = List.of(args).contains("--tiny") ? Sizes.TINY : Sizes.FULL;
    try (GpuWatch _ = GpuWatch.begin(); CudaGpu gpu = new CudaGpu(0)) {
      System.out.println(gpu.name());
      GpuOverhead overhead = new GpuOverhead(gpu, sizes, System.out);
      overhead.calls();
      overhead.launches();
      overhead.copies();
    }
  }

  // ---- calls ----

  /// A function of the driver that writes one number, by FFM.
  private static final class Ffm {
    @SuppressWarnings("restricted")
    static final MethodHandle VERSION = Linker.nativeLinker().downcallHandle(
        SymbolLookup.libraryLookup("libcuda.so.1", Arena.global()).findOrThrow("cuDriverGetVersion"),
        FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));

    static int version(MemorySegment version) {
      try {
        return (int) VERSION.invokeExact(version);
      } catch (Throwable e) {
        throw new IllegalStateException(e); // C throws nothing
      }
    }
  }

  private void calls() {
    out.printf("%n| empty call | time | spread |%n|---|---|---|%n");
    try (Arena arena = Arena.ofConfined()) {
      int[] byJni = new int[1];
      MemorySegment byFfm = arena.allocate(ValueLayout.JAVA_INT);
      calls("cuDriverGetVersion, JCuda (JNI)", () -> JCudaDriver.cuDriverGetVersion(byJni));
      calls("cuDriverGetVersion, FFM", () -> Ffm.version(byFfm));
      if (byJni[0] != byFfm.get(ValueLayout.JAVA_INT, 0)) {
        throw new IllegalStateException("the driver tells two versions");
      }
    }
  }

  private void calls(String name, Runnable call) {
    int count = CALLS * sizes.launches();
    double[] nanos = new double[sizes.repeats()];
    for (int run = -sizes.warmUps(); run < sizes.repeats(); run++) {
      long start = System.nanoTime();
      for (int i = 0; i < count; i++) {
        call.run();
      }
      if (run >= 0) {
        nanos[run] = (System.nanoTime() - start) / (double) count;
      }
    }
    Arrays.sort(nanos);
    out.printf(Locale.ROOT, "| %s | %.3g ns | %.3g–%.3g ns |%n", name, nanos[nanos.length / 2], nanos[0],
        nanos[nanos.length - 1]);
  }

  // ---- launches ----

  private void launches() throws IOException {
    OwnStream stream = new OwnStream();
    CUmodule module = new CUmodule();
    OwnFunction function = new OwnFunction();
    gpu.makeCurrent();
    JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING);
    JCudaDriver.cuModuleLoadData(module, fatbin());
    JCudaDriver.cuModuleGetFunction(function, module, KERNEL);
    out.printf("%n| launch of one block | started after | done after | spread |%n|---|---|---|---|%n");
    try (Arena arena = Arena.ofConfined(); Memory memory = new Memory(gpu)) {
      DeviceMatrix x = memory.matrix(1, BLOCK.x());
      DeviceMatrix y = memory.matrix(1, BLOCK.x());
      gpu.synchronize();
      MemorySegment[] arguments = {arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.5f),
          arena.allocateFrom(ValueLayout.JAVA_LONG, x.address()),
          arena.allocateFrom(ValueLayout.JAVA_LONG, y.address()),
          arena.allocateFrom(ValueLayout.JAVA_LONG, y.elements())};
      MemorySegment pointers = arena.allocate(ValueLayout.ADDRESS, arguments.length);
      for (int i = 0; i < arguments.length; i++) {
        pointers.setAtIndex(ValueLayout.ADDRESS, i, arguments[i]);
      }
      Pointer parameters = new HostAddress(pointers);
      Operands operands = new Operands(x, y);
      launches("cuLaunchKernel, JCuda", stream, operands,
          () -> JCudaDriver.cuLaunchKernel(function, 1, 1, 1, BLOCK.x(), 1, 1, 0, stream, parameters, null));
      KernelLaunch launch = new KernelLaunch(function.address(), ONE, BLOCK, 0, stream.address());
      launches("cuLaunchKernel, FFM", stream, operands, () -> launch.launch(pointers));
      if (gpu.computeCapability() >= 90) {
        ClusterLaunch cluster = new ClusterLaunch(function.address(), ONE, BLOCK, ONE, 0, stream.address());
        launches("cuLaunchKernelEx, FFM", stream, operands, () -> cluster.launch(arguments));
      }
      UpdatesKernel updates = new UpdatesKernel(gpu);
      launches("UpdatesKernel", null, operands, () -> updates.add(0.5, x, y));
      products(memory, operands);
    }
    JCudaDriver.cuModuleUnload(module);
    JCudaDriver.cuStreamDestroy(stream);
  }

  /// Of cuBLAS 12, JCublas multiplies float32 and the binding bfloat16; of others, the binding both.
  private void products(Memory memory, Operands operands) {
    Operands ones = new Operands(one(memory), new DeviceMatrix(operands.y().address(), 1, 1));
    MatrixBlock one = MatrixBlock.of(ones.x());
    MatrixBlock y = MatrixBlock.of(ones.y());
    for (MathMode mode : List.of(MathMode.FP32, MathMode.BF16)) {
      try (CublasProducts products = new CublasProducts(gpu, mode, memory.buffer(CublasProducts.WORKSPACE_BYTES, 0))) {
        String library = products.description().replaceFirst(", [^,]*$", "");
        launches("1×1 product in %s, %s".formatted(mode, library), null, ones,
            () -> products.multiply(0.5, one, false, one, false, 1, y));
      } catch (NativeLibraryException e) {
        out.printf("| 1×1 product in %s: %s | | | |%n", mode, e.getMessage());
      }
    }
  }

  /// On the class path, where the kernels' resources are in reach.
  private static byte[] fatbin() throws IOException {
    try (InputStream fatbin = Optional.ofNullable(CudaGpu.class.getResourceAsStream("updates.fatbin"))
        .orElseThrow(() -> new IOException("no updates.fatbin: start GpuOverhead on the class path"))) {
      return fatbin.readAllBytes();
    }
  }

  /// @param stream to wait for, null for those of the GPU
  private void launches(String name, CUstream stream, Operands operands, Runnable launch) {
    float before = first(operands.y());
    launch.run();
    wait(stream);
    Inputs.requireClose(name, new float[]{before + 0.5f * first(operands.x())}, new float[]{first(operands.y())},
        0x1p-20);
    double[] started = new double[sizes.repeats()];
    double[] done = new double[sizes.repeats()];
    for (int run = -sizes.warmUps(); run < sizes.repeats(); run++) {
      long start = System.nanoTime();
      for (int i = 0; i < sizes.launches(); i++) {
        launch.run();
      }
      long queued = System.nanoTime();
      wait(stream);
      if (run >= 0) {
        started[run] = (queued - start) * 1e-3 / sizes.launches();
        done[run] = (System.nanoTime() - start) * 1e-3 / sizes.launches();
      }
    }
    Arrays.sort(started);
    Arrays.sort(done);
    out.printf(Locale.ROOT, "| %s | %.3f µs | %.3f µs | %.3f–%.3f µs |%n", name, started[started.length / 2],
        done[done.length / 2], started[0], started[started.length - 1]);
  }

  private void wait(CUstream stream) {
    if (stream == null) {
      gpu.synchronize();
    } else {
      JCudaDriver.cuStreamSynchronize(stream);
    }
  }

  private DeviceMatrix one(Memory memory) {
    DeviceMatrix one = memory.matrix(1, 1);
    HostMemory host = gpu.allocateHost(Float.BYTES);
    host.segment().set(ValueLayout.JAVA_FLOAT, 0, 1);
    gpu.copyIn(host, 0, one.address(), Float.BYTES, Stream.COMPUTE);
    gpu.synchronize();
    gpu.free(host);
    return one;
  }

  private float first(DeviceMatrix matrix) {
    HostMemory host = gpu.allocateHost(Float.BYTES);
    gpu.copyOut(matrix.address(), host, 0, Float.BYTES, Stream.COMPUTE);
    gpu.synchronize();
    float first = host.segment().get(ValueLayout.JAVA_FLOAT, 0);
    gpu.free(host);
    return first;
  }

  // ---- copies ----

  private void copies() {
    out.printf("%n| bytes | from host memory that is | time | rate | spread |%n|---|---|---|---|---|%n");
    for (int bytes : sizes.bytes()) {
      try (Arena arena = Arena.ofShared(); Memory memory = new Memory(gpu)) {
        long target = memory.buffer(bytes, 0).address();
        HostMemory locked = gpu.allocateHost(bytes);
        locked.segment().fill((byte) 1);
        copies(bytes, "page-locked", () -> {
          gpu.copyIn(locked, 0, target, bytes, Stream.COPY);
          gpu.synchronize();
        });
        gpu.free(locked);
        MatrixView pageable = MatrixView.allocate(arena, 1, bytes / Float.BYTES);
        pageable.segment().fill((byte) 1);
        Pointer source = new HostAddress(pageable.segment());
        gpu.makeCurrent();
        copies(bytes, "pageable", () -> {
          JCudaDriver.cuMemcpyHtoD(new Address(target), source, bytes);
          gpu.synchronize();
        });
        doubleBuffers(bytes, pageable);
      }
    }
  }

  /// As the backend brings weights and labels: through two page-locked buffers, which the host fills. Samples are read into
  /// page-locked memory.
  private void doubleBuffers(int bytes, MatrixView source) {
    try (GpuBackend backend = Device.CUDA.openGpu(BackendOptions.DEFAULT);
        Matrix target = backend.allocate(1, source.columns())) {
      copies(bytes, "double buffers", () -> {
        backend.upload(source, target);
        backend.synchronize();
      });
    }
  }

  private void copies(int bytes, String name, Runnable copy) {
    double[] seconds = new double[sizes.repeats()];
    for (int run = -Math.min(sizes.warmUps(), 3); run < sizes.repeats(); run++) {
      long start = System.nanoTime();
      copy.run();
      if (run >= 0) {
        seconds[run] = (System.nanoTime() - start) * 1e-9;
      }
    }
    Arrays.sort(seconds);
    double median = seconds[seconds.length / 2];
    out.printf(Locale.ROOT, "| %d | %s | %.4g ms | %.4g GB/s | %.4g–%.4g GB/s |%n", bytes, name, median * 1e3,
        bytes / median * 1e-9, bytes / seconds[seconds.length - 1] * 1e-9, bytes / seconds[0] * 1e-9);
  }
}
