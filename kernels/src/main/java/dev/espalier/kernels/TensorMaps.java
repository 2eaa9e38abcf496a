package dev.espalier.kernels;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.espalier.bindings.CudaDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/// `cuTensorMapEncodeTiled`, which JCuda lacks, by FFM.
@SuppressWarnings("restricted") // calls native code
final class TensorMaps {
  // Of cuda.h.
  private static final int DATA_TYPE_FLOAT32 = 7;
  private static final int INTERLEAVE_NONE = 0;
  private static final int SWIZZLE_128B = 3;
  private static final int L2_PROMOTION_256B = 3;
  private static final int FILL_WITH_ZEROS = 0;
  private static final int ALIGNMENT = 128;

  private static final MethodHandle ENCODE = Linker.nativeLinker().downcallHandle(
      SymbolLookup.libraryLookup(CudaDriver.LIBRARY, Arena.global()).findOrThrow("cuTensorMapEncodeTiled"),
      FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS,
          ADDRESS,
          JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));

  private TensorMaps() {}

  /// The encoded map, in memory of `arena`.
  ///
  /// @throws IllegalArgumentException if the driver refuses it
  static MemorySegment encode(Argument.TensorMap map, Arena arena) {
    DeviceMatrix matrix = map.matrix();
    MemorySegment encoded = arena.allocate(Argument.TensorMap.BYTES, ALIGNMENT);
    MemorySegment size = arena.allocateFrom(JAVA_LONG, matrix.columns(), matrix.rows());
    MemorySegment stride = arena.allocateFrom(JAVA_LONG, map.stride() * Float.BYTES);
    MemorySegment box = arena.allocateFrom(JAVA_INT, Argument.TensorMap.BOX_COLUMNS, map.boxRows());
    MemorySegment step = arena.allocateFrom(JAVA_INT, 1, 1);
    int status;
    try {
      status = (int) ENCODE.invokeExact(encoded, DATA_TYPE_FLOAT32, 2,
          MemorySegment.ofAddress(matrix.address()), size,
          stride, box, step, INTERLEAVE_NONE, SWIZZLE_128B, L2_PROMOTION_256B, FILL_WITH_ZEROS);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
    if (status != 0) {
      throw new IllegalArgumentException("cuTensorMapEncodeTiled returns %d for %s".formatted(status, map));
    }
    return encoded;
  }
}
