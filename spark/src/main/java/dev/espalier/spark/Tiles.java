package dev.espalier.spark;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.statistics.Block;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.io.Serializable;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// The sums of a network, cut into tiles, each of which is sent and added up by itself. They are in a fixed order: by
/// layer, statistic and block.
final class Tiles implements Serializable {
  /// Most neurons and most inputs of a tile: M1 and M2 of one take 32 MiB.
  static final int SIDE = 2048;

  private static final long serialVersionUID = 1;
  private static final ValueLayout.OfLong COUNT = ValueLayout.JAVA_LONG_UNALIGNED;

  /// @param outputs of the layer
  /// @param inputs of the layer
  private record Tile(String layer, Statistic statistic, int outputs, int inputs, Block block) implements Serializable {
    long bytes() {
      return Long.BYTES + Float.BYTES * statistic.arrays(block.outputs(), block.inputs()).stream()
          .mapToLong(array -> (long) array.rows() * array.columns()).sum();
    }

    Sums in(NetworkSums sums) {
      return sums.layers().get(layer).stream().filter(each -> each.statistic().equals(statistic)).findFirst()
          .orElseThrow();
    }
  }

  private final ArrayList<Tile> tiles = new ArrayList<>();
  /// How often each sample counts.
  private final int uses;

  private Tiles() {
    this(1);
  }

  private Tiles(int uses) {
    this.uses = uses;
  }

  /// Those of the sums that a plan needs.
  ///
  /// @param side most neurons and most inputs of a tile
  static Tiles of(PruningPlan plan, int side) {
    Tiles all = new Tiles();
    plan.scoring().layers().forEach(layer -> {
      PruningPlan.Layer shape = plan.layers().get(layer.number());
      plan.scoring().needs().inOrder()
          .forEach(statistic -> all.add(shape.name(), statistic, shape.outputs(), shape.inputs(), side));
    });
    return all;
  }

  /// Those of the sums that the fit of a layer needs, as [dev.espalier.engine.repair.LayerFit] gives them.
  ///
  /// @param uses nodes that use the layer, for each of which a sample counts
  static Tiles ofFit(PruningPlan.Layer layer, int uses, int side) {
    Tiles all = new Tiles(uses);
    all.add(layer.name(), new Statistic.Covariance(Statistic.Covariance.Pair.INPUTS), layer.inputs(), layer.inputs(),
        side);
    all.add(layer.name(), new Statistic.Covariance(Statistic.Covariance.Pair.ERRORS), layer.outputs(), layer.inputs(),
        side);
    return all;
  }

  /// Those of the variances of some inputs.
  ///
  /// @param inputs by the names of their layers
  static Tiles ofVariances(PruningPlan plan, Map<String, CancelledInputs> inputs, int side) {
    Tiles all = new Tiles();
    plan.layers().stream().filter(layer -> inputs.containsKey(layer.name())).forEach(layer -> all.add(layer.name(),
        new Statistic.Variances(), layer.outputs(), inputs.get(layer.name()).numbers().size(), side));
    return all;
  }

  /// These, and behind them others.
  Tiles and(Tiles others) {
    Tiles all = new Tiles();
    all.tiles.addAll(tiles);
    all.tiles.addAll(others.tiles);
    return all;
  }

  /// The numbers of a layer's tiles, ascending.
  int[] of(String layer) {
    return IntStream.range(0, tiles.size()).filter(tile -> tiles.get(tile).layer.equals(layer)).toArray();
  }

  /// Those of a number for each weight and bias of some layers.
  ///
  /// @param layers their numbers
  static Tiles ofParameters(DenseNetwork network, List<Integer> layers, int side) {
    Tiles all = new Tiles();
    layers.stream().map(network.layers()::get)
        .forEach(layer -> all.add(layer.name(), new Statistic.Parameters(), layer.outputs(), layer.inputs(), side));
    return all;
  }

  private void add(String layer, Statistic statistic, int outputs, int inputs, int side) {
    Block.grid(statistic, outputs, inputs, side)
        .forEach(block -> tiles.add(new Tile(layer, statistic, outputs, inputs, block)));
  }

  int count() {
    return tiles.size();
  }

  /// Bytes of a tile as it is sent.
  long bytes(int tile) {
    return tiles.get(tile).bytes();
  }

  /// Bytes of all tiles.
  long bytes() {
    return tiles.stream().mapToLong(Tile::bytes).sum();
  }

  /// A tile of the sums, as it is sent.
  byte[] encode(NetworkSums sums, int number) {
    Tile tile = tiles.get(number);
    try (Arena arena = Arena.ofConfined()) {
      return encode(tile.in(sums).block(tile.block, arena));
    }
  }

  /// The number of samples, and the arrays one after the other.
  static byte[] encode(Sums block) {
    byte[] bytes = new byte[Math.toIntExact(
        Long.BYTES + block.arrays().values().stream().mapToLong(array -> array.segment().byteSize()).sum())];
    MemorySegment target = MemorySegment.ofArray(bytes);
    target.set(COUNT, 0, block.samples());
    long end = Long.BYTES;
    for (MatrixView array : block.arrays().values()) {
      target.asSlice(end, array.segment().byteSize()).copyFrom(array.segment());
      end += array.segment().byteSize();
    }
    return bytes;
  }

  /// A tile that was sent; it lies in the bytes.
  Sums decode(int number, byte[] bytes) {
    Tile tile = tiles.get(number);
    Block block = tile.block;
    MemorySegment source = MemorySegment.ofArray(bytes);
    Map<String, MatrixView> arrays = new LinkedHashMap<>();
    long end = Long.BYTES;
    for (Statistic.Array array : tile.statistic.arrays(block.outputs(), block.inputs())) {
      long size = (long) array.rows() * array.columns() * Float.BYTES;
      arrays.put(array.name(), new MatrixView(source.asSlice(end, size), array.rows(), array.columns()));
      end += size;
    }
    return new Sums(tile.statistic, block.outputs(), block.inputs(), source.get(COUNT, 0), arrays);
  }

  /// Zeros, to [put][#put] tiles in.
  ///
  /// @param some the numbers of those of whole layers
  /// @param arena takes their memory
  NetworkSums allocate(long samples, int[] some, Arena arena) {
    long counted = Math.multiplyExact(samples, uses);
    Map<String, Map<Statistic, Sums>> layers = new LinkedHashMap<>();
    for (int number : some) {
      Tile tile = tiles.get(number);
      layers.computeIfAbsent(tile.layer, _ -> new LinkedHashMap<>()).computeIfAbsent(tile.statistic,
          _ -> zeros(tile, counted, arena));
    }
    Map<String, List<Sums>> sums = new LinkedHashMap<>();
    layers.forEach((layer, all) -> sums.put(layer, List.copyOf(all.values())));
    return new NetworkSums(counted, sums);
  }

  private static Sums zeros(Tile tile, long samples, Arena arena) {
    Map<String, MatrixView> arrays = new LinkedHashMap<>();
    for (Statistic.Array array : tile.statistic.arrays(tile.outputs, tile.inputs)) {
      arrays.put(array.name(), MatrixView.allocate(arena, array.rows(), array.columns()));
    }
    return new Sums(tile.statistic, tile.outputs, tile.inputs, samples, arrays);
  }

  /// Writes a tile that was sent into the sums.
  ///
  /// @throws IllegalArgumentException if it is of another number of samples
  void put(NetworkSums sums, int number, byte[] bytes) {
    Tile tile = tiles.get(number);
    tile.in(sums).put(tile.block, decode(number, bytes));
  }
}
