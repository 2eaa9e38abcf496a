package dev.espalier.spark;

import org.apache.spark.Partition;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.rdd.PartitionCoalescer;
import org.apache.spark.rdd.PartitionGroup;
import org.apache.spark.rdd.RDD;
import scala.Option;

/// Puts the tiles of each layer into one partition, in their order, without a shuffle.
final class ByLayer implements PartitionCoalescer, java.io.Serializable {
  private static final long serialVersionUID = 1;

  private final int[][] layers;

  /// @param layers the numbers of the tiles of each
  private ByLayer(int[]... layers) {
    this.layers = layers;
  }

  /// A partition for each layer.
  ///
  /// @param tiles a partition for each
  static JavaRDD<byte[]> of(JavaRDD<byte[]> tiles, int[]... layers) {
    return tiles.rdd().coalesce(layers.length, false, Option.apply(new ByLayer(layers)), null).toJavaRDD();
  }

  @Override
  public PartitionGroup[] coalesce(int most, RDD<?> tiles) {
    Partition[] all = tiles.partitions();
    PartitionGroup[] groups = new PartitionGroup[layers.length];
    for (int l = 0; l < groups.length; l++) {
      groups[l] = new PartitionGroup(Option.empty());
      for (int tile : layers[l]) {
        groups[l].partitions().addOne(all[tile]);
      }
    }
    return groups;
  }
}
