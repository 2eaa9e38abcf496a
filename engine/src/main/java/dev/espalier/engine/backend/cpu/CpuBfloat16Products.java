package dev.espalier.engine.backend.cpu;

import dev.espalier.bindings.OneDnnBfloat16Matmul;
import dev.espalier.bindings.OneDnnPacking;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// Products that round their factors to bfloat16 where they may (docs/decisions/0006-bfloat16.md).
final class CpuBfloat16Products extends CpuProducts {
  /// What is rounded on the way into a product.
  private static final CpuScratch.OfThread ROUNDED = new CpuScratch.OfThread();

  private final Map<OneDnnPacking.Shape, OneDnnPacking> packings = new ConcurrentHashMap<>();
  private final Map<OneDnnBfloat16Matmul.Shape, OneDnnBfloat16Matmul> matmuls = new ConcurrentHashMap<>();

  private static MemorySegment rounded(long bytes) {
    return ROUNDED.atLeast((bytes + Float.BYTES - 1) / Float.BYTES);
  }

  private OneDnnPacking packing(long leading, int k, int n) {
    return packings.computeIfAbsent(new OneDnnPacking.Shape(k, n, leading), OneDnnPacking::new);
  }

  @Override
  double roundoff() {
    return 0x1p-8;
  }

  @Override
  CpuTiles tiles(int rows, int columns, int k, int copies, Factor second, int threads) {
    return CpuTiles.ofPacked(rows, columns, k, copies, threads);
  }

  @Override
  long preparedElements(long leading, int k, int n) {
    return (packing(leading, k, n).packedBytes() + Float.BYTES - 1) / Float.BYTES;
  }

  @Override
  SecondFactor second(Factor second, int k, int n, MemorySegment memory) {
    OneDnnPacking packing = packing(second.leading(), k, n);
    packing.pack(second.elements(), rounded(packing.roundedBytes()), memory);
    return (a, add, c, leadingC, m, count, apartA, apartC) -> {
      OneDnnBfloat16Matmul.Shape shape = new OneDnnBfloat16Matmul.Shape(a.transposed(), count, m, packing.shape(),
          a.leading(), apartA * a.leading(), leadingC, apartC * leadingC, add);
      OneDnnBfloat16Matmul matmul = matmuls.computeIfAbsent(shape, s -> new OneDnnBfloat16Matmul(s, packing));
      matmul.multiply(a.elements(), rounded(matmul.roundedBytes()), memory, c);
    };
  }

  @Override
  public void close() {
    super.close();
    matmuls.values().forEach(OneDnnBfloat16Matmul::close);
    packings.values().forEach(OneDnnPacking::close);
    matmuls.clear();
    packings.clear();
  }
}
