package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;

/// Arrays of one thread, through which elementwise loops see matrices: a tile is copied in, worked on and copied out,
/// all in the first-level cache.
///
/// C2 vectorises loops over arrays. Loops over memory segments it does not (JDK 25: two segments might overlap), and
/// where such a loop's bounds are long it falls back to the interpreter again and again
/// (docs/decisions/0005-java-loops.md).
final class CpuTile {
  /// Elements of a tile: all four and what is copied into them fit into a first-level cache of 32 KiB.
  static final int LENGTH = 1024;

  private static final ThreadLocal<CpuTile> OF_THREAD = ThreadLocal.withInitial(CpuTile::new);

  final float[] a = new float[LENGTH];
  final float[] b = new float[LENGTH];
  final float[] c = new float[LENGTH];
  final float[] d = new float[LENGTH];

  /// For what happens within an activation.
  final double[] x = new double[LENGTH];
  final double[] y = new double[LENGTH];

  private CpuTile() {}

  static CpuTile ofThread() {
    return OF_THREAD.get();
  }

  /// Copies `count` elements from index `first` on to the start of `tile`, and returns it.
  static float[] load(MemorySegment matrix, long first, int count, float[] tile) {
    MemorySegment.copy(matrix, MatrixView.ELEMENT, first * Float.BYTES, tile, 0, count);
    return tile;
  }

  /// Copies the first `count` elements of `tile` to index `first` and on.
  static void store(float[] tile, int count, MemorySegment matrix, long first) {
    store(tile, 0, count, matrix, first);
  }

  /// Copies `count` elements of `tile` from index `from` on.
  static void store(float[] tile, int from, int count, MemorySegment matrix, long first) {
    MemorySegment.copy(tile, from, matrix, MatrixView.ELEMENT, first * Float.BYTES, count);
  }

  /// Copies `count` elements within or between matrices.
  static void copy(MemorySegment from, long firstFrom, MemorySegment to, long firstTo, long count) {
    MemorySegment.copy(from, firstFrom * Float.BYTES, to, firstTo * Float.BYTES, count * Float.BYTES);
  }
}
