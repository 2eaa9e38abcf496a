package dev.espalier.engine.backend.cpu;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.OptionalDouble;

/// How much faster than float32 one core multiplies bfloat16. Processors that have the instructions differ: AMD's since
/// Zen 4 do twice as many multiplications with them, Intel's without AMX half as many
/// (docs/decisions/0006-bfloat16.md).
final class CpuBfloat16Rate {
  /// Measured once in a process; empty where there are no instructions.
  static final OptionalDouble MEASURED = OneDnn.multipliesBfloat16()
      ? OptionalDouble.of(measure())
      : OptionalDouble.empty();

  private static final int ROWS = 256;
  private static final int COLUMNS = 512;
  private static final int TERMS = 1024;
  private static final int ROUNDS = 5;

  private CpuBfloat16Rate() {}

  private static double measure() {
    int threads = OneDnn.setThreads(1);
    try (Arena arena = Arena.ofConfined();
        CpuProducts exact = new CpuProducts();
        CpuProducts rounded = new CpuBfloat16Products()) {
      double float32 = Double.POSITIVE_INFINITY;
      double bfloat16 = Double.POSITIVE_INFINITY;
      Runnable inFloat32 = product(arena, exact);
      Runnable inBfloat16 = product(arena, rounded);
      for (int round = 0; round < ROUNDS; round++) { // the first compiles
        float32 = Math.min(float32, seconds(inFloat32));
        bfloat16 = Math.min(bfloat16, seconds(inBfloat16));
      }
      return float32 / bfloat16;
    } finally {
      OneDnn.setThreads(threads);
    }
  }

  private static Runnable product(Arena arena, CpuProducts products) {
    MemorySegment a = ones(arena, ROWS, TERMS);
    MemorySegment b = ones(arena, TERMS, COLUMNS);
    MemorySegment c = MatrixView.allocate(arena, ROWS, COLUMNS).segment();
    long elements = products.preparedElements(COLUMNS, TERMS, COLUMNS);
    CpuProducts.SecondFactor second = products.second(CpuProducts.Factor.of(b, COLUMNS), TERMS, COLUMNS,
        arena.allocate(elements * Float.BYTES, CpuTiles.CACHE_LINE * Float.BYTES));
    return () -> second.multiply(CpuProducts.Factor.of(a, TERMS), false, c, COLUMNS, ROWS, 1, 0, 0);
  }

  private static MemorySegment ones(Arena arena, int rows, int columns) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (long i = 0; i < matrix.elements(); i++) {
      matrix.segment().setAtIndex(MatrixView.ELEMENT, i, 1);
    }
    return matrix.segment();
  }

  private static double seconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return (System.nanoTime() - start) * 1e-9;
  }
}
