package dev.espalier.bindings;

import static dev.espalier.bindings.OneDnn.check;
import static dev.espalier.bindings.OneDnn.created;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DST;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_SRC;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_WEIGHTS;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_f32;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_matmul_primitive_desc_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_post_ops_append_sum;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_post_ops_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_post_ops_destroy;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_primitive_attr_set_post_ops;

import java.lang.foreign.MemorySegment;
import java.util.List;

/// C = op(A)·op(B), or C += op(A)·op(B), for matrices of fixed shapes in float32 memory, row-major. Many threads may
/// use one at a time; it runs on as many threads as the one that made it was allowed.
public final class OneDnnMatmul implements AutoCloseable {
  /// The shapes, as in [OneDnn#sgemm].
  ///
  /// @param accumulates whether the product is added to C
  public record Shape(boolean transposeA, boolean transposeB, long m, long n, long k, long leadingA, long leadingB,
      long leadingC, boolean accumulates) {}

  private final Primitive primitive;

  /// Compiles the product.
  public OneDnnMatmul(Shape shape) {
    MemorySegment a = matrix(shape.m(), shape.k(), shape.leadingA(), shape.transposeA());
    MemorySegment b = matrix(shape.k(), shape.n(), shape.leadingB(), shape.transposeB());
    MemorySegment c = matrix(shape.m(), shape.n(), shape.leadingC(), false);
    primitive = primitive(a, b, c, shape.accumulates());
  }

  /// The primitive of C = A·B or C += A·B.
  ///
  /// @param a a descriptor, as are `b` and `c`, which the primitive then owns
  static Primitive primitive(MemorySegment a, MemorySegment b, MemorySegment c, boolean accumulates) {
    return new Primitive(List.of(new Primitive.Argument(DNNL_ARG_SRC(), a),
        new Primitive.Argument(DNNL_ARG_WEIGHTS(), b), new Primitive.Argument(DNNL_ARG_DST(), c)),
        primitiveDescriptor(a, b, c, accumulates));
  }

  /// A descriptor of that primitive, the caller's own.
  static MemorySegment primitiveDescriptor(MemorySegment a, MemorySegment b, MemorySegment c, boolean accumulates) {
    return Primitive.withAttributes(attributes -> {
      if (accumulates) {
        addToResult(attributes);
      }
      return created("dnnl_matmul_primitive_desc_create",
          out -> dnnl_matmul_primitive_desc_create(out, OneDnn.engine(), a, b, MemorySegment.NULL, c, attributes));
    });
  }

  private static void addToResult(MemorySegment attributes) {
    MemorySegment postOps = created("dnnl_post_ops_create", out -> dnnl_post_ops_create(out));
    try {
      check(dnnl_post_ops_append_sum(postOps, 1, 0, dnnl_f32()), "dnnl_post_ops_append_sum");
      check(dnnl_primitive_attr_set_post_ops(attributes, postOps), "dnnl_primitive_attr_set_post_ops");
    } finally {
      check(dnnl_post_ops_destroy(postOps), "dnnl_post_ops_destroy");
    }
  }

  private static MemorySegment matrix(long rows, long columns, long leading, boolean transposed) {
    return Primitive.descriptor(dnnl_f32(), new long[]{rows, columns},
        transposed ? new long[]{1, leading} : new long[]{leading, 1});
  }

  /// Multiplies.
  public void multiply(MemorySegment a, MemorySegment b, MemorySegment c) {
    primitive.execute(a, b, c);
  }

  @Override
  public void close() {
    primitive.close();
  }
}
