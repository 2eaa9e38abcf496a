package dev.espalier.spark;

import org.apache.spark.Partitioner;

/// What tiles are sorted by: their number, and then the partition that sent them. So they are added in the order of the
/// partitions, whenever they arrive.
final class TileKey {
  private TileKey() {}

  static long of(int tile, int partition) {
    return (long) tile << Integer.SIZE | partition;
  }

  /// Sends each tile to a partition of its own.
  static final class ByTile extends Partitioner {
    private static final long serialVersionUID = 1;

    private final int tiles;

    ByTile(int tiles) {
      this.tiles = tiles;
    }

    @Override
    public int numPartitions() {
      return tiles;
    }

    @Override
    public int getPartition(Object key) {
      return (int) ((Long) key >>> Integer.SIZE);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof ByTile same && same.tiles == tiles;
    }

    @Override
    public int hashCode() {
      return tiles;
    }
  }
}
