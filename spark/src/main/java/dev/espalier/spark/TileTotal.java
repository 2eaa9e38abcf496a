package dev.espalier.spark;

import dev.espalier.engine.statistics.SumsTotal;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.FlatMapFunction;
import scala.Tuple2;

/// Adds up what the partitions sent of one tile, in the order in which it comes, which is theirs.
final class TileTotal implements FlatMapFunction<Iterator<Tuple2<Long, byte[]>>, byte[]> {
  private static final long serialVersionUID = 1;

  private final Tiles tiles;

  TileTotal(Tiles tiles) {
    this.tiles = tiles;
  }

  @Override
  public Iterator<byte[]> call(Iterator<Tuple2<Long, byte[]>> parts) {
    int tile = TaskContext.getPartitionId();
    SumsTotal total = new SumsTotal(tiles.decode(tile, parts.next()._2()));
    parts.forEachRemaining(part -> total.add(tiles.decode(tile, part._2())));
    try (Arena arena = Arena.ofConfined()) {
      return Collections.singleton(Tiles.encode(total.sums(arena))).iterator();
    }
  }
}
