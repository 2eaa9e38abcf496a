package dev.espalier.engine.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// The innermost loops of [CpuSparseProducts], in the Vector API, which only this class needs: without the module
/// `jdk.incubator.vector` it does not load.
///
/// A tile of the result stays in vector registers while the terms of its sums are picked by index. C2 of JDK 25
/// compiles tiles of these sizes well; of 6 × 4 or 10 × 2 vectors it sometimes stops inlining, and then allocates every
/// vector.
final class CpuRegisterTile {
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();

  /// Float32 numbers of a vector.
  static final int LANES = FLOATS.length();

  private static final long BYTES = (long) LANES * Float.BYTES;

  /// Whether there are 32 registers, with vectors of 512 bits.
  private static final boolean HAS_AVX512 = LANES >= 16;

  /// Columns of a tile, and most rows.
  static final int COLUMNS = (HAS_AVX512 ? 4 : 2) * LANES;
  static final int MOST_ROWS = 5;

  private CpuRegisterTile() {}

  /// Rows of a tile, where several are to hold `rows` rows and few more.
  static int height(int rows) {
    int tiles = Math.ceilDiv(rows, MOST_ROWS);
    return HAS_AVX512 && tiles * 4 < rows ? 5 : 4;
  }

  /// What is summed. One object: as parameters they are too many for the registers, and the loop takes a quarter
  /// longer.
  ///
  /// @param offsets of each term, from `first` on, the byte of a panel at which its row begins
  /// @param values  of each term, from `firstValue` on, as many as the tile has rows
  @SuppressWarnings("ArrayRecordComponent") // not compared
  record Terms(int count, int[] offsets, int first, float[] values, int firstValue) {}

  /// A tile: element (r, j) is the sum over the terms of their value r times column j of their row of `panel`.
  ///
  /// @param height rows of the tile, [#height]
  /// @param tile   its elements, row after row
  static void multiply(int height, Terms terms, MemorySegment panel, float[] tile) {
    if (height == 5) {
      multiply5x4(terms, panel, tile);
    } else if (HAS_AVX512) {
      multiply4x4(terms, panel, tile);
    } else {
      multiply4x2(terms, panel, tile);
    }
  }

  /// 20 sums, 4 vectors of the panel and one value fit into 32 registers.
  private static void multiply5x4(Terms terms, MemorySegment panel, float[] tile) {
    int[] offsets = terms.offsets;
    float[] values = terms.values;
    int end = terms.first + terms.count;
    int shift = terms.firstValue - 5 * terms.first;
    FloatVector zero = FloatVector.zero(FLOATS);
    FloatVector a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    FloatVector b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    FloatVector c0 = zero, c1 = zero, c2 = zero, c3 = zero;
    FloatVector d0 = zero, d1 = zero, d2 = zero, d3 = zero;
    FloatVector e0 = zero, e1 = zero, e2 = zero, e3 = zero;
    for (int p = terms.first; p < end; p++) {
      long at = offsets[p];
      int value = shift + 5 * p;
      FloatVector v0 = load(panel, at);
      FloatVector v1 = load(panel, at + BYTES);
      FloatVector v2 = load(panel, at + 2 * BYTES);
      FloatVector v3 = load(panel, at + 3 * BYTES);
      FloatVector x0 = FloatVector.broadcast(FLOATS, values[value]);
      a0 = x0.fma(v0, a0);
      a1 = x0.fma(v1, a1);
      a2 = x0.fma(v2, a2);
      a3 = x0.fma(v3, a3);
      FloatVector x1 = FloatVector.broadcast(FLOATS, values[value + 1]);
      b0 = x1.fma(v0, b0);
      b1 = x1.fma(v1, b1);
      b2 = x1.fma(v2, b2);
      b3 = x1.fma(v3, b3);
      FloatVector x2 = FloatVector.broadcast(FLOATS, values[value + 2]);
      c0 = x2.fma(v0, c0);
      c1 = x2.fma(v1, c1);
      c2 = x2.fma(v2, c2);
      c3 = x2.fma(v3, c3);
      FloatVector x3 = FloatVector.broadcast(FLOATS, values[value + 3]);
      d0 = x3.fma(v0, d0);
      d1 = x3.fma(v1, d1);
      d2 = x3.fma(v2, d2);
      d3 = x3.fma(v3, d3);
      FloatVector x4 = FloatVector.broadcast(FLOATS, values[value + 4]);
      e0 = x4.fma(v0, e0);
      e1 = x4.fma(v1, e1);
      e2 = x4.fma(v2, e2);
      e3 = x4.fma(v3, e3);
    }
    store(tile, 0, a0, a1, a2, a3);
    store(tile, 1, b0, b1, b2, b3);
    store(tile, 2, c0, c1, c2, c3);
    store(tile, 3, d0, d1, d2, d3);
    store(tile, 4, e0, e1, e2, e3);
  }

