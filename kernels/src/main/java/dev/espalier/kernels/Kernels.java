package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;

/// What the launchers share: checks of their arguments, and grids.
final class Kernels {
  private Kernels() {}

  /// @throws IllegalArgumentException unless the matrix has that shape
  static void shape(String name, DeviceMatrix matrix, int rows, int columns) {
    if (matrix.rows() != rows || matrix.columns() != columns) {
      throw new IllegalArgumentException("%s is %s, not %d×%d".formatted(name, matrix, rows, columns));
    }
  }

  /// @throws IllegalArgumentException if the buffer has fewer bytes
  static void room(String name, DeviceBuffer buffer, long bytes) {
    if (buffer.bytes() < bytes) {
      throw new IllegalArgumentException("%s has %s, %d are needed".formatted(name, buffer, bytes));
    }
  }

  /// @throws IllegalArgumentException if a written matrix shares memory with another, unless it is the same
  ///                                  one
  static void apart(String name, DeviceMatrix written, DeviceMatrix... others) {
    for (DeviceMatrix other : others) {
      if (written.overlaps(other) && !(written.address() == other.address() && written.bytes() == other.bytes())) {
        throw new IllegalArgumentException("%s overlaps another matrix".formatted(name));
      }
    }
  }

  /// Whether products round their factors to TF32. No kernel multiplies bfloat16: [MathMode#BF16] is TF32 here. Devices
  /// below compute capability 8.0 have no TF32 and multiply float32.
  static boolean roundsToTf32(Gpu gpu, MathMode mode) {
    return mode != MathMode.FP32 && gpu.computeCapability() >= 80;
  }

  /// How often `rows` holds `samples`.
  ///
  /// @throws IllegalArgumentException if not a whole number of times
  static int copies(DeviceMatrix stacked, int samples) {
    if (stacked.rows() % samples != 0) {
      throw new IllegalArgumentException("%d stacked rows of %d samples".formatted(stacked.rows(), samples));
    }
    return stacked.rows() / samples;
  }

  /// ⌈a / b⌉ as a grid dimension.
  static int blocks(long a, long b) {
    return Math.toIntExact(Math.ceilDivExact(a, b));
  }

  /// Into how many parts the inner dimension of a product is split: those for which the last multiprocessor is done
  /// first. A model's choice, not yet a measurement's: ⌈tiles·parts/multiprocessors⌉ blocks one after another on a
  /// multiprocessor, each of ⌈steps/parts⌉ steps and a few more that fill its pipeline and write its result.
  ///
  /// @param tiles of the result
  /// @param steps of the inner dimension
  static int parts(Gpu gpu, long tiles, long steps) {
    long most = Math.max(1, Math.min(steps / FEWEST_STEPS, MOST_BLOCKS * gpu.multiprocessors() / tiles));
    int best = 1;
    long least = Long.MAX_VALUE;
    for (int parts = 1; parts <= most; parts++) {
      long cost = Math.ceilDiv(tiles * parts, gpu.multiprocessors()) * (Math.ceilDiv(steps, parts) + BLOCK_STEPS);
      if (cost < least) {
        least = cost;
        best = parts;
      }
    }
    return best;
  }

  /// Whether the shared memory of a multiprocessor holds as many blocks.
  ///
  /// @param sharedBytes of a block
  static boolean holds(Gpu gpu, int blocks, int sharedBytes) {
    return (long) blocks * (sharedBytes + RESERVED_SHARED) <= gpu.sharedMemory();
  }

  /// Shared memory of each block that CUDA keeps for itself, from compute capability 8.0 on.
  private static final int RESERVED_SHARED = 1024;

  private static final int FEWEST_STEPS = 8;
  /// What a block costs beside its steps, in steps.
  private static final int BLOCK_STEPS = 4;
  /// Blocks of split products for each multiprocessor, at most: they bound the memory of partial results.
  static final long MOST_BLOCKS = 4;

  /// 32 × 8 threads: a warp along the columns of each of 8 rows.
  static final Dimensions WARP_A_ROW = Dimensions.of(32, 8);

  /// A grid for kernels in which each warp of such a block takes a row.
  static Dimensions gridOfRows(long rows) {
    return Dimensions.of(blocks(rows, WARP_A_ROW.y()));
  }
}
