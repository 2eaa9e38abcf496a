package dev.espalier.kernels;

import java.util.List;

/// Products with 2:4 weights, in bfloat16 on the tensor cores of compute capability 8.0 and later: c = x Wᵀ. For few
/// samples limited by memory, 9/8 bytes for each weight; for many by arithmetic, samples · outputs · inputs multiply-adds of
/// which half are not carried out.
public final class SparseProductKernel {
  /// A kernel and its tile.
  ///
  /// @param outputs of a block
  /// @param samples of a block
  /// @param inputs of a step
  /// @param stages of the inputs in flight
  /// @param vector floats of one copy, where the samples come as float32; 0 where they are rounded before
  /// @param blocks that share a multiprocessor at least, which its launch bounds hold registers for
  /// @param name the exported one
  record Tile(int outputs, int samples, int inputs, int stages, int vector, int blocks, String name) {
    static final int THREADS = 256;

    Tile(int outputs, int samples, int inputs, int stages, int vector, int blocks) {
      this(outputs, samples, inputs, stages, vector, blocks,
          "sparse_product_%dx%dx%dx%d%s".formatted(outputs, samples, inputs, stages, vector == 0 ? "" : "_v" + vector));
    }

    boolean isRounded() {
      return vector == 0;
    }

    /// Dynamic shared memory of a block.
    int sharedBytes() {
      int steps = inputs / SparseWeights.SIDE;
      int weights = outputs / SparseWeights.SIDE * steps * SparseWeights.BLOCK_BYTES;
      int x = isRounded() ? samples / EIGHT * steps * SAMPLE_BLOCK_BYTES : samples * (inputs + 4) * Float.BYTES;
      return stages * (weights + x);
    }
  }

  /// Samples of a SampleBlock of sparse_product.cu, and its bytes: 32 inputs of each as bfloat16.
  private static final int EIGHT = 8;
  private static final int SAMPLE_BLOCK_BYTES = 512;
  /// A lane's share of an operand.
  private static final int LANE_BYTES = 16;

  static final Tile LARGE = new Tile(256, 128, 32, 5, 0, 1);
  static final Tile MEDIUM = new Tile(64, 64, 64, 3, 0, 2);
  static final Tile SMALL = new Tile(32, 32, 256, 3, 0, 1);
  static final Tile FEW = new Tile(32, 8, 256, 4, 4, 1);
  static final Tile FEW_UNALIGNED = new Tile(32, 8, 256, 4, 1, 1);
  static final List<Tile> TILES = List.of(LARGE, MEDIUM, SMALL, FEW, FEW_UNALIGNED);

  private static final String FAMILY = "sparse_product";
  private static final int LEAST_CAPABILITY = 80;

  private final Gpu gpu;
  private final ReductionsKernel reductions;

  /// Launches on `gpu`.
  ///
  /// @throws IllegalArgumentException if its tensor cores have no sparse operand
  public SparseProductKernel(Gpu gpu) {
    if (!runsOn(gpu)) {
      throw new IllegalArgumentException("2:4 needs compute capability 8.0 or later, not %d.%d"
          .formatted(gpu.computeCapability() / 10, gpu.computeCapability() % 10));
    }
    this.gpu = gpu;
    this.reductions = new ReductionsKernel(gpu);
  }

  /// Whether the tensor cores of a GPU take a sparse operand: from compute capability 8.0 on.
  public static boolean runsOn(Gpu gpu) {
    return gpu.computeCapability() >= LEAST_CAPABILITY;
  }

  /// The bytes of workspace for a product of this shape: the samples in bfloat16, and sums of each part of the inputs.
  public long workspace(int samples, int outputs, int inputs) {
    Tile tile = choose(samples, outputs, inputs, true);
    Tile unaligned = choose(samples, outputs, inputs, false);
    return Math.max(workspace(tile, parts(tile, samples, outputs, inputs), samples, outputs, inputs),
        workspace(unaligned, parts(unaligned, samples, outputs, inputs), samples, outputs, inputs));
  }

  /// The bytes of workspace for a chosen kernel and number of parts.
  static long workspace(Tile tile, int parts, int samples, int outputs, int inputs) {
    long sums = parts == 1 ? 1 : (long) parts * samples * outputs * Float.BYTES;
    return (tile.isRounded() ? roundedBytes(samples, inputs) : 0) + sums;
  }

