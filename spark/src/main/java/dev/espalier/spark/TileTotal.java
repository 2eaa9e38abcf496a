package dev.espalier.spark;

import dev.espalier.engine.statistics.SumsTotal;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.Iterator;
import java.util.Optional;
import org.apache.spark.api.java.function.Function2;
import scala.Tuple2;

/// Adds up neighbouring parts of one tile in the order of their numbers, in double, whenever they arrive.
final class TileTotal implements Function2<Integer, Iterator<Tuple2<Long, byte[]>>, Iterator<Tuple2<Long, byte[]>>> {
  private static final long serialVersionUID = 1;

  private final Tiles tiles;
  private final int groups;
  private final int together;

  /// @param groups of the parts of a tile
  /// @param together parts of a group, which are all sent
  TileTotal(Tiles tiles, int groups, int together) {
    this.tiles = tiles;
    this.groups = groups;
    this.together = together;
  }

  /// @param number of the tile and group, as [TileKey.ByGroup] gives it
  /// @return the total as a part of the tile, by the number of the group
  @Override
  public Iterator<Tuple2<Long, byte[]>> call(Integer number, Iterator<Tuple2<Long, byte[]>> parts) throws IOException {
    int tile = number / groups;
    int group = number % groups;
    int next = group * together;
    Optional<SumsTotal> total = Optional.empty();
    try (EarlyParts early = new EarlyParts(); Arena arena = Arena.ofConfined()) {
      while (parts.hasNext()) {
        Tuple2<Long, byte[]> arrived = parts.next();
        early.put(TileKey.part(arrived._1()), arrived._2());
        for (Optional<byte[]> part = early.take(next); part.isPresent(); part = early.take(next)) {
          total = Optional.of(plus(total, tile, part.get()));
          next++;
        }
      }
      early.requireNone();
      return Collections.singleton(new Tuple2<>(TileKey.of(tile, group), Tiles.encode(total.orElseThrow().sums(arena))))
          .iterator();
    }
  }

  private SumsTotal plus(Optional<SumsTotal> total, int tile, byte[] part) {
    if (total.isEmpty()) {
      return new SumsTotal(tiles.decode(tile, part));
    }
    total.get().add(tiles.decode(tile, part));
    return total.get();
  }
}
