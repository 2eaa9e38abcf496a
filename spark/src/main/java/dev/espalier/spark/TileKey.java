package dev.espalier.spark;

import org.apache.spark.Partitioner;

/// What a part of a tile is sent by: the number of the tile, and that of the part.
final class TileKey {
  private TileKey() {}

  static long of(int tile, int part) {
    return (long) tile << Integer.SIZE | part;
  }

  static int tile(long key) {
    return (int) (key >>> Integer.SIZE);
  }

  static int part(long key) {
    return (int) key;
  }

  /// Sends neighbouring parts of a tile to the same task.
  static final class ByGroup extends Partitioner {
    private static final long serialVersionUID = 1;

    private final int tiles;
    private final int groups;
    private final int together;

    /// @param tiles how many there are
    /// @param parts of each tile
    /// @param together parts that a task adds up, fewer in the last group
    ByGroup(int tiles, int parts, int together) {
      this.tiles = tiles;
      this.together = together;
      groups = Math.ceilDiv(parts, together);
    }

    /// Groups of the parts of a tile.
    int groups() {
      return groups;
    }

    @Override
    public int numPartitions() {
      return Math.multiplyExact(tiles, groups);
    }

    @Override
    public int getPartition(Object key) {
      return tile((Long) key) * groups + part((Long) key) / together;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof ByGroup same && same.tiles == tiles && same.groups == groups && same.together == together;
    }

    @Override
    public int hashCode() {
      return 31 * (31 * tiles + groups) + together;
    }
  }
}
