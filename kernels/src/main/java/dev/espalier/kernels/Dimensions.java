package dev.espalier.kernels;

/// The shape of a grid of blocks or of a block of threads.
///
/// @param x at least 1
/// @param y at least 1
/// @param z at least 1
public record Dimensions(int x, int y, int z) {
  /// @throws IllegalArgumentException if one is below 1
  public Dimensions {
    if (x < 1 || y < 1 || z < 1) {
      throw new IllegalArgumentException("dimensions %d×%d×%d".formatted(x, y, z));
    }
  }

  static Dimensions of(int x) {
    return new Dimensions(x, 1, 1);
  }

  static Dimensions of(int x, int y) {
    return new Dimensions(x, y, 1);
  }

  /// How many there are in all.
  public long count() {
    return (long) x * y * z;
  }

  @Override
  public String toString() {
    return x + "×" + y + "×" + z;
  }
}
