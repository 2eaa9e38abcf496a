package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.nio.file.Path;
import java.util.List;

/// The memory that sparse tensors of a file may take as dense ones: a file of a few bytes can tell any shape.
final class SparseLimit {
  private static final long LEAST = 16L << 20;
  /// Of a byte in the file: 0.1 % of float32 weights, with their indices, have 500.
  private static final long DENSE_BYTES = 2000;

  private long left;

  /// @param bytes of the sparse tensors in the file
  SparseLimit(long bytes) {
    left = LEAST + DENSE_BYTES * bytes;
  }

  /// Whether the sparse tensors of a file can be read.
  ///
  /// @param sparse bytes in the file
  static boolean allows(long sparse, long dense) {
    return dense <= LEAST + DENSE_BYTES * sparse;
  }

  /// The bytes of a dense tensor, which are then taken.
  ///
  /// @param bytes of an element
  /// @throws FormatException if the file is too small for it
  long take(Path path, String name, int bytes, List<Long> shape) throws FormatException {
    long size = bytes;
    for (long dimension : shape) {
      boolean isTooLarge = dimension < 0 || size > left / Math.max(1, dimension);
      size = isTooLarge ? Long.MAX_VALUE : size * dimension;
      if (isTooLarge) {
        break;
      }
    }
    if (size > left) {
      throw new FormatException(path,
          "sparse tensor %s of shape %s is too large for a file with so few values; write it as a dense one"
              .formatted(quote(name), shape));
    }
    left -= size;
    return size;
  }
}
