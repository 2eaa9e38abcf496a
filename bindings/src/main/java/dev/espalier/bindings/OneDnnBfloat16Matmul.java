package dev.espalier.bindings;

import static dev.espalier.bindings.onednn.onednn_h.dnnl_bf16;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_f32;

import java.lang.foreign.MemorySegment;

/// C = op(A)·B, or C += op(A)·B, for several A and C and one B, by instructions that multiply bfloat16 numbers and sum
/// in float32. A and C are row-major float32; A is rounded on the way, to nearest even, B by [OneDnnPacking]. Many
/// threads may use one at a time; it runs on as many threads as the one that made it was allowed.
public final class OneDnnBfloat16Matmul implements AutoCloseable {
  /// The shapes, as in [OneDnn#sgemm]; n and k are those of the packed B.
  ///
  /// @param count       how many A and C there are
  /// @param strideA     elements from one A to the next
  /// @param strideC     elements from one C to the next
  /// @param accumulates whether the products are added to C
  public record Shape(boolean transposeA, int count, long m, OneDnnPacking.Shape b, long leadingA, long strideA,
      long leadingC, long strideC, boolean accumulates) {}

  private final Shape shape;
  private final Primitive rounding;
  private final Primitive product;

  /// Compiles the product.
  ///
  /// @param packing of the shape's B
  public OneDnnBfloat16Matmul(Shape shape, OneDnnPacking packing) {
    this.shape = shape;
    long m = shape.m();
    long k = shape.b().k();
    long n = shape.b().n();
    rounding = OneDnnPacking.rounding(
        shape.transposeA() ? new long[]{shape.count(), k, m} : new long[]{shape.count(), m, k}, shape.strideA(),
        shape.leadingA());
    MemorySegment a = Primitive.descriptor(dnnl_bf16(), new long[]{shape.count(), m, k},
        shape.transposeA() ? new long[]{m * k, 1, m} : new long[]{m * k, k, 1});
    MemorySegment b = packing.packedDescriptor();
    MemorySegment c = Primitive.descriptor(dnnl_f32(), new long[]{shape.count(), m, n},
        new long[]{shape.strideC(), shape.leadingC(), 1});
    product = OneDnnMatmul.primitive(a, b, c, shape.accumulates());
  }

  /// Bytes that [#multiply] needs besides.
  public long roundedBytes() {
    return shape.count() * shape.m() * shape.b().k() * Short.BYTES;
  }

  /// Multiplies.
  ///
  /// @param a       the first A
  /// @param rounded overwritten
  /// @param b       as [OneDnnPacking#pack] wrote it
  /// @param c       the first C
  public void multiply(MemorySegment a, MemorySegment rounded, MemorySegment b, MemorySegment c) {
    rounding.execute(a, rounded);
    product.execute(rounded, b, c);
  }

  @Override
  public void close() {
    rounding.close();
    product.close();
  }
}
