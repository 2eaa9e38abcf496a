package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;
import java.util.List;

/// Plain matrix products for machines without cuBLAS: c = α op(a)·op(b) + β c. Limited by arithmetic:
/// 2 · rows · columns · inner operations on 4 · (rows · ⌈columns/tile⌉ + columns · ⌈rows/tile⌉) · inner bytes from L2.
public final class ProductKernel {
  /// A kernel and its tile.
  sealed interface Tile {
    /// Rows of a block.
    int rows();

    /// Columns of a block.
    int columns();

    /// Of the inner dimension, a step.
    int inner();

    /// Threads of a block.
    int threads();

    /// Floats of one copy, which the operands and their strides are aligned to.
    int vector();

    /// Dynamic shared memory of a block.
    int sharedBytes(boolean transposeA, boolean transposeB);

    /// Blocks that share a multiprocessor at least, which its launch bounds hold registers for.
    int blocks();

    /// The exported name.
    String name(boolean transposeA, boolean transposeB);
  }

  /// float32 arithmetic; any device.
  ///
  /// @param names by operation, as [#operation] counts them
  record Fma(int rows, int columns, int inner, int blocks, List<String> names) implements Tile {
    Fma(int rows, int columns, int inner, int blocks) {
      this(rows, columns, inner, blocks,
          OPERATIONS.stream().map(op -> "product_fma_" + rows + "x" + columns + "x" + inner + "_" + op).toList());
    }

    @Override
    public int threads() {
      return 256;
    }

    @Override
    public int vector() {
      return 1;
    }

    @Override
    public int sharedBytes(boolean transposeA, boolean transposeB) {
      return 0;
    }

    @Override
    public String name(boolean transposeA, boolean transposeB) {
      return names.get(operation(transposeA, transposeB));
    }
  }

  /// mma.sync and cp.async, from compute capability 8.0 on.
  ///
  /// @param stages of the inner dimension in flight
  /// @param names by operation, as [#operation] counts them
  record Mma(int rows, int columns, int inner, int stages, int vector, int threads, int blocks,
      List<String> names) implements Tile {
    Mma(int rows, int columns, int inner, int stages, int vector, int threads, int blocks) {
      this(rows, columns, inner, stages, vector, threads, blocks,
          OPERATIONS.stream()
              .map(op -> "product_mma_" + rows + "x" + columns + "x" + inner + "x" + stages + "_" + op + "_v" + vector)
              .toList());
    }

    @Override
    public int sharedBytes(boolean transposeA, boolean transposeB) {
      return stages * Float.BYTES * (elements(rows, transposeA) + elements(columns, !transposeB));
    }

    /// Of an operand's tile in shared memory, padding included (OperandTile of tiles.cuh).
    private int elements(int width, boolean innerRows) {
      return innerRows ? inner * (width + 8) : width * (inner + 4);
    }

    @Override
    public String name(boolean transposeA, boolean transposeB) {
      return names.get(operation(transposeA, transposeB));
    }
  }

  /// Which factors are transposed, as names say it.
  private static final List<String> OPERATIONS = List.of("nn", "nt", "tn", "tt");

  /// The number of an operation.
  private static int operation(boolean transposeA, boolean transposeB) {
    return (transposeA ? 2 : 0) + (transposeB ? 1 : 0);
  }

  static final Fma FMA_LARGE = new Fma(128, 128, 8, 2);
  static final Fma FMA_SMALL = new Fma(64, 64, 16, 4);
  static final Mma MMA_LARGE = new Mma(128, 128, 32, 2, 4, 256, 2);
  static final Mma MMA_SMALL = new Mma(64, 64, 32, 3, 4, 128, 4);
  static final Mma MMA_UNALIGNED = new Mma(64, 64, 32, 3, 1, 128, 4);
  /// For chips whose shared memory holds fewer blocks of the above than their launch bounds ask: the large one of 100 KB, the
  /// small ones of 164 KB too.
  static final Mma MMA_LARGE_SHORT = new Mma(128, 128, 16, 2, 4, 256, 2);
  static final Mma MMA_SMALL_SHORT = new Mma(64, 64, 16, 3, 4, 128, 3);
  static final Mma MMA_UNALIGNED_SHORT = new Mma(64, 64, 16, 3, 1, 128, 3);
  static final List<Tile> TILES = List.of(FMA_LARGE, FMA_SMALL, MMA_LARGE, MMA_LARGE_SHORT, MMA_SMALL, MMA_SMALL_SHORT,
      MMA_UNALIGNED, MMA_UNALIGNED_SHORT);

  private static final String FAMILY = "product";

  private final Gpu gpu;
  private final ReductionsKernel reductions;

  /// Launches on `gpu`.
  public ProductKernel(Gpu gpu) {
    this.gpu = gpu;
    this.reductions = new ReductionsKernel(gpu);
  }

  /// The bytes of workspace for a product of this shape: sums of each part of the inner dimension.
  public long workspace(MathMode mode, int rows, int columns, int inner) {
    return tiles(mode).stream().mapToLong(tile -> workspace(parts(tile, rows, columns, inner), rows, columns)).max()
        .orElseThrow();
  }

  /// The bytes of workspace for the products of any shape.
  public long largestWorkspace(MathMode mode) {
    return tiles(mode).stream()
        .mapToLong(tile -> Kernels.MOST_BLOCKS * gpu.multiprocessors() * tile.rows() * tile.columns() * Float.BYTES)
        .max().orElseThrow();
  }

