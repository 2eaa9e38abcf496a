package dev.espalier.kernels;

import java.util.List;

/// Removes weights, and compensates in the bias. A weight is removed whose score is below the threshold, or equals it
/// with fewer than `ties` such scores before it in row-major order. Limited by memory: per weight 4 bytes to count the
/// ties, and 12 to remove it, 16 to compensate too.
public final class ApplyKernel {
  /// Bytes of the result: the number of weights removed, an int64, then the sum of their scores, a float64.
  public static final int REMOVED_BYTES = Long.BYTES + Double.BYTES;

  private static final String FAMILY = "apply";
  private static final TileNames<Integer> NAMES = new TileNames<>(columns -> "_" + columns + "x8");

  private final Gpu gpu;
  private final ReductionsKernel reductions;

  /// Launches on `gpu`.
  public ApplyKernel(Gpu gpu) {
    this.gpu = gpu;
    this.reductions = new ReductionsKernel(gpu);
  }

  /// The weights that are removed, by their scores.
  ///
  /// @param scores outputs × inputs
  /// @param threshold not NaN
  /// @param ties how many scores equal to the threshold are removed
  /// @param workspace of [#workspace] bytes
  public record Cut(DeviceMatrix scores, float threshold, long ties, DeviceBuffer workspace) {
    /// @throws IllegalArgumentException if the threshold is NaN, `ties` negative, or the workspace too small
    public Cut {
      if (Float.isNaN(threshold) || ties < 0) {
        throw new IllegalArgumentException("threshold=%s, ties=%d".formatted(threshold, ties));
      }
      Kernels.room("workspace", workspace, ApplyKernel.workspace(scores.rows()));
    }
  }

  /// The bytes of workspace for a layer: a count and a sum for each row.
  public static long workspace(int outputs) {
    return rowSumsOffset(outputs) + (long) outputs * Double.BYTES;
  }

  private static long rowSumsOffset(int outputs) {
    return Math.ceilDiv((long) outputs * Long.BYTES, 16) * 16;
  }

  /// Sets the weights that the cut removes to 0.
  ///
  /// @param weights outputs × inputs
  /// @param removed of [#REMOVED_BYTES], written; negative scores count as 0 in the sum
  public void remove(Cut cut, DeviceMatrix weights, DeviceBuffer removed) {
    remove(cut, weights, removed, Argument.none(), Argument.none());
  }

  /// As [#remove(Cut, DeviceMatrix, DeviceBuffer)] and, in the same pass, b += Σⱼ Δbᵢⱼ over the weights of row i that
  /// the cut removes.
  ///
  /// @param bias b, 1 × outputs
  /// @param compensation Δb, outputs × inputs
  public void remove(Cut cut, DeviceMatrix weights, DeviceBuffer removed, DeviceMatrix bias,
      DeviceMatrix compensation) {
    Kernels.shape("bias", bias, 1, cut.scores().rows());
    Kernels.shape("compensation", compensation, cut.scores().rows(), cut.scores().columns());
    remove(cut, weights, removed, Argument.of(bias), Argument.of(compensation));
  }

  private void remove(Cut cut, DeviceMatrix weights, DeviceBuffer removed, Argument bias, Argument compensation) {
    DeviceMatrix scores = cut.scores();
    int outputs = scores.rows();
    int inputs = scores.columns();
    Kernels.shape("weights", weights, outputs, inputs);
    Kernels.room("removed", removed, REMOVED_BYTES);
    int columns = scores.admits(4) && weights.admits(4) ? 128 : 32;
    Argument ties = Argument.of(cut.workspace());
    DeviceBuffer rowSums = new DeviceBuffer(cut.workspace().address() + rowSumsOffset(outputs),
        (long) outputs * Double.BYTES);
    List<?> shapes = List.of("scores ", scores);
    gpu.launch(new Launch(FAMILY, NAMES.of("count_ties", columns), Kernels.gridOfRows(outputs), Kernels.WARP_A_ROW, 0,
        List.of(Argument.of(scores), ties, Argument.of(cut.threshold()), Argument.of(outputs), Argument.of(inputs)),
        shapes));
    gpu.launch(new Launch(FAMILY, "scan_ties_1024", Dimensions.of(1), Dimensions.of(1024), 0,
        List.of(ties, Argument.of(removed), Argument.of(outputs)), shapes));
    gpu.launch(new Launch(FAMILY, NAMES.of("apply", columns), Kernels.gridOfRows(outputs), Kernels.WARP_A_ROW, 0,
        List.of(Argument.of(weights), bias, Argument.of(scores), compensation, ties, Argument.of(cut.threshold()),
            Argument.of(cut.ties()), Argument.of(rowSums), Argument.of(removed), Argument.of(outputs),
            Argument.of(inputs)),
        shapes));
    reductions.sum(rowSums, outputs, new Argument.Address(removed.address() + Long.BYTES));
  }
}
