package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;
import java.util.ArrayList;
import java.util.List;

/// Sums over samples of (s, a − c): M0 += Σ s, M1 += Σ s (a − c)ᵀ, M2 += Σ s ((a − c)∘(a − c))ᵀ. Limited by
/// arithmetic: 4 · samples · outputs · inputs operations on samples · (outputs + inputs) · 4 bytes, read once
/// by each row or column of tiles.
public final class DualMomentsKernel {
  /// A kernel and its tile.
  sealed interface Tile {
    /// Inputs of a block.
    int inputs();

    /// Outputs of a block.
    int outputs();

    /// Samples of a step.
    int samples();

    /// Threads of a block.
    int threads();

    /// Dynamic shared memory of a block.
    int sharedBytes();

    /// Blocks that share a multiprocessor at least, which its launch bounds hold registers for.
    int blocks();

    /// The exported name.
    String name();
  }

  /// float32 arithmetic; any shape, any device.
  record Fma(int inputs, int outputs, int samples, String name) implements Tile {
    Fma(int inputs, int outputs, int samples) {
      this(inputs, outputs, samples, "dual_moments_fma_" + inputs + "x" + outputs + "x" + samples);
    }

    @Override
    public int threads() {
      return 256;
    }

    @Override
    public int sharedBytes() {
      return 0;
    }

    @Override
    public int blocks() {
      return 2;
    }
  }

  /// mma.sync and cp.async, from compute capability 8.0 on.
  ///
  /// @param stages of samples in flight
  /// @param vector floats of one copy
  record Mma(int inputs, int outputs, int samples, int stages, int vector, int blocks, String name) implements Tile {
    /// Elements between the rows of a tile in shared memory that spread a fragment over all banks.
    private static final int PADDING = 8;

    Mma(int inputs, int outputs, int samples, int stages, int vector, int blocks) {
      this(inputs, outputs, samples, stages, vector, blocks,
          "dual_moments_mma_" + inputs + "x" + outputs + "x" + samples + "x" + stages + "_v" + vector);
    }

    @Override
    public int threads() {
      return 256;
    }

    @Override
    public int sharedBytes() {
      return stages * samples * (inputs + PADDING + outputs + PADDING) * Float.BYTES;
    }
  }

  /// wgmma and TMA, on compute capability 9.0 alone.
  record Wgmma(int inputs, int outputs, int samples, int stages, String name) implements Tile {
    Wgmma(int inputs, int outputs, int samples, int stages) {
      this(inputs, outputs, samples, stages,
          "dual_moments_wgmma_" + inputs + "x" + outputs + "x" + samples + "x" + stages);
    }

    @Override
    public int threads() {
      return 384;
    }

    @Override
    public int sharedBytes() {
      return stages * (samples * (inputs + outputs) * Float.BYTES + 2 * Long.BYTES);
    }

    @Override
    public int blocks() {
      return 1;
    }
  }

  /// As [Wgmma], from S as it is: so no kernel writes Sᵀ first.
  ///
  /// @param rawStages of samples of S in flight
  record Transposing(int inputs, int outputs, int samples, int stages, int rawStages, String name) implements Tile {
    Transposing(int inputs, int outputs, int samples, int stages, int rawStages) {
      this(inputs, outputs, samples, stages, rawStages, "dual_moments_wgmma_" + inputs + "x" + outputs + "x" + samples
          + "x" + stages + "x" + rawStages + "_transposing");
    }

    @Override
    public int threads() {
      return 384;
    }

    @Override
    public int sharedBytes() {
      return stages * (samples * (inputs + outputs) * Float.BYTES + 2 * Long.BYTES)
          + rawStages * (samples * outputs * Float.BYTES + 2 * Long.BYTES);
    }

    @Override
    public int blocks() {
      return 1;
    }
  }