  /// The bytes of workspace for a chosen number of parts.
  static long workspace(int parts, int rows, int columns) {
    return parts == 1 ? 1 : (long) parts * rows * columns * Float.BYTES;
  }

  /// How products round, for people.
  String description(MathMode mode) {
    return Kernels.roundsToTf32(gpu, mode) ? "TF32 by mma.sync" : "float32 by FMA";
  }

  /// c = α op(a)·op(b) + β c, where op transposes or does not.
  ///
  /// @param a rows × inner, or inner × rows if transposed
  /// @param b inner × columns, or columns × inner if transposed
  /// @param c rows × columns, apart from the others; not read when β is 0
  /// @param workspace of [#workspace] bytes
  /// @throws IllegalArgumentException if the shapes do not fit or c overlaps a or b
  public void multiply(MathMode mode, double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b,
      boolean transposeB, double beta, MatrixBlock c, DeviceBuffer workspace) {
    int inner = transposeA ? a.rows() : a.columns();
    Tile tile = choose(mode, a, b, c, inner);
    multiply(tile, parts(tile, c.rows(), c.columns(), inner), alpha, a, transposeA, b, transposeB, beta, c, workspace);
  }

  /// As [#multiply(MathMode, double, MatrixBlock, boolean, MatrixBlock, boolean, double, MatrixBlock,
  /// DeviceBuffer)], with a chosen kernel.
  void multiply(Tile tile, int parts, double alpha, MatrixBlock a, boolean transposeA, MatrixBlock b,
      boolean transposeB, double beta, MatrixBlock c, DeviceBuffer workspace) {
    int inner = transposeA ? a.rows() : a.columns();
    checkShape("a", a, transposeA, c.rows(), inner);
    checkShape("b", b, transposeB, inner, c.columns());
    if (c.overlaps(a) || c.overlaps(b)) {
      throw new IllegalArgumentException("c overlaps a or b");
    }
    if (!a.admits(tile.vector()) || !b.admits(tile.vector())) {
      throw new IllegalArgumentException("%s does not admit a %s at %#x, b %s at %#x"
          .formatted(tile.name(transposeA, transposeB), a, a.address(), b, b.address()));
    }
    Kernels.room("workspace", workspace, workspace(parts, c.rows(), c.columns()));
    gpu.launch(new Launch(FAMILY, tile.name(transposeA, transposeB),
        new Dimensions(Math.toIntExact(tiles(tile, c.rows(), c.columns())), 1, parts), Dimensions.of(tile.threads()),
        tile.sharedBytes(transposeA, transposeB),
        List.of(Argument.of(a), Argument.of(b), Argument.of(c), Argument.of(workspace), Argument.of(c.rows()),
            Argument.of(c.columns()), Argument.of(inner), Argument.of(a.stride()), Argument.of(b.stride()),
            Argument.of(c.stride()), Argument.of((float) alpha), Argument.of((float) beta)),
        List.of("a ", a, ", b ", b, ", c ", c)));
    if (parts > 1) {
      reductions.addPartials(alpha, workspace, parts, beta, c);
    }
  }

  private static void checkShape(String name, MatrixBlock block, boolean transposed, int rows, int columns) {
    if (block.rows() != (transposed ? columns : rows) || block.columns() != (transposed ? rows : columns)) {
      throw new IllegalArgumentException(
          "op(%s) is %s of %s, not %d×%d".formatted(name, transposed ? "the transpose" : "all", block, rows, columns));
    }
  }

  /// The large tile reads less and pays where it fills most of the device. A model's choice, not yet a measurement's.
  private Tile choose(MathMode mode, MatrixBlock a, MatrixBlock b, MatrixBlock c, int inner) {
    boolean tf32 = Kernels.roundsToTf32(gpu, mode);
    if (tf32 && !(a.admits(MMA_LARGE.vector()) && b.admits(MMA_LARGE.vector()))) {
      return orShort(MMA_UNALIGNED, MMA_UNALIGNED_SHORT);
    }
    Tile large = tf32 ? orShort(MMA_LARGE, MMA_LARGE_SHORT) : FMA_LARGE;
    Tile small = tf32 ? orShort(MMA_SMALL, MMA_SMALL_SHORT) : FMA_SMALL;
    long blocks = tiles(large, c.rows(), c.columns()) * parts(large, c.rows(), c.columns(), inner);
    return Math.min(c.rows(), c.columns()) > small.columns() && 4 * blocks >= 3L * gpu.multiprocessors()
        ? large
        : small;
  }

  /// What [#choose] chooses from.
  List<Tile> tiles(MathMode mode) {
    return Kernels.roundsToTf32(gpu, mode)
        ? List.of(orShort(MMA_LARGE, MMA_LARGE_SHORT), orShort(MMA_SMALL, MMA_SMALL_SHORT),
            orShort(MMA_UNALIGNED, MMA_UNALIGNED_SHORT))
        : List.of(FMA_LARGE, FMA_SMALL);
  }

  /// By the transposition that takes the most shared memory.
  private Mma orShort(Mma tile, Mma shortTile) {
    int most = Math.max(tile.sharedBytes(false, true), tile.sharedBytes(true, false));
    return Kernels.holds(gpu, tile.blocks(), most) ? tile : shortTile;
  }

  private int parts(Tile tile, int rows, int columns, int inner) {
    return Kernels.parts(gpu, tiles(tile, rows, columns), Math.ceilDiv(inner, tile.inner()));
  }

  private static long tiles(Tile tile, int rows, int columns) {
    return (long) Kernels.blocks(rows, tile.rows()) * Kernels.blocks(columns, tile.columns());
  }
}
