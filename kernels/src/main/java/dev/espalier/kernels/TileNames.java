package dev.espalier.kernels;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

/// The exported names of kernels with their tiles. Each is made once, because every launch needs one.
///
/// @param <T> the tile
final class TileNames<T> {
  private final Map<T, Map<String, String>> names = new ConcurrentHashMap<>();
  private final Function<T, String> ending;

  /// @param ending of the names of a tile
  TileNames(Function<T, String> ending) {
    this.ending = ending;
  }

  /// The name of a kernel with a tile.
  String of(String kernel, T tile) {
    return names.computeIfAbsent(tile, _ -> new ConcurrentHashMap<>()).computeIfAbsent(kernel,
        name -> name + ending.apply(tile));
  }
}