  static final Fma FMA = new Fma(64, 64, 16);
  static final Mma MMA_LARGE = new Mma(128, 128, 32, 2, 4, 1);
  static final Mma MMA_SMALL = new Mma(64, 128, 32, 3, 4, 2);
  static final Mma MMA_UNALIGNED = new Mma(64, 128, 32, 3, 1, 2);
  /// For chips whose shared memory holds fewer blocks of the above than their launch bounds ask: those of 100 KB.
  static final Mma MMA_SMALL_SHORT = new Mma(64, 128, 16, 3, 4, 2);
  static final Mma MMA_UNALIGNED_SHORT = new Mma(64, 128, 16, 3, 1, 2);
  static final Wgmma WGMMA = new Wgmma(128, 128, 32, 5);
  static final Transposing WGMMA_TRANSPOSING = new Transposing(128, 128, 32, 4, 3);
  static final List<Tile> TILES = List.of(FMA, MMA_LARGE, MMA_SMALL, MMA_SMALL_SHORT, MMA_UNALIGNED,
      MMA_UNALIGNED_SHORT, WGMMA, WGMMA_TRANSPOSING);

  private static final String FAMILY = "dual_moments";
  private static final int ALIGNMENT = 256;
  private static final int WIDE = 512;
  /// Inputs for which S is transposed again by each tile of them, at most: that costs time in proportion to them, and saves
  /// what a transpose before takes, whatever they are. Measured on an H100, square layers and 32,768 samples: at widths of
  /// 128, 256, 512, 1024 and 2048 transposing took 0.0303, 0.0486, 0.143, 0.525 and 2.07 ms, the other kernel 0.0439,
  /// 0.0702, 0.149, 0.425 and 1.46 ms.
  private static final int MOST_TRANSPOSING = 512;
  /// Floats that move together where addresses allow it.
  private static final int VECTOR = 4;
  /// Samples that the transpose puts into the order of wgmma's fragments.
  private static final int TRANSPOSED_TOGETHER = 8;

  private final Gpu gpu;
  private final ReductionsKernel reductions;

  /// Launches on `gpu`.
  public DualMomentsKernel(Gpu gpu) {
    this.gpu = gpu;
    this.reductions = new ReductionsKernel(gpu);
  }

  /// The bytes of workspace for a batch of this shape: transposed sensitivities, and the sums of each part of
  /// the samples.
  public long workspace(MathMode mode, int samples, int outputs, int inputs) {
    long most = 0;
    for (Tile tile : tiles(mode)) {
      most = Math.max(most, layout(tile, parts(tile, samples, outputs, inputs), samples, outputs, inputs).bytes());
    }
    return most;
  }

  /// Adds a batch to the moments.
  ///
  /// @param sensitivity s, samples × outputs
  /// @param activation a, samples × inputs
  /// @param pilotMean c, 1 × inputs
  /// @param m0 1 × outputs
  /// @param m1 outputs × inputs
  /// @param m2 outputs × inputs
  /// @param workspace of [#workspace] bytes
  public void addMoments(MathMode mode, DeviceMatrix sensitivity, DeviceMatrix activation, DeviceMatrix pilotMean,
      DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2, DeviceBuffer workspace) {
    Tile tile = choose(mode, sensitivity, activation, m1, m2);
    int parts = parts(tile, activation.rows(), sensitivity.columns(), activation.columns());
    addMoments(tile, parts, sensitivity, activation, pilotMean, m0, m1, m2, workspace);
  }

