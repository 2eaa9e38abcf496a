package dev.espalier.bindings;

import static dev.espalier.bindings.cuda.cuda_h.CUDA_SUCCESS;
import static dev.espalier.bindings.cuda.cuda_h.CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
import static dev.espalier.bindings.cuda.cuda_h.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
import static dev.espalier.bindings.cuda.cuda_h.CU_TENSOR_MAP_INTERLEAVE_NONE;
import static dev.espalier.bindings.cuda.cuda_h.CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
import static dev.espalier.bindings.cuda.cuda_h.CU_TENSOR_MAP_SWIZZLE_128B;
import static dev.espalier.bindings.cuda.cuda_h.cuTensorMapEncodeTiled;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.espalier.bindings.cuda.CUtensorMap_st;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// A float32 matrix in device memory, of which the copy engine of compute capability 9.0 and later moves boxes,
/// swizzled by 128 bytes; elements outside the matrix read as 0. JCuda lacks the call that encodes it.
///
/// @param address    of the first element, a multiple of 16
/// @param stride     elements from one row to the next, a multiple of 4
/// @param boxRows    1 to 256
/// @param boxColumns at most 32, 128 bytes
public record TensorMap(long address, long rows, long columns, long stride, int boxRows, int boxColumns) {
  /// Of an encoded map.
  private static final int ALIGNMENT = 64;

  /// The map as a kernel takes it, 128 bytes in memory of `arena`. Needs the driver (see [CudaDriver#probe]).
  ///
  /// @throws NativeCallException if the driver refuses the map
  public MemorySegment encode(Arena arena) {
    MemorySegment encoded = arena.allocate(CUtensorMap_st.sizeof(), ALIGNMENT);
    try (Arena call = Arena.ofConfined()) {
      MemorySegment size = call.allocateFrom(JAVA_LONG, columns, rows);
      MemorySegment strides = call.allocateFrom(JAVA_LONG, stride * Float.BYTES);
      MemorySegment box = call.allocateFrom(JAVA_INT, boxColumns, boxRows);
      MemorySegment steps = call.allocateFrom(JAVA_INT, 1, 1);
      int status = cuTensorMapEncodeTiled(encoded, CU_TENSOR_MAP_DATA_TYPE_FLOAT32(), 2,
          MemorySegment.ofAddress(address), size, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE(),
          CU_TENSOR_MAP_SWIZZLE_128B(), CU_TENSOR_MAP_L2_PROMOTION_L2_256B(), CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE());
      if (status != CUDA_SUCCESS()) {
        throw new NativeCallException("cuTensorMapEncodeTiled", status, "", toString());
      }
    }
    return encoded;
  }
}
