package dev.espalier.bindings;

import static dev.espalier.bindings.OneDnn.check;
import static dev.espalier.bindings.OneDnn.created;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DST;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_SRC;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_bf16;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_f32;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_format_tag_any;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_clone;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_create_with_tag;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_memory_desc_get_size;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_desc_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_desc_query_md;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_query_weights_md;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_reorder_primitive_desc_create;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Rounds a second factor of [OneDnnBfloat16Matmul] to bfloat16, to nearest even, and lays it out as the CPU's
/// instructions take it. Many threads may use one at a time.
public final class OneDnnPacking implements AutoCloseable {
  /// A row-major factor in float32.
  ///
  /// @param leading elements from one row to the next
  public record Shape(long k, long n, long leading) {}

  /// Rows of the products that the layout is asked for; all others take it as well.
  private static final long ROWS = 64;

  private final Shape shape;
  private final MemorySegment layout; // the packing primitive's
  private final long bytes;
  private final Primitive rounding;
  private final Primitive packing;

  /// Compiles the two steps.
  public OneDnnPacking(Shape shape) {
    this.shape = shape;
    layout = layout(shape.k(), shape.n());
    bytes = dnnl_memory_desc_get_size(layout);
    long[] dimensions = {1, shape.k(), shape.n()};
    rounding = rounding(dimensions, shape.k() * shape.leading(), shape.leading());
    packing = reorder(dense(dimensions), layout);
  }

  private static MemorySegment layout(long k, long n) {
    MemorySegment a = dense(new long[]{1, ROWS, k});
    MemorySegment c = Primitive.descriptor(dnnl_f32(), new long[]{1, ROWS, n}, new long[]{ROWS * n, n, 1});
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment sizes = arena.allocateFrom(JAVA_LONG, 1, k, n);
      MemorySegment any = created("dnnl_memory_desc_create_with_tag",
          out -> dnnl_memory_desc_create_with_tag(out, 3, sizes, dnnl_bf16(), dnnl_format_tag_any()));
      MemorySegment product = OneDnnMatmul.primitiveDescriptor(a, any, c, false);
      MemorySegment layout = copy(dnnl_primitive_desc_query_md(product, dnnl_query_weights_md(), 0));
      check(dnnl_primitive_desc_destroy(product), "dnnl_primitive_desc_destroy");
      for (MemorySegment descriptor : List.of(a, any, c)) {
        check(dnnl_memory_desc_destroy(descriptor), "dnnl_memory_desc_destroy");
      }
      return layout;
    }
  }

  /// A primitive that rounds row-major float32 matrices to dense bfloat16.
  ///
  /// @param dimensions matrices, rows, columns
  static Primitive rounding(long[] dimensions, long stride, long leading) {
    return reorder(Primitive.descriptor(dnnl_f32(), dimensions, new long[]{stride, leading, 1}), dense(dimensions));
  }

  private static MemorySegment dense(long[] dimensions) {
    return Primitive.descriptor(dnnl_bf16(), dimensions, new long[]{dimensions[1] * dimensions[2], dimensions[2], 1});
  }

  /// A primitive that copies from one layout to another; it owns the descriptors.
  static Primitive reorder(MemorySegment from, MemorySegment to) {
    MemorySegment descriptor = Primitive.withAttributes(attributes -> created("dnnl_reorder_primitive_desc_create",
        out -> dnnl_reorder_primitive_desc_create(out, from, OneDnn.engine(), to, OneDnn.engine(), attributes)));
    return new Primitive(
        List.of(new Primitive.Argument(DNNL_ARG_SRC(), from), new Primitive.Argument(DNNL_ARG_DST(), to)), descriptor);
  }

  private static MemorySegment copy(MemorySegment descriptor) {
    return created("dnnl_memory_desc_clone", out -> dnnl_memory_desc_clone(out, descriptor));
  }

  /// A descriptor of what [#pack] writes, the caller's own.
  MemorySegment packedDescriptor() {
    return copy(layout);
  }

  /// What it packs.
  public Shape shape() {
    return shape;
  }

  /// Bytes of the packed factor.
  public long packedBytes() {
    return bytes;
  }

  /// Bytes that [#pack] needs besides.
  public long roundedBytes() {
    return shape.k() * shape.n() * Short.BYTES;
  }

  /// Rounds and packs.
  ///
  /// @param b       the factor in float32
  /// @param rounded overwritten
  /// @param packed  where the packed factor goes
  public void pack(MemorySegment b, MemorySegment rounded, MemorySegment packed) {
    rounding.execute(b, rounded);
    packing.execute(rounded, packed);
  }

  @Override
  public void close() {
    rounding.close();
    packing.close();
  }
}
