package dev.espalier.bindings;

import static dev.espalier.bindings.OneDnn.check;
import static dev.espalier.bindings.OneDnn.created;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_SCRATCHPAD;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_create_with_strides;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_get_size;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_attr_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_attr_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_attr_set_scratchpad_mode;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_desc_query_md;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_execute;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_query_scratchpad_md;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_scratchpad_mode_user;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.espalier.bindings.onednn.dnnl_exec_arg_t;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.UnaryOperator;

/// A compiled operation of oneDNN on arguments of fixed shapes. Many threads may execute it at a time: its scratch
/// memory belongs to the call.
final class Primitive implements AutoCloseable {
  /// An argument: its number (`DNNL_ARG_…`) and its memory descriptor, which the primitive then owns.
  record Argument(int number, MemorySegment descriptor) {}

  private final List<Argument> arguments;
  private final MemorySegment primitiveDescriptor;
  private final MemorySegment scratchDescriptor;
  private final MemorySegment handle;
  private boolean closed;

  /// @param arguments           in the order in which [#execute] takes their memory
  /// @param primitiveDescriptor owned from here on
  Primitive(List<Argument> arguments, MemorySegment primitiveDescriptor) {
    this.arguments = List.copyOf(arguments);
    this.primitiveDescriptor = primitiveDescriptor;
    this.scratchDescriptor = dnnl_primitive_desc_query_md(primitiveDescriptor, dnnl_query_scratchpad_md(), 0);
    this.handle = created("dnnl_primitive_create", out -> dnnl_primitive_create(out, primitiveDescriptor));
  }

  /// What `use` makes with attributes under which the scratch memory is the caller's.
  static MemorySegment withAttributes(UnaryOperator<MemorySegment> use) {
    MemorySegment attributes = created("dnnl_primitive_attr_create", out -> dnnl_primitive_attr_create(out));
    try {
      check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user()),
          "dnnl_primitive_attr_set_scratchpad_mode");
      return use.apply(attributes);
    } finally {
      check(dnnl_primitive_attr_destroy(attributes), "dnnl_primitive_attr_destroy");
    }
  }

  /// A descriptor.
  ///
  /// @param type    `dnnl_f32` or `dnnl_bf16`
  /// @param strides elements from one index to the next, for each dimension
  static MemorySegment descriptor(int type, long[] dimensions, long[] strides) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment sizes = arena.allocateFrom(JAVA_LONG, dimensions);
      MemorySegment steps = arena.allocateFrom(JAVA_LONG, strides);
      return created("dnnl_memory_desc_create_with_strides",
          out -> dnnl_memory_desc_create_with_strides(out, dimensions.length, sizes, type, steps));
    }
  }

  /// @param data the memory of each argument, in their order
  void execute(MemorySegment... data) {
    try (Arena arena = Arena.ofConfined()) {
      int count = arguments.size();
      MemorySegment[] memories = new MemorySegment[count + 1];
      MemorySegment bound = dnnl_exec_arg_t.allocateArray(count + 1, arena);
      try {
        for (int i = 0; i < count; i++) {
          memories[i] = bind(bound, i, arguments.get(i).number(), arguments.get(i).descriptor(), data[i]);
        }
        MemorySegment scratch = arena.allocate(Math.max(1, dnnl_memory_desc_get_size(scratchDescriptor)), 64);
        memories[count] = bind(bound, count, DNNL_ARG_SCRATCHPAD(), scratchDescriptor, scratch);
        check(dnnl_primitive_execute(handle, OneDnn.stream(), count + 1, bound), "dnnl_primitive_execute");
      } finally {
        for (MemorySegment memory : memories) {
          if (memory != null) {
            check(dnnl_memory_destroy(memory), "dnnl_memory_destroy");
          }
        }
      }
    }
  }

  private static MemorySegment bind(MemorySegment bound, int index, int number, MemorySegment descriptor,
      MemorySegment data) {
    MemorySegment memory = created("dnnl_memory_create",
        out -> dnnl_memory_create(out, descriptor, OneDnn.engine(), data));
    MemorySegment slot = dnnl_exec_arg_t.asSlice(bound, index);
    dnnl_exec_arg_t.arg(slot, number);
    dnnl_exec_arg_t.memory(slot, memory);
    return memory;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      check(dnnl_primitive_destroy(handle), "dnnl_primitive_destroy");
      check(dnnl_primitive_desc_destroy(primitiveDescriptor), "dnnl_primitive_desc_destroy");
      for (Argument argument : arguments) {
        check(dnnl_memory_desc_destroy(argument.descriptor()), "dnnl_memory_desc_destroy");
      }
    }
  }
}