  /// The bytes of rounded samples: 2 for each number, after padding to multiples of 8 samples and 32 inputs.
  public static long roundedBytes(int samples, int inputs) {
    return (long) Math.ceilDiv(samples, EIGHT) * Math.ceilDiv(inputs, SparseWeights.SIDE) * SAMPLE_BLOCK_BYTES;
  }

  /// Rounds samples to bfloat16, in the order that the products take them in.
  ///
  /// @param x samples × inputs
  /// @param rounded of [#roundedBytes], written
  public void round(DeviceMatrix x, DeviceBuffer rounded) {
    long bytes = roundedBytes(x.rows(), x.columns());
    Kernels.room("rounded", rounded, bytes);
    gpu.launch(new Launch(FAMILY, "sparse_product_round_" + Tile.THREADS,
        Dimensions.of(Kernels.blocks(bytes / LANE_BYTES, Tile.THREADS)), Dimensions.of(Tile.THREADS), 0,
        List.of(Argument.of(x), Argument.of(rounded), Argument.of(x.rows()), Argument.of(x.columns())),
        List.of("x ", x)));
  }

  /// c = x Wᵀ. Both factors are rounded to bfloat16, to nearest, ties to even; sums are float32.
  ///
  /// @param x samples × inputs; where it is not finite, zero weights beside it may make NaN, or not
  /// @param c samples × outputs, apart from x; only written
  /// @param workspace of [#workspace] bytes
  /// @throws IllegalArgumentException if the shapes do not fit or c overlaps x
  public void multiply(DeviceMatrix x, SparseWeights weights, DeviceMatrix c, DeviceBuffer workspace) {
    Tile tile = choose(x.rows(), weights.outputs(), weights.inputs(), x.admits(FEW.vector()));
    multiply(tile, parts(tile, x.rows(), weights.outputs(), weights.inputs()), x, weights, c, workspace);
  }

  /// As [#multiply(DeviceMatrix, SparseWeights, DeviceMatrix, DeviceBuffer)], with a chosen kernel.
  void multiply(Tile tile, int parts, DeviceMatrix x, SparseWeights weights, DeviceMatrix c, DeviceBuffer workspace) {
    int samples = x.rows();
    Kernels.shape("x", x, samples, weights.inputs());
    Kernels.shape("c", c, samples, weights.outputs());
    if (c.overlaps(x)) {
      throw new IllegalArgumentException("c overlaps x");
    }
    if (!tile.isRounded() && !x.admits(tile.vector())) {
      throw new IllegalArgumentException("%s does not admit x %s at %#x".formatted(tile.name(), x, x.address()));
    }
    Kernels.room("workspace", workspace, workspace(tile, parts, samples, weights.outputs(), weights.inputs()));
    long rounded = 0;
    if (tile.isRounded()) {
      rounded = roundedBytes(samples, weights.inputs());
      round(x, workspace);
    }
    DeviceBuffer partials = new DeviceBuffer(workspace.address() + rounded, workspace.bytes() - rounded);
    gpu.launch(new Launch(FAMILY, tile.name(),
        new Dimensions(Math.toIntExact(tiles(tile, samples, weights.outputs())), 1, parts), Dimensions.of(Tile.THREADS),
        tile.sharedBytes(),
        List.of(Argument.of(weights.packed()), tile.isRounded() ? Argument.of(workspace) : Argument.of(x),
            Argument.of(c), Argument.of(partials), Argument.of(samples), Argument.of(weights.outputs()),
            Argument.of(weights.inputs())),
        List.of("x ", x, ", c ", c)));
    if (parts > 1) {
      reductions.addPartials(1, partials, parts, 0, MatrixBlock.of(c));
    }
  }

  /// A model's choice, not yet a measurement's. The large tile pays where it fills most of the device.
  Tile choose(int samples, int outputs, int inputs, boolean aligned) {
    if (samples <= FEW.samples()) {
      return aligned ? FEW : FEW_UNALIGNED;
    } else if (samples <= SMALL.samples()) {
      return SMALL;
    }
    long blocks = tiles(LARGE, samples, outputs) * parts(LARGE, samples, outputs, inputs);
    return 4 * blocks >= 3L * gpu.multiprocessors() ? LARGE : MEDIUM;
  }

  private int parts(Tile tile, int samples, int outputs, int inputs) {
    return Kernels.parts(gpu, tiles(tile, samples, outputs), Math.ceilDiv(inputs, tile.inputs()));
  }

  private static long tiles(Tile tile, int samples, int outputs) {
    return (long) Kernels.blocks(samples, tile.samples()) * Kernels.blocks(outputs, tile.outputs());
  }
}
