package dev.espalier.bindings;

import static dev.espalier.bindings.cuda.cuda_h.CUDA_SUCCESS;
import static dev.espalier.bindings.cuda.cuda_h.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
import static dev.espalier.bindings.cuda.cuda_h.cuLaunchKernelEx;
import static java.lang.foreign.ValueLayout.ADDRESS;

import dev.espalier.bindings.cuda.CUlaunchAttributeValue_union;
import dev.espalier.bindings.cuda.CUlaunchAttribute_st;
import dev.espalier.bindings.cuda.CUlaunchConfig_st;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// The launch of a kernel whose blocks form clusters, on compute capability 9.0 and later. JCuda lacks this call.
///
/// @param function    a `CUfunction`
/// @param grid        in blocks, a multiple of the cluster in each dimension
/// @param block       in threads
/// @param cluster     in blocks
/// @param sharedBytes dynamic shared memory of a block
/// @param stream      a `CUstream`, 0 for the default stream
public record ClusterLaunch(long function, Extent grid, Extent block, Extent cluster, int sharedBytes, long stream) {
  /// A size in three dimensions.
  public record Extent(int x, int y, int z) {}

  /// Launches into the context that is current on this thread. Needs the driver (see [CudaDriver#probe]).
  ///
  /// @param arguments of the kernel, each the value itself; they are copied before this returns
  /// @throws NativeCallException if the driver refuses the launch
  public void launch(MemorySegment... arguments) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment attribute = CUlaunchAttribute_st.allocate(arena);
      CUlaunchAttribute_st.id(attribute, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION());
      MemorySegment dimensions = CUlaunchAttributeValue_union.clusterDim(CUlaunchAttribute_st.value(attribute));
      CUlaunchAttributeValue_union.clusterDim.x(dimensions, cluster.x());
      CUlaunchAttributeValue_union.clusterDim.y(dimensions, cluster.y());
      CUlaunchAttributeValue_union.clusterDim.z(dimensions, cluster.z());
      MemorySegment pointers = arena.allocate(ADDRESS, arguments.length);
      for (int i = 0; i < arguments.length; i++) {
        pointers.setAtIndex(ADDRESS, i, arguments[i]);
      }
      int status = cuLaunchKernelEx(configuration(attribute, arena), MemorySegment.ofAddress(function), pointers,
          MemorySegment.NULL);
      if (status != CUDA_SUCCESS()) {
        throw new NativeCallException("cuLaunchKernelEx", status, "", toString());
      }
    }
  }

  private MemorySegment configuration(MemorySegment attribute, Arena arena) {
    MemorySegment configuration = CUlaunchConfig_st.allocate(arena);
    CUlaunchConfig_st.gridDimX(configuration, grid.x());
    CUlaunchConfig_st.gridDimY(configuration, grid.y());
    CUlaunchConfig_st.gridDimZ(configuration, grid.z());
    CUlaunchConfig_st.blockDimX(configuration, block.x());
    CUlaunchConfig_st.blockDimY(configuration, block.y());
    CUlaunchConfig_st.blockDimZ(configuration, block.z());
    CUlaunchConfig_st.sharedMemBytes(configuration, sharedBytes);
    CUlaunchConfig_st.hStream(configuration, MemorySegment.ofAddress(stream));
    CUlaunchConfig_st.attrs(configuration, attribute);
    CUlaunchConfig_st.numAttrs(configuration, 1);
    return configuration;
  }
}
