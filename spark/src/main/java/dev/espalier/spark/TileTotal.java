package dev.espalier.spark;

import dev.espalier.engine.statistics.SumsTotal;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import org.apache.spark.api.java.function.Function2;
import scala.Tuple2;

/// Adds up what the partitions sent of one tile, in the order in which it comes, which is theirs.
final class TileTotal implements Function2<Integer, Iterator<Tuple2<Long, byte[]>>, Iterator<byte[]>> {
  private static final long serialVersionUID = 1;

  private final Tiles tiles;

  TileTotal(Tiles tiles) {
    this.tiles = tiles;
  }

  @Override
  public Iterator<byte[]> call(Integer tile, Iterator<Tuple2<Long, byte[]>> parts) {
    SumsTotal total = new SumsTotal(tiles.decode(tile, parts.next()._2()));
    parts.forEachRemaining(part -> total.add(tiles.decode(tile, part._2())));
    try (Arena arena = Arena.ofConfined()) {
      return Collections.singleton(Tiles.encode(total.sums(arena))).iterator();
    }
  }
}
