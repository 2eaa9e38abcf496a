package dev.espalier.bindings;

import static dev.espalier.bindings.cuda.cuda_h.CUDA_SUCCESS;
import static dev.espalier.bindings.cuda.cuda_h.cuLaunchKernel;

import dev.espalier.bindings.ClusterLaunch.Extent;
import java.lang.foreign.MemorySegment;

/// The launch of a kernel by FFM, which a benchmark compares with JCuda's by JNI.
///
/// @param function    a `CUfunction`
/// @param grid        in blocks
/// @param block       in threads
/// @param sharedBytes dynamic shared memory of a block
/// @param stream      a `CUstream`, 0 for the default stream
public record KernelLaunch(long function, Extent grid, Extent block, int sharedBytes, long stream) {
  /// Launches into the context that is current on this thread. Needs the driver (see [CudaDriver#probe]).
  ///
  /// @param arguments of the kernel: a C array of pointers to them; they are copied before this returns
  /// @throws NativeCallException if the driver refuses the launch
  public void launch(MemorySegment arguments) {
    int status = cuLaunchKernel(MemorySegment.ofAddress(function), grid.x(), grid.y(), grid.z(), block.x(), block.y(),
        block.z(), sharedBytes, MemorySegment.ofAddress(stream), arguments, MemorySegment.NULL);
    if (status != CUDA_SUCCESS()) {
      throw new NativeCallException("cuLaunchKernel", status, "", toString());
    }
  }
}
