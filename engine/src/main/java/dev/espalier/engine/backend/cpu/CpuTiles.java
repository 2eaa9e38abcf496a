package dev.espalier.engine.backend.cpu;

import java.lang.foreign.MemorySegment;

/// The result of a product, cut into tiles that keep all threads busy and are large enough to be multiplied well.
///
/// A tile of m × n elements packs about 1/m + 1/n elements for each multiplication: that is to be small. oneDNN's sgemm
/// does not pack at all where the sum is above 0.0038, which is fine but for a second factor whose rows lie a multiple
/// of 2 KiB apart: they fall on the same lines of the cache, and on AVX2 it then runs at half its speed
/// (docs/decisions/0004-onednn.md).
record CpuTiles(int rows, int columns, int rowStep, int columnStep) {
  private static final int ALIASED = 512;
  private static final double ALIASED_PACKING = 0.0038;
  private static final double PACKING = 0.02;

  /// Floating-point operations that are worth a tile of their own: about as long as it takes to wake a thread.
  private static final double LEAST_FLOPS = 4e6;

  /// Columns that are multiplied well, and the least that are worth a tile, in products where tiles are made of
  /// columns.
  private static final int WIDE = 192;
  private static final int NARROW = 96;

  /// Elements of packed columns; of a tile, its copies and, at half their size, the rows that they are made of; and
  /// rows of which packed products like multiples.
  private static final int PACKED_ELEMENTS = 1 << 21;
  private static final int CACHED_ELEMENTS = 1 << 17;
  private static final int LEAST_ROWS = 16;

  /// Elements of a line of the cache.
  static final int CACHE_LINE = 16;

  /// Tiles for each thread, where they may be so small, so that a thread that is slowed down holds up the others less.
  private static final int TILES_PER_THREAD = 4;

  /// Tiles of a product whose result is `rows` × `columns`.
  ///
  /// @param k      terms of each element's sum, of all products together where a part multiplies several
  /// @param second the second factor
  static CpuTiles of(int rows, int columns, long k, CpuProducts.Factor second, int threads) {
    double worthwhile = 2.0 * rows * columns * k / LEAST_FLOPS;
    double limit = second.leading() % ALIASED == 0 ? ALIASED_PACKING : PACKING;
    int count = (int) Math.clamp(worthwhile, 1, threads == 1 ? 1 : threads * TILES_PER_THREAD);
    CpuTiles tiles = split(rows, columns, count, limit);
    while (tiles.packing() > limit && count > threads) {
      count = Math.max(threads, count / 2);
      tiles = split(rows, columns, count, limit);
    }
    return tiles;
  }

  /// Tiles of as many rows as can be, for products of which each part makes its columns of the second factor by itself.
  ///
  /// @param k terms of each element's sum, of all products together
  static CpuTiles ofColumns(int rows, int columns, int k, int threads) {
    int perThread = columns / (2 * threads) < WIDE ? 1 : 2;
    int count = (int) Math.clamp(2.0 * rows * columns * k / LEAST_FLOPS, 1, (double) threads * perThread);
    int across = Math.clamp(columns / NARROW, 1, count);
    int down = count / across;
    int width = ((columns + across - 1) / across + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return new CpuTiles(rows, columns, (rows + down - 1) / down, Math.min(columns, width));
  }

  /// Tiles of products whose second factor is packed beforehand, a tile's columns at a time. They need not be large to
  /// be multiplied well, so they stay in a second-level cache with what they are made of.
  ///
  /// @param k      terms of each element's sum
  /// @param copies tiles of a part
  static CpuTiles ofPacked(int rows, int columns, int k, int copies, int threads) {
    int columnStep = Math.min(columns, Math.clamp(PACKED_ELEMENTS / k, 256, 1024));
    int across = (columns + columnStep - 1) / columnStep;
    int most = Math.max(LEAST_ROWS, CACHED_ELEMENTS / (copies * (columnStep + k / 2)));
    double worthwhile = 2.0 * rows * columns * k * copies / LEAST_FLOPS;
    int count = (int) Math.clamp(worthwhile, 1, (double) threads * TILES_PER_THREAD);
    int down = Math.max((count + across - 1) / across, (rows + most - 1) / most);
    int rowStep = ((rows + down - 1) / down + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
    return new CpuTiles(rows, columns, Math.min(rows, rowStep), columnStep);
  }

  /// At least `columns`: how far apart the rows of a factor had better lie.
  static int unaliased(int columns) {
    return columns % ALIASED == 0 ? columns + CACHE_LINE : columns;
  }

  /// The cut into about `count` tiles that packs least; into rows alone where that packs little enough.
  private static CpuTiles split(int rows, int columns, int count, double limit) {
    CpuTiles best = new CpuTiles(rows, columns, (rows + count - 1) / count, columns);
    for (int down = 1; down < count && best.packing() > limit; down++) {
      int across = count / down;
      CpuTiles tiles = new CpuTiles(rows, columns, (rows + down - 1) / down, (columns + across - 1) / across);
      if (down * across == count && tiles.packing() < best.packing()) {
        best = tiles;
      }
    }
    return best;
  }

  private double packing() {
    return 1.0 / rowStep + 1.0 / columnStep;
  }

  int count() {
    return across() * ((rows + rowStep - 1) / rowStep);
  }

  /// Tiles side by side.
  int across() {
    return (columns + columnStep - 1) / columnStep;
  }

  /// Tile number `part`.
  Tile tile(int part) {
    int row = part / across() * rowStep;
    int column = part % across() * columnStep;
    return new Tile(row, column, Math.min(rowStep, rows - row), Math.min(columnStep, columns - column), columns);
  }

  /// Where a tile lies in its matrix, which has `leading` columns.
  record Tile(int row, int column, int rows, int columns, int leading) {
    /// Consecutive elements.
    interface Run {
      /// @param first  the first one's index in the matrix
      /// @param inTile and in the tile
      void of(long first, long count, long inTile);
    }

    /// The matrix from the tile's first element on.
    MemorySegment of(MemorySegment matrix) {
      return matrix.asSlice(((long) row * leading + column) * Float.BYTES);
    }

    /// Runs that together are the tile: its rows, or all of it where it is as wide as the matrix.
    void forEachRun(Run run) {
      if (columns == leading) {
        run.of((long) row * leading, (long) rows * leading, 0);
      } else {
        for (int i = 0; i < rows; i++) {
          run.of((long) (row + i) * leading + column, columns, (long) i * columns);
        }
      }
    }
  }
}
