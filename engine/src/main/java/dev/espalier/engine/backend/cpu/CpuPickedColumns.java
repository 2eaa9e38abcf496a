package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import java.lang.foreign.MemorySegment;

/// Rows of a matrix, each in several copies, without the columns in which all copies of a row are 0. In memory of a
/// thread.
final class CpuPickedColumns {
  private static final ThreadLocal<CpuPickedColumns> OF_THREAD = ThreadLocal.withInitial(CpuPickedColumns::new);

  private int copies;
  private int columns;

  /// Rows of a register tile, and of all that the copies fill.
  private int height;
  private int filled;

  /// Rows, and where each begins among the picked columns.
  private int rows;
  private int[] firsts = {};

  /// By row and picked column: the byte of a panel at which the column's row of the second factor begins.
  private int[] offsets = {};

  /// By row, tile, picked column and copy.
  private float[] values = {};

  /// Of one row, by copy and picked column.
  private float[] streams = {};

  private final float[] tile = new float[CpuRegisterTile.MOST_ROWS * CpuRegisterTile.COLUMNS];
  private final float[] before = new float[CpuRegisterTile.COLUMNS];

  private CpuPickedColumns() {}

  /// The calling thread's, empty.
  ///
  /// @param rows    that will be added, at most
  /// @param columns of each, before some are picked
  static CpuPickedColumns ofThread(int rows, int copies, int columns) {
    CpuPickedColumns picked = OF_THREAD.get();
    picked.begin(rows, copies, columns);
    return picked;
  }

  private void begin(int most, int copiesOfEach, int columnsOfEach) {
    copies = copiesOfEach;
    columns = columnsOfEach;
    height = CpuRegisterTile.height(copies);
    filled = Math.ceilDiv(copies, height) * height;
    rows = 0;
    if (firsts.length <= most) {
      firsts = new int[most + 1];
    }
    if (offsets.length < most * columns + CpuRegisterTile.LANES) {
      offsets = new int[most * columns + CpuRegisterTile.LANES];
    }
    if (values.length < most * columns * filled) {
      values = new float[most * columns * filled];
    }
    if (streams.length < copies * stream()) {
      streams = new float[copies * stream()];
    }
  }

  private int stream() {
    return columns + CpuRegisterTile.LANES;
  }

  /// Adds the first row of `a` and its copies, each `apart` rows after the one before.
  void add(Factor a, int apart) {
    int first = firsts[rows];
    int count = CpuRegisterTile.pick(a.elements(), copies, apart * a.leading() * Float.BYTES, columns,
        CpuRegisterTile.COLUMNS * Float.BYTES, offsets, first, streams, stream());
    for (int copy = 0; copy < copies; copy++) {
      interleave(streams, copy * stream(), count, values, firstValue(rows, copy, count), height);
    }
    for (int copy = copies; copy < filled; copy++) {
      fillZero(count, values, firstValue(rows, copy, count), height);
    }
    rows++;
    firsts[rows] = first + count;
  }

  private int firstValue(int row, int copy, int count) {
    return firsts[row] * filled + copy / height * height * count + copy % height;
  }

  private static void interleave(float[] from, int first, int count, float[] to, int start, int step) {
    for (int i = 0; i < count; i++) {
      to[start + i * step] = from[first + i];
    }
  }

  private static void fillZero(int count, float[] to, int start, int step) {
    for (int i = 0; i < count; i++) {
      to[start + i * step] = 0;
    }
  }

  /// Elements of the rows, with those that fill up tiles.
  long elements() {
    return (long) firsts[rows] * filled;
  }

  /// Multiplies all rows with a panel of the second factor: C = A·B, or C += A·B.
  ///
  /// @param width of the panel's columns those that are wanted
  /// @param apart rows of the result from one copy to the next
  void multiply(MemorySegment panel, int width, boolean add, MemorySegment c, long leading, int apart) {
    for (int row = 0; row < rows; row++) {
      int count = firsts[row + 1] - firsts[row];
      for (int copy = 0; copy < copies; copy += height) {
        CpuRegisterTile.Terms terms = new CpuRegisterTile.Terms(count, offsets, firsts[row], values,
            firstValue(row, copy, count));
        CpuRegisterTile.multiply(height, terms, panel, tile);
        for (int i = 0; i < Math.min(height, copies - copy); i++) {
          long at = ((long) (copy + i) * apart + row) * leading;
          if (add) {
            addTo(tile, i * CpuRegisterTile.COLUMNS, CpuTile.load(c, at, width, before), width);
          }
          CpuTile.store(tile, i * CpuRegisterTile.COLUMNS, width, c, at);
        }
      }
    }
  }

  private static void addTo(float[] sums, int first, float[] terms, int count) {
    for (int i = 0; i < count; i++) {
      sums[first + i] += terms[i];
    }
  }
}
