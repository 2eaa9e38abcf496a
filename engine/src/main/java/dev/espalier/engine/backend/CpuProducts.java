package dev.espalier.engine.backend;

import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnMatmul;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// Blocks of matrix products, each on the thread that asks for it.
///
/// On x86-64 float32 products are `dnnl_sgemm`'s, which measured faster than oneDNN's matmul primitives at almost every
/// shape (docs/decisions/0010-onednn.md). Elsewhere, where sgemm is not vectorised, and in bfloat16, which it lacks, they
/// are matmul's.
class CpuProducts implements AutoCloseable {
  private static final boolean SGEMM_IS_VECTORISED = System.getProperty("os.arch").equals("amd64");

  /// A factor of a product.
  ///
  /// @param leading    elements from one row, as it lies in memory, to the next
  /// @param transposed whether the product takes it transposed
  record Factor(MemorySegment elements, long leading, boolean transposed) {
    static Factor of(MemorySegment elements, int columns) {
      return new Factor(elements, columns, false);
    }

    static Factor transposed(MemorySegment elements, int columns) {
      return new Factor(elements, columns, true);
    }

    /// The factor without its first `rows` rows and `columns` columns, both after transposition.
    Factor from(long rows, long columns) {
      long skipped = transposed ? columns * leading + rows : rows * leading + columns;
      return new Factor(elements.asSlice(skipped * Float.BYTES), leading, transposed);
    }
  }

  private final boolean bfloat16;
  private final Map<OneDnnMatmul.Shape, OneDnnMatmul> compiled = new ConcurrentHashMap<>();

  /// @param bfloat16 whether products that allow it round their factors
  CpuProducts(boolean bfloat16) {
    this.bfloat16 = bfloat16;
  }

  /// C = α A·B + β C in float32, m × k times k × n.
  void multiply(float alpha, Factor a, Factor b, float beta, MemorySegment c, long leadingC, long m, long n,
      long k) {
    if (SGEMM_IS_VECTORISED || alpha != 1 || (beta != 0 && beta != 1)) {
      OneDnn.sgemm(a.transposed(), b.transposed(), m, n, k, alpha, a.elements(), a.leading(), b.elements(),
          b.leading(),
          beta, c, leadingC);
    } else {
      matmul(a, b, beta == 1, c, leadingC, m, n, k, false);
    }
  }

  /// C = A·B or C += A·B; in bfloat16 the factors are rounded if this was made so, the sums never are.
  void multiplyRounded(Factor a, Factor b, boolean add, MemorySegment c, long leadingC, long m, long n,
      long k) {
    if (bfloat16) {
      matmul(a, b, add, c, leadingC, m, n, k, true);
    } else {
      multiply(1, a, b, add ? 1 : 0, c, leadingC, m, n, k);
    }
  }

  private void matmul(Factor a, Factor b, boolean add, MemorySegment c, long leadingC, long m, long n, long k,
      boolean rounded) {
    OneDnnMatmul.Shape shape = new OneDnnMatmul.Shape(a.transposed(), b.transposed(), m, n, k, a.leading(),
        b.leading(),
        leadingC, add, rounded);
    compiled.computeIfAbsent(shape, OneDnnMatmul::new).multiply(a.elements(), b.elements(), c);
  }

  @Override
  public void close() {
    compiled.values().forEach(OneDnnMatmul::close);
    compiled.clear();
  }
}
