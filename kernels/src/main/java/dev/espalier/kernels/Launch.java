package dev.espalier.kernels;

import java.util.List;
import java.util.stream.Collectors;

/// One kernel launch.
///
/// @param family the source file, without its ending
/// @param kernel the exported name, tile included
/// @param grid blocks
/// @param block threads of a block, at most 1024
/// @param sharedBytes dynamic shared memory of a block
/// @param arguments in the kernel's order
/// @param shapes of the matrices: the parts of a text, which only error messages join
public record Launch(String family, String kernel, Dimensions grid, Dimensions block, int sharedBytes,
    List<Argument> arguments, List<?> shapes) {
  /// @throws IllegalArgumentException if the launch is outside what every device admits
  public Launch {
    if (block.count() > 1024 || grid.y() > MAX_GRID_Y || grid.z() > MAX_GRID_Y || sharedBytes < 0) {
      throw new IllegalArgumentException(
          "%s: grid %s, block %s, %d bytes shared".formatted(kernel, grid, block, sharedBytes));
    }
    arguments = List.copyOf(arguments);
    shapes = List.copyOf(shapes);
  }

  /// The most blocks in the y and z dimensions of a grid.
  static final int MAX_GRID_Y = 65_535;

  @Override
  public String toString() {
    String of = shapes.stream().map(Object::toString).collect(Collectors.joining());
    return "%s on %s (grid %s, block %s, %d bytes shared)".formatted(kernel, of, grid, block, sharedBytes);
  }
}