  /// For numbers of rows that fours fill better.
  private static void multiply4x4(Terms terms, MemorySegment panel, float[] tile) {
    int[] offsets = terms.offsets;
    float[] values = terms.values;
    int end = terms.first + terms.count;
    int shift = terms.firstValue - 4 * terms.first;
    FloatVector zero = FloatVector.zero(FLOATS);
    FloatVector a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    FloatVector b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    FloatVector c0 = zero, c1 = zero, c2 = zero, c3 = zero;
    FloatVector d0 = zero, d1 = zero, d2 = zero, d3 = zero;
    for (int p = terms.first; p < end; p++) {
      long at = offsets[p];
      int value = shift + 4 * p;
      FloatVector v0 = load(panel, at);
      FloatVector v1 = load(panel, at + BYTES);
      FloatVector v2 = load(panel, at + 2 * BYTES);
      FloatVector v3 = load(panel, at + 3 * BYTES);
      FloatVector x0 = FloatVector.broadcast(FLOATS, values[value]);
      a0 = x0.fma(v0, a0);
      a1 = x0.fma(v1, a1);
      a2 = x0.fma(v2, a2);
      a3 = x0.fma(v3, a3);
      FloatVector x1 = FloatVector.broadcast(FLOATS, values[value + 1]);
      b0 = x1.fma(v0, b0);
      b1 = x1.fma(v1, b1);
      b2 = x1.fma(v2, b2);
      b3 = x1.fma(v3, b3);
      FloatVector x2 = FloatVector.broadcast(FLOATS, values[value + 2]);
      c0 = x2.fma(v0, c0);
      c1 = x2.fma(v1, c1);
      c2 = x2.fma(v2, c2);
      c3 = x2.fma(v3, c3);
      FloatVector x3 = FloatVector.broadcast(FLOATS, values[value + 3]);
      d0 = x3.fma(v0, d0);
      d1 = x3.fma(v1, d1);
      d2 = x3.fma(v2, d2);
      d3 = x3.fma(v3, d3);
    }
    store(tile, 0, a0, a1, a2, a3);
    store(tile, 1, b0, b1, b2, b3);
    store(tile, 2, c0, c1, c2, c3);
    store(tile, 3, d0, d1, d2, d3);
  }

  /// 8 sums, 2 vectors of the panel and one value fit into 16 registers.
  private static void multiply4x2(Terms terms, MemorySegment panel, float[] tile) {
    int[] offsets = terms.offsets;
    float[] values = terms.values;
    int end = terms.first + terms.count;
    int shift = terms.firstValue - 4 * terms.first;
    FloatVector zero = FloatVector.zero(FLOATS);
    FloatVector a0 = zero, a1 = zero;
    FloatVector b0 = zero, b1 = zero;
    FloatVector c0 = zero, c1 = zero;
    FloatVector d0 = zero, d1 = zero;
    for (int p = terms.first; p < end; p++) {
      long at = offsets[p];
      int value = shift + 4 * p;
      FloatVector v0 = load(panel, at);
      FloatVector v1 = load(panel, at + BYTES);
      FloatVector x0 = FloatVector.broadcast(FLOATS, values[value]);
      a0 = x0.fma(v0, a0);
      a1 = x0.fma(v1, a1);
      FloatVector x1 = FloatVector.broadcast(FLOATS, values[value + 1]);
      b0 = x1.fma(v0, b0);
      b1 = x1.fma(v1, b1);
      FloatVector x2 = FloatVector.broadcast(FLOATS, values[value + 2]);
      c0 = x2.fma(v0, c0);
      c1 = x2.fma(v1, c1);
      FloatVector x3 = FloatVector.broadcast(FLOATS, values[value + 3]);
      d0 = x3.fma(v0, d0);
      d1 = x3.fma(v1, d1);
    }
    store(tile, 0, a0, a1);
    store(tile, 1, b0, b1);
    store(tile, 2, c0, c1);
    store(tile, 3, d0, d1);
  }

  private static void store(float[] tile, int row, FloatVector first, FloatVector second, FloatVector third,
      FloatVector fourth) {
    int at = row * 4 * LANES;
    first.intoArray(tile, at);
    second.intoArray(tile, at + LANES);
    third.intoArray(tile, at + 2 * LANES);
    fourth.intoArray(tile, at + 3 * LANES);
  }

  private static void store(float[] tile, int row, FloatVector first, FloatVector second) {
    int at = row * 2 * LANES;
    first.intoArray(tile, at);
    second.intoArray(tile, at + LANES);
  }

  private static FloatVector load(MemorySegment from, long at) {
    return FloatVector.fromMemorySegment(FLOATS, from, at, ORDER);
  }

  /// Picks the columns of some rows in which any is other than 0.
  ///
  /// @param a       the rows, `columns` elements each
  /// @param apart   bytes from one row to the next
  /// @param scale   of the columns' numbers in `indices`
  /// @param indices where they go, from `firstIndex` on
  /// @param values  where the picked elements go, each row's `valuesApart` after those of the one before
  /// @return how many columns; indices and values may be written for up to [#LANES] more
  static int pick(MemorySegment a, int rows, long apart, int columns, int scale, int[] indices, int firstIndex,
      float[] values, int valuesApart) {
    IntVector lanes = IntVector.zero(INTS).addIndex(scale);
    int count = 0;
    for (int column = 0; column < columns; column += LANES) {
      VectorMask<Float> there = FLOATS.indexInRange(column, columns);
      long at = (long) column * Float.BYTES;
      VectorMask<Float> any = there.andNot(there);
      for (int row = 0; row < rows; row++) {
        any = any.or(
            FloatVector.fromMemorySegment(FLOATS, a, at + row * apart, ORDER, there).compare(VectorOperators.NE, 0));
      }
      lanes.add(column * scale).compress(any.cast(INTS)).intoArray(indices, firstIndex + count);
      for (int row = 0; row < rows; row++) {
        FloatVector.fromMemorySegment(FLOATS, a, at + row * apart, ORDER, there).compress(any).intoArray(values,
            row * valuesApart + count);
      }
      count += any.trueCount();
    }
    return count;
  }
}
