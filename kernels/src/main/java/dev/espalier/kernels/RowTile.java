package dev.espalier.kernels;

/// How a block of 256 threads shares rows in kernels that go over each as a whole (rows.cuh). Sums have an order that
/// depends on the tile: that is, on the width and on whether rows are aligned to 16 bytes.
///
/// @param vector 1 or 4: how many floats a thread moves at a time
/// @param threads of a row, a multiple of 32 that divides 256
record RowTile(int vector, int threads) {
  private static final int BLOCK = 256;
  /// Elements of a row that a thread holds.
  private static final int HELD = 16;
  private static final int WARP = 32;
  private static final TileNames<RowTile> NAMES = new TileNames<>(tile -> "_" + HELD / tile.vector + "x" + tile.vector);

  /// The fewest threads that hold a row of the matrices, all of so many columns, or a whole block.
  static RowTile of(DeviceMatrix... matrices) {
    RowTile tile = ofWarps(matrices);
    int threads = WARP;
    while (threads < BLOCK && threads * HELD < matrices[0].columns()) {
      threads *= 2;
    }
    return new RowTile(tile.vector(), threads);
  }

  /// A warp a row.
  static RowTile ofWarps(DeviceMatrix... matrices) {
    return new RowTile(ElementwiseTile.vector(matrices), WARP);
  }

  /// The exported name of the kernel with this tile.
  String name(String kernel) {
    return NAMES.of(kernel, this);
  }

  Dimensions block() {
    return Dimensions.of(threads, BLOCK / threads);
  }

  /// The blocks that cover a matrix.
  Dimensions grid(int rows) {
    return Dimensions.of(Kernels.blocks(rows, BLOCK / threads));
  }
}
