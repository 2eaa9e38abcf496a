package dev.espalier.kernels;

import static jcuda.driver.JCudaDriver.cuCtxGetDevice;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuFuncSetAttribute;
import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;

import dev.espalier.bindings.TensorMap;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import jcuda.CudaException;
import jcuda.Pointer;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/// An NVIDIA GPU by JCuda's driver API: loads the kernels into the CUDA context that is current, and launches
/// them into one stream. Used by the threads that hold this context, one at a time.
public final class CudaGpu implements Gpu, AutoCloseable {
  private static final int MOST_ARGUMENTS = 16;
  private static final int ARGUMENT_SLOT = 64;

  private final CUstream stream;
  private final int computeCapability;
  private final int multiprocessors;
  private final Map<String, CUmodule> modules = new HashMap<>();
  private final Map<String, CUfunction> functions = new HashMap<>();
  /// An argument a slot, tensor maps two; the driver copies them before the launch returns.
  private final ByteBuffer slots = ByteBuffer.allocateDirect((MOST_ARGUMENTS + 2) * ARGUMENT_SLOT)
      .alignedSlice(ARGUMENT_SLOT).order(ByteOrder.nativeOrder());

  /// For the context that is current on this thread.
  ///
  /// @param stream that the kernels run in
  /// @throws IllegalStateException if the build had no nvcc
  public CudaGpu(CUstream stream) {
    if (!isBuilt()) {
      throw new IllegalStateException(
          "this build of espalier has no GPU kernels: install CUDA's nvcc and build it again");
    }
    JCudaDriver.setExceptionsEnabled(true);
    this.stream = stream;
    CUdevice device = new CUdevice();
    cuCtxGetDevice(device);
    computeCapability = 10
        * attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
        + attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    multiprocessors = attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  }

  private static int attribute(CUdevice device, int attribute) {
    int[] value = new int[1];
    cuDeviceGetAttribute(value, attribute, device);
    return value[0];
  }

  /// Whether the build had nvcc and so made GPU kernels.
  public static boolean isBuilt() {
    return CudaGpu.class.getResource("dual_moments.fatbin") != null;
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
  public void launch(Launch launch) {
    if (launch.arguments().size() > MOST_ARGUMENTS) {
      throw new KernelException(launch, launch.arguments().size() + " arguments");
    }
    try {
      CUfunction function = functions.computeIfAbsent(launch.kernel(), _ -> load(launch));
      Dimensions grid = launch.grid();
      Dimensions block = launch.block();
      cuLaunchKernel(function, grid.x(), grid.y(), grid.z(), block.x(), block.y(), block.z(),
          launch.sharedBytes(),
          stream, encode(launch.arguments()), null);
    } catch (CudaException e) {
      KernelException failure = new KernelException(launch, e.getMessage());
      failure.initCause(e);
      throw failure;
    }
  }

  private CUfunction load(Launch launch) {
    CUfunction function = new CUfunction();
    cuModuleGetFunction(function, modules.computeIfAbsent(launch.family(), CudaGpu::loadModule),
        launch.kernel());
    if (launch.sharedBytes() > 0) {
      cuFuncSetAttribute(function, CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
          launch.sharedBytes());
    }
    return function;
  }

  private static CUmodule loadModule(String family) {
    try (InputStream fatbin = Optional.ofNullable(CudaGpu.class.getResourceAsStream(family + ".fatbin"))
        .orElseThrow(() -> new IllegalStateException("no kernels of the family " + family))) {
      CUmodule module = new CUmodule();
      cuModuleLoadData(module, fatbin.readAllBytes());
      return module;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// An array of pointers to the arguments, as the driver wants it.
  private Pointer encode(List<Argument> arguments) {
    Pointer[] pointers = new Pointer[arguments.size()];
    int at = 0;
    for (int i = 0; i < pointers.length; i++) {
      pointers[i] = Pointer.toBuffer(slots).withByteOffset(at);
      switch (arguments.get(i)) {
        case Argument.Address(long value) -> slots.putLong(at, value);
        case Argument.Int32(int value) -> slots.putInt(at, value);
        case Argument.Int64(long value) -> slots.putLong(at, value);
        case Argument.Float32(float value) -> slots.putFloat(at, value);
        case Argument.Float64(double value) -> slots.putDouble(at, value);
        case Argument.TensorMap map -> {
          encode(map, at);
          at += ARGUMENT_SLOT;
        }
      }
      at += ARGUMENT_SLOT;
    }
    return Pointer.to(pointers);
  }

  private void encode(Argument.TensorMap map, int at) {
    DeviceMatrix matrix = map.matrix();
    TensorMap tensorMap = new TensorMap(matrix.address(), matrix.rows(), matrix.columns(), map.stride(),
        map.boxRows(), Argument.TensorMap.BOX_COLUMNS);
    try (Arena arena = Arena.ofConfined()) {
      slots.put(at, tensorMap.encode(arena).asByteBuffer(), 0, Argument.TensorMap.BYTES);
    }
  }

  /// Unloads the kernels; the work in the stream must be done.
  @Override
  public void close() {
    functions.clear();
    modules.values().forEach(JCudaDriver::cuModuleUnload);
    modules.clear();
  }
}
