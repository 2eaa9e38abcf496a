package dev.espalier.engine.backend.cpu;

import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnMatmul;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// Blocks of matrix products, each on the thread that asks for it.
///
/// On x86-64 float32 products are `dnnl_sgemm`'s, which measured faster than oneDNN's matmul primitives at almost every
/// shape (docs/decisions/0004-onednn.md). Elsewhere, where sgemm is not vectorised, they are matmul's.
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

  /// The second factor of products that a precision may round.
  interface SecondFactor {
    /// C = A·B, or C += A·B, for `count` A and C, each `apartA` and `apartC` rows after the one before.
    void multiply(Factor a, boolean add, MemorySegment c, long leadingC, int m, int count, int apartA, int apartC);
  }

  private final Map<OneDnnMatmul.Shape, OneDnnMatmul> compiled = new ConcurrentHashMap<>();

  /// C = α A·B + β C in float32, m × k times k × n.
  void multiply(float alpha, Factor a, Factor b, float beta, MemorySegment c, long leadingC, long m, long n, long k) {
    if (SGEMM_IS_VECTORISED || alpha != 1 || (beta != 0 && beta != 1)) {
      OneDnn.sgemm(a.transposed(), b.transposed(), m, n, k, alpha, a.elements(), a.leading(), b.elements(), b.leading(),
          beta, c, leadingC);
    } else {
      OneDnnMatmul.Shape shape = new OneDnnMatmul.Shape(a.transposed(), b.transposed(), m, n, k, a.leading(),
          b.leading(), leadingC, beta == 1);
      compiled.computeIfAbsent(shape, OneDnnMatmul::new).multiply(a.elements(), b.elements(), c);
    }
  }

  /// How products with a second factor are cut, of which `copies` of each tile follow each other.
  CpuTiles tiles(int rows, int columns, int k, int copies, Factor second, int threads) {
    return CpuTiles.of(rows, columns, (long) copies * k, second, threads);
  }

  /// The unit roundoff of the factors of products with a [SecondFactor].
  double roundoff() {
    return 0x1p-24;
  }

  /// Elements of memory that [#second] needs for a k × n factor whose rows lie `leading` elements apart.
  long preparedElements(long leading, int k, int n) {
    return 0;
  }

  /// Makes a k × n factor ready. It may be copied to `memory`.
  SecondFactor second(Factor second, int k, int n, MemorySegment memory) {
    return (a, add, c, leadingC, m, count, apartA, apartC) -> {
      boolean stacked = m == apartA && m == apartC; // then they are one product
      for (int i = 0; i < (stacked ? 1 : count); i++) {
        multiply(1, a.from((long) i * apartA, 0), second, add ? 1 : 0,
            c.asSlice((long) i * apartC * leadingC * Float.BYTES), leadingC, stacked ? (long) count * m : m, n, k);
      }
    };
  }

  @Override
  public void close() {
    compiled.values().forEach(OneDnnMatmul::close);
    compiled.clear();
  }
}
