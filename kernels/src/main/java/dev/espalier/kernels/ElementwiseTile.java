package dev.espalier.kernels;

/// The tile of a block of 32 × 8 threads in kernels that go over a matrix once (elementwise.cuh).
///
/// @param columns 32 or 128: a thread moves 1 or 4 floats at a time
/// @param rows a multiple of 8
record ElementwiseTile(int columns, int rows) {
  static final Dimensions BLOCK = Dimensions.of(32, 8);
  private static final TileNames<ElementwiseTile> NAMES = new TileNames<>(tile -> "_" + tile.columns + "x" + tile.rows);

  /// The widest tile that the matrices admit.
  static ElementwiseTile of(int rows, DeviceMatrix... matrices) {
    return new ElementwiseTile(32 * vector(matrices), rows);
  }

  /// The widest vectors, of 4 elements or 1, that all rows of the matrices admit.
  static int vector(DeviceMatrix... matrices) {
    for (DeviceMatrix matrix : matrices) {
      if (!matrix.admits(4)) {
        return 1;
      }
    }
    return 4;
  }

  /// The widest tile that blocks of one shape admit.
  static ElementwiseTile of(int rows, MatrixBlock... blocks) {
    for (MatrixBlock block : blocks) {
      if (block.columns() % 4 != 0 || !block.admits(4)) {
        return new ElementwiseTile(32, rows);
      }
    }
    return new ElementwiseTile(128, rows);
  }

  /// The exported name of the kernel with this tile.
  String name(String kernel) {
    return NAMES.of(kernel, this);
  }

  /// The blocks that cover a matrix; past the limit of the y dimension they go on by strides.
  Dimensions grid(int matrixRows, int matrixColumns) {
    return Dimensions.of(Kernels.blocks(matrixColumns, columns),
        Math.min(Launch.MAX_GRID_Y, Kernels.blocks(matrixRows, rows)));
  }
}
