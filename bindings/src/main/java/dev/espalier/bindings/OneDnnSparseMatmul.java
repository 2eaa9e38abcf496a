package dev.espalier.bindings;

import static dev.espalier.bindings.OneDnn.check;
import static dev.espalier.bindings.OneDnn.created;
import static dev.espalier.bindings.onednn.onednn_h.C_POINTER;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DST;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_SRC;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_WEIGHTS;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_f32;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_execute;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.espalier.bindings.onednn.dnnl_exec_arg_t;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.List;

/// C = A·B in float32, with A in compressed rows and B and C row-major, in memory that stays the same: a call makes
/// nothing. One thread uses it at a time.
public final class OneDnnSparseMatmul implements AutoCloseable {
  private static final int S32 = 4; // dnnl_s32

  /// A matrix in compressed rows.
  ///
  /// @param values  float32
  /// @param columns of the values, int32, ascending within a row
  /// @param first   the number of the first value of each row, and that of all: rows + 1, int32
  public record Rows(int rows, int columns, MemorySegment values, MemorySegment columnIndices, MemorySegment first) {
    long count() {
      return values.byteSize() / Float.BYTES;
    }
  }

  private final Arena arena = Arena.ofShared();
  private final List<MemorySegment> descriptors;
  private final List<MemorySegment> memories;
  private final MemorySegment primitiveDescriptor;
  private final MemorySegment handle;
  private final MemorySegment bound;
  private boolean closed;

  /// Compiles the product. The memory must stay as long as this.
  ///
  /// @param b columns of A × `columns`
  /// @param c rows of A × `columns`
  public OneDnnSparseMatmul(Rows a, int columns, MemorySegment b, MemorySegment c) {
    MemorySegment sparse = Compressed.descriptor(a);
    MemorySegment second = Primitive.descriptor(dnnl_f32(), new long[]{a.columns(), columns}, new long[]{columns, 1});
    MemorySegment result = Primitive.descriptor(dnnl_f32(), new long[]{a.rows(), columns}, new long[]{columns, 1});
    descriptors = List.of(sparse, second, result);
    primitiveDescriptor = OneDnnMatmul.primitiveDescriptor(sparse, second, result, false);
    handle = created("dnnl_primitive_create", out -> dnnl_primitive_create(out, primitiveDescriptor));
    memories = List.of(Compressed.memory(sparse, a), dense(second, b), dense(result, c));
    int[] numbers = {DNNL_ARG_SRC(), DNNL_ARG_WEIGHTS(), DNNL_ARG_DST()};
    bound = dnnl_exec_arg_t.allocateArray(numbers.length, arena);
    for (int i = 0; i < numbers.length; i++) {
      MemorySegment slot = dnnl_exec_arg_t.asSlice(bound, i);
      dnnl_exec_arg_t.arg(slot, numbers[i]);
      dnnl_exec_arg_t.memory(slot, memories.get(i));
    }
  }

  /// Whether the library that was loaded has sparse matrices.
  public static boolean isAvailable() {
    return SymbolLookup.loaderLookup().find(Compressed.DESCRIPTOR_NAME).isPresent();
  }

  private static MemorySegment dense(MemorySegment descriptor, MemorySegment data) {
    return created("dnnl_memory_create", out -> dnnl_memory_create(out, descriptor, OneDnn.engine(), data));
  }

  /// The functions for sparse memory, which jextract has not bound.
  private static final class Compressed {
    private static final String DESCRIPTOR_NAME = "dnnl_memory_desc_create_with_csr_encoding";
    private static final MethodHandle DESCRIPTOR = function(DESCRIPTOR_NAME,
        FunctionDescriptor.of(JAVA_INT, C_POINTER, JAVA_INT, C_POINTER, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT));
    private static final MethodHandle MEMORY = function("dnnl_memory_create_v2",
        FunctionDescriptor.of(JAVA_INT, C_POINTER, C_POINTER, C_POINTER, JAVA_INT, C_POINTER));

    private static MethodHandle function(String name, FunctionDescriptor type) {
      return Linker.nativeLinker().downcallHandle(SymbolLookup.loaderLookup().findOrThrow(name), type);
    }

    static MemorySegment descriptor(Rows a) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment sizes = arena.allocateFrom(JAVA_LONG, a.rows(), a.columns());
        return created(DESCRIPTOR_NAME, out -> {
          try {
            return (int) DESCRIPTOR.invokeExact(out, 2, sizes, dnnl_f32(), a.count(), S32, S32);
          } catch (Throwable e) {
            throw new AssertionError(e); // a function of C throws nothing
          }
        });
      }
    }

    static MemorySegment memory(MemorySegment descriptor, Rows a) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment parts = arena.allocate(C_POINTER, 3);
        parts.setAtIndex(C_POINTER, 0, a.values());
        parts.setAtIndex(C_POINTER, 1, a.columnIndices());
        parts.setAtIndex(C_POINTER, 2, a.first());
        return created("dnnl_memory_create_v2", out -> {
          try {
            return (int) MEMORY.invokeExact(out, descriptor, OneDnn.engine(), 3, parts);
          } catch (Throwable e) {
            throw new AssertionError(e);
          }
        });
      }
    }
  }

  /// Multiplies.
  public void multiply() {
    check(dnnl_primitive_execute(handle, OneDnn.stream(), memories.size(), bound), "dnnl_primitive_execute");
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      memories.forEach(memory -> check(dnnl_memory_destroy(memory), "dnnl_memory_destroy"));
      check(dnnl_primitive_destroy(handle), "dnnl_primitive_destroy");
      check(dnnl_primitive_desc_destroy(primitiveDescriptor), "dnnl_primitive_desc_destroy");
      descriptors.forEach(descriptor -> check(dnnl_memory_desc_destroy(descriptor), "dnnl_memory_desc_destroy"));
      arena.close();
    }
  }
}
