package dev.espalier.spark;

import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.rdd.ShuffledRDD;
import org.apache.spark.serializer.KryoSerializer;
import scala.Tuple2;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/// How the parts of each tile are added up: those of up to 32 partitions by one task, those of more by a tree of two
/// levels, about √n groups of as many neighbours. Its shape depends on the number of partitions alone, and each task
/// adds in their order, so the bits do not depend on where and when tasks run. Each level rounds to float32 once.
final class Reduction {
  /// Parts of a tile that one task adds up, unless they are more than its square.
  static final int TOGETHER = 32;

  private static final ClassTag<Long> KEY = ClassTag$.MODULE$.apply(Long.class);
  private static final ClassTag<byte[]> PART = ClassTag$.MODULE$.apply(byte[].class);

  private Reduction() {}

  /// Parts that a task adds up.
  static int together(int parts) {
    return parts <= TOGETHER ? parts : Math.max(TOGETHER, (int) Math.ceil(Math.sqrt(parts)));
  }

  /// Parts of a tile that are sent in all, at both levels.
  static int sent(int parts) {
    return parts <= TOGETHER ? parts : parts + Math.ceilDiv(parts, together(parts));
  }

  /// The totals, a partition for each tile.
  ///
  /// @param parts by their [TileKey], in which the parts of each tile are numbered from 0, without gaps
  /// @param count of the parts of a tile, at least 1
  static JavaRDD<byte[]> totals(Tiles tiles, JavaRDD<Tuple2<Long, byte[]>> parts, int count) {
    JavaRDD<Tuple2<Long, byte[]>> sums = parts;
    int left = count;
    do {
      TileKey.ByGroup groups = new TileKey.ByGroup(tiles.count(), left, together(left));
      // Kryo's bytes can be moved in files and spilled when memory ends; Java's cannot, and records as large as tiles
      // would wait on the heap by the dozen.
      sums = new ShuffledRDD<>(sums.rdd(), groups, KEY, PART, PART)
          .setSerializer(new KryoSerializer(sums.context().getConf())).toJavaRDD()
          .mapPartitionsWithIndex(new TileTotal(tiles, groups.groups(), together(left)), false);
      left = groups.groups();
    } while (left > 1);
    return sums.map(Tuple2::_2);
  }
}
