package dev.espalier.kernels;

import dev.espalier.bindings.MathMode;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.OptionalInt;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// The sums of [DualMomentsKernel] by two products of a library, over X = A − c and X∘X, which a kernel writes, in TF32
/// already rounded: so it does not matter how the library rounds. It reads the batch more often, but a library's products
/// come nearer to the rate of a chip's matrix units, in particular where we have no kernel for its newest ones.
public final class MomentsByProducts {
  /// From which width of a layer, the smaller of outputs and inputs, this takes less time than [DualMomentsKernel], with
  /// cuBLAS: compute capability, rounding, width, and where the number is from. `modelled`: of the peaks that NVIDIA states
  /// (`Chip` in the benchmarks, whose tests compute these lines), cuBLAS reaches three quarters, wgmma three quarters,
  /// mma.sync two thirds on compute capabilities that have no more (8.x, 12.0) and a quarter on 10.0, and our float32 kernel
  /// half; this reads and writes 32 bytes more for each sample and neuron than one pass does, 24 in float32; rounded up to a
  /// power of two. Chips of one compute capability differ: the line is that of the chip named. A compute capability
  /// without lines takes those of the nearest below it with the same major number. Where there is none, or none for its
  /// rounding, never. `GpuKernels` in the benchmarks prints the lines of a GPU. (On an H100, cuBLAS reached 54 % of TF32's
  /// peak in these products and 78 % of float32's, wgmma 76 %, our float32 kernel 41 %.)
  private static final String TABLE = """
      80 FP32 128 modelled of A100
      80 TF32 4096 modelled of A100
      86 FP32 512 modelled of A40
      86 TF32 8192 modelled of A40
      89 FP32 1024 modelled of L40S
      89 TF32 16384 modelled of L40S
      90 FP32 128 measured on NVIDIA H100 80GB HBM3
      100 FP32 128 modelled of B200
      100 TF32 512 modelled of B200
      120 FP32 1024 modelled of RTX 5090
      120 TF32 4096 modelled of RTX 5090
      """;

  /// Widths by compute capability and rounding.
  private static final NavigableMap<Integer, Map<MathMode, Integer>> WIDTHS = TABLE.lines().map(line -> line.split(" "))
      .collect(Collectors.groupingBy(cells -> Integer.valueOf(cells[0]), TreeMap::new,
          Collectors.toUnmodifiableMap(cells -> MathMode.valueOf(cells[1]), cells -> Integer.valueOf(cells[2]))));

  private static final String FAMILY = "dual_moments";
  private static final int TILE_ROWS = 32;
  private static final int ALIGNMENT = 256;

  private final Gpu gpu;
  private final MatrixProducts products;
  private final MathMode mode;
  private final ReductionsKernel reductions;

  /// @param products of a library, which round as `mode` says
  /// @param mode FP32 or TF32
  public MomentsByProducts(Gpu gpu, MatrixProducts products, MathMode mode) {
    if (mode == MathMode.BF16) {
      throw new IllegalArgumentException("moments in bfloat16");
    }
    this.gpu = gpu;
    this.products = products;
    this.mode = mode;
    reductions = new ReductionsKernel(gpu);
  }

  /// The width from which this takes less time than [DualMomentsKernel]; empty: at no width.
  public static OptionalInt leastWidth(int computeCapability, MathMode mode) {
    Map.Entry<Integer, Map<MathMode, Integer>> lines = WIDTHS.floorEntry(computeCapability);
    if (lines == null || lines.getKey() / 10 != computeCapability / 10 || !lines.getValue().containsKey(mode)) {
      return OptionalInt.empty();
    }
    return OptionalInt.of(lines.getValue().get(mode));
  }

  /// Whether this takes less time than [DualMomentsKernel] for a layer.
  public boolean isFaster(int outputs, int inputs) {
    OptionalInt least = leastWidth(gpu.computeCapability(), mode);
    return least.isPresent() && Math.min(outputs, inputs) >= least.getAsInt();
  }

  /// The bytes of workspace for a batch of this shape: X, X∘X, and in TF32 the rounded S.
  public long workspace(int samples, int outputs, int inputs) {
    return layout(samples, outputs, inputs).bytes;
  }

  /// Adds a batch to the moments; as [DualMomentsKernel#addMoments].
  ///
  /// @param workspace of [#workspace] bytes
  public void addMoments(DeviceMatrix sensitivity, DeviceMatrix activation, DeviceMatrix pilotMean, DeviceMatrix m0,
      DeviceMatrix m1, DeviceMatrix m2, DeviceBuffer workspace) {
    int samples = activation.rows();
    int outputs = sensitivity.columns();
    int inputs = activation.columns();
    Kernels.shape("sensitivity", sensitivity, samples, outputs);
    Kernels.shape("pilotMean", pilotMean, 1, inputs);
    EliminationScoresKernel.checkMoments(outputs, inputs, m0, m1, m2);
    Layout layout = layout(samples, outputs, inputs);
    Kernels.room("workspace", workspace, layout.bytes);
    DeviceMatrix x = new DeviceMatrix(workspace.address(), samples, inputs);
    DeviceMatrix squares = new DeviceMatrix(workspace.address() + layout.squares, samples, inputs);
    DeviceBuffer sums = new DeviceBuffer(workspace.address() + layout.sums, layout.bytes - layout.sums);
    boolean rounds = mode == MathMode.TF32;
    DeviceMatrix s = sensitivity;
    if (rounds) {
      s = new DeviceMatrix(workspace.address() + layout.rounded, samples, outputs);
      launch("dual_moments_round", ElementwiseTile.of(TILE_ROWS, sensitivity, s), s,
          List.of(Argument.of(sensitivity), Argument.of(s), Argument.of(samples), Argument.of(outputs)));
    }
    reductions.columnSums(1, s, 1, m0, sums);
    launch("dual_moments_shift", ElementwiseTile.of(TILE_ROWS, activation, pilotMean, x), x,
        List.of(Argument.of(activation), Argument.of(pilotMean), Argument.of(x), Argument.of(squares),
            Argument.of(samples), Argument.of(inputs), Argument.of(rounds ? 1 : 0)));
    products.multiply(1, MatrixBlock.of(s), true, MatrixBlock.of(x), false, 1, MatrixBlock.of(m1));
    products.multiply(1, MatrixBlock.of(s), true, MatrixBlock.of(squares), false, 1, MatrixBlock.of(m2));
  }

  private void launch(String kernel, ElementwiseTile tile, DeviceMatrix written, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(written.rows(), written.columns()),
        ElementwiseTile.BLOCK, 0, arguments, List.of("to ", written)));
  }

  /// Where in the workspace things lie: X first.
  private record Layout(long squares, long rounded, long sums, long bytes) {}

  private Layout layout(int samples, int outputs, int inputs) {
    long x = aligned((long) samples * inputs * Float.BYTES);
    long s = mode == MathMode.TF32 ? aligned((long) samples * outputs * Float.BYTES) : 0;
    return new Layout(x, 2 * x, 2 * x + s, 2 * x + s + reductions.columnSumsWorkspace(samples, outputs));
  }

  private static long aligned(long bytes) {
    return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
  }
}