  /// As [#addMoments(MathMode, DeviceMatrix, DeviceMatrix, DeviceMatrix, DeviceMatrix, DeviceMatrix,
  /// DeviceMatrix, DeviceBuffer)], with a chosen kernel.
  void addMoments(Tile tile, int parts, DeviceMatrix sensitivity, DeviceMatrix activation, DeviceMatrix pilotMean,
      DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2, DeviceBuffer workspace) {
    int samples = activation.rows();
    int outputs = sensitivity.columns();
    int inputs = activation.columns();
    Kernels.shape("sensitivity", sensitivity, samples, outputs);
    Kernels.shape("pilotMean", pilotMean, 1, inputs);
    EliminationScoresKernel.checkMoments(outputs, inputs, m0, m1, m2);
    if (!admits(tile, sensitivity, activation, m1, m2)) {
      throw new IllegalArgumentException(
          "%s does not admit s %s at %#x, a %s at %#x, m1 at %#x, m2 at %#x".formatted(tile.name(), sensitivity,
              sensitivity.address(), activation, activation.address(), m1.address(), m2.address()));
    }
    Layout layout = layout(tile, parts, samples, outputs, inputs);
    Kernels.room("workspace", workspace, layout.bytes());

    Dimensions grid = new Dimensions(Kernels.blocks(inputs, tile.inputs()), Kernels.blocks(outputs, tile.outputs()),
        parts);
    DeviceBuffer partial1 = layout.partial1In(workspace);
    DeviceBuffer partial2 = layout.partial2In(workspace);
    DeviceBuffer sums = layout.sumsIn(workspace);
    Argument s = Argument.of(sensitivity);
    Argument a = Argument.of(activation);
    List<Argument> last = List.of();
    int weightParts;
    switch (tile) {
      // As the products round them, so that M2 − M1²/M0 is a variance under one weighting.
      case Fma _ -> weightParts = reductions.partialSums(false, sensitivity, sums);
      case Mma _ -> weightParts = reductions.partialSums(true, sensitivity, sums);
      case Wgmma _ -> {
        int stride = layout.stride();
        DeviceMatrix transposed = new DeviceMatrix(workspace.address(), outputs, stride);
        weightParts = transpose(sensitivity, transposed, sums);
        s = new Argument.TensorMap(transposed, stride, tile.outputs());
        a = new Argument.TensorMap(activation, inputs, tile.samples());
      }
      case Transposing _ -> {
        weightParts = parts;
        s = new Argument.TensorMap(sensitivity, outputs, tile.samples());
        a = new Argument.TensorMap(activation, inputs, tile.samples());
        last = List.of(Argument.of(sums));
      }
    }
    List<Argument> arguments = new ArrayList<>(
        List.of(Argument.of(m1), Argument.of(m2), Argument.of(partial1), Argument.of(partial2), s, a,
            Argument.of(pilotMean), Argument.of(samples), Argument.of(outputs), Argument.of(inputs)));
    arguments.addAll(last);
    gpu.launch(new Launch(FAMILY, tile.name(), grid, Dimensions.of(tile.threads()), tile.sharedBytes(), arguments,
        List.of("s ", sensitivity, ", a ", activation)));
    int vector = m1.admits(VECTOR) && m2.admits(VECTOR) ? VECTOR : 1;
    long elements = parts > 1 ? m1.elements() : outputs;
    Dimensions adds = new Dimensions(
        Math.toIntExact(Math.min(Math.ceilDiv(elements, (long) Kernels.WARP_A_ROW.x() * vector), mostAdding())),
        parts > 1 ? 3 : 1, 1);
    gpu.launch(new Launch(FAMILY, vector == VECTOR ? "dual_moments_add_32x8_v4" : "dual_moments_add_32x8_v1", adds,
        Kernels.WARP_A_ROW, 0,
        List.of(Argument.of(sums), Argument.of(partial1), Argument.of(partial2), Argument.of(m0), Argument.of(m1),
            Argument.of(m2), Argument.of(weightParts), Argument.of(parts), Argument.of(outputs), Argument.of(inputs)),
        List.of(parts, " × m1 ", m1)));
  }

  /// Blocks that add the partial results of a moment, at most: those that run at a time.
  private long mostAdding() {
    return Kernels.MOST_BLOCKS * gpu.multiprocessors();
  }

  /// Writes Sᵀ, rounded, and the sums of S over each part of the samples.
  ///
  /// @return the parts
  private int transpose(DeviceMatrix sensitivity, DeviceMatrix transposed, DeviceBuffer sums) {
    int parts = reductions.parts(sensitivity.rows(), sensitivity.columns());
    gpu.launch(new Launch(
        FAMILY, "dual_moments_transpose_32x32", new Dimensions(Kernels.blocks(transposed.rows(), 32), 1, parts),
        Kernels.WARP_A_ROW, 0, List.of(Argument.of(sensitivity), Argument.of(transposed), Argument.of(sums),
            Argument.of(sensitivity.rows()), Argument.of(sensitivity.columns()), Argument.of(transposed.columns())),
        List.of("s ", sensitivity)));
    return parts;
  }

  /// The kernel for a batch. The width that parts the two mma tiles is a model's, not yet a measurement's.
  Tile choose(MathMode mode, DeviceMatrix sensitivity, DeviceMatrix activation, DeviceMatrix m1, DeviceMatrix m2) {
    if (!Kernels.roundsToTf32(gpu, mode)) {
      return FMA;
    }
    if (hasWgmma() && admits(WGMMA, sensitivity, activation, m1, m2)) {
      boolean transposing = activation.columns() <= MOST_TRANSPOSING
          && admits(WGMMA_TRANSPOSING, sensitivity, activation, m1, m2);
      return transposing ? WGMMA_TRANSPOSING : WGMMA;
    }
    if (!admits(MMA_SMALL, sensitivity, activation, m1, m2)) {
      return orShort(MMA_UNALIGNED, MMA_UNALIGNED_SHORT);
    }
    return Math.min(sensitivity.columns(), activation.columns()) >= WIDE
        ? MMA_LARGE
        : orShort(MMA_SMALL, MMA_SMALL_SHORT);
  }

  /// What [#choose] chooses from.
  List<Tile> tiles(MathMode mode) {
    if (!Kernels.roundsToTf32(gpu, mode)) {
      return List.of(FMA);
    }
    List<Tile> tiles = new ArrayList<>(
        List.of(MMA_LARGE, orShort(MMA_SMALL, MMA_SMALL_SHORT), orShort(MMA_UNALIGNED, MMA_UNALIGNED_SHORT)));
    if (hasWgmma()) {
      tiles.addAll(List.of(WGMMA, WGMMA_TRANSPOSING));
    }
    return tiles;
  }

  private boolean hasWgmma() {
    return gpu.computeCapability() == 90;
  }

  private Mma orShort(Mma tile, Mma shortTile) {
    return Kernels.holds(gpu, tile.blocks(), tile.sharedBytes()) ? tile : shortTile;
  }

  private static boolean admits(Tile tile, DeviceMatrix sensitivity, DeviceMatrix activation, DeviceMatrix m1,
      DeviceMatrix m2) {
    return switch (tile) {
      case Fma _ -> true;
      case Mma mma -> sensitivity.admits(mma.vector) && activation.admits(mma.vector) && m1.admits(mma.vector)
          && m2.admits(mma.vector);
      case Wgmma _ -> activation.admits(4) && m1.admits(4) && m2.admits(4);
      case Transposing _ -> sensitivity.admits(4) && activation.admits(4) && m1.admits(4) && m2.admits(4);
    };
  }

  private int parts(Tile tile, int samples, int outputs, int inputs) {
    long tiles = (long) Kernels.blocks(inputs, tile.inputs()) * Kernels.blocks(outputs, tile.outputs());
    return Kernels.parts(gpu, tiles, Math.ceilDiv(samples, tile.samples()));
  }

  /// Where in the workspace things lie: Sᵀ first, whose rows start at multiples of 16 bytes.
  private record Layout(int stride, long sums, long partial1, long partial2, long bytes) {
    DeviceBuffer sumsIn(DeviceBuffer workspace) {
      return new DeviceBuffer(workspace.address() + sums, partial1 - sums);
    }

    DeviceBuffer partial1In(DeviceBuffer workspace) {
      return new DeviceBuffer(workspace.address() + partial1, partial2 - partial1);
    }

    DeviceBuffer partial2In(DeviceBuffer workspace) {
      return new DeviceBuffer(workspace.address() + partial2, bytes - partial2);
    }
  }

  private Layout layout(Tile tile, int parts, int samples, int outputs, int inputs) {
    int stride = Math.ceilDiv(samples, TRANSPOSED_TOGETHER) * TRANSPOSED_TOGETHER;
    long transposed = tile instanceof Wgmma ? aligned((long) outputs * stride * Float.BYTES) : 0;
    long sums = aligned(tile instanceof Transposing
        ? (long) parts * outputs * Float.BYTES
        : reductions.columnSumsWorkspace(samples, outputs));
    long partial = aligned(parts == 1 ? 1 : (long) parts * outputs * inputs * Float.BYTES);
    return new Layout(stride, transposed, transposed + sums, transposed + sums + partial,
        transposed + sums + 2 * partial);
  }

  private static long aligned(long bytes) {
    return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
  }

  /// The bytes of workspace that a chosen kernel needs.
  long workspace(Tile tile, int parts, int samples, int outputs, int inputs) {
    return layout(tile, parts, samples, outputs, inputs).bytes();
  }
}
