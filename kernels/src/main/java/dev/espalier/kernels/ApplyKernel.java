package dev.espalier.kernels;

import java.util.List;

/// Removes weights and compensates. A weight is removed whose score is below the threshold, or equals it with
/// fewer than `ties` such scores before it in row-major order. Limited by memory: per weight 4 bytes to count
/// the ties, and 12 to remove it, 8 to compensate, 16 to do both.
public final class ApplyKernel {
  private static final String FAMILY = "apply";

  private final Gpu gpu;
  private final ReductionsKernel reductions;

  /// Launches on `gpu`.
  public ApplyKernel(Gpu gpu) {
    this.gpu = gpu;
    this.reductions = new ReductionsKernel(gpu);
  }

  /// What is removed, and where the result of removing it goes.
  ///
  /// @param scores outputs × inputs
  /// @param threshold not NaN
  /// @param ties how many scores equal to the threshold are removed
  /// @param removed a 64-bit word, raised by the number of weights removed
  /// @param workspace of [#workspace] bytes
  public record Cut(DeviceMatrix scores, float threshold, long ties, DeviceBuffer removed, DeviceBuffer workspace) {
    /// @throws IllegalArgumentException if the threshold is NaN, `ties` negative, or a buffer too small
    public Cut {
      if (Float.isNaN(threshold) || ties < 0) {
        throw new IllegalArgumentException("threshold=%s, ties=%d".formatted(threshold, ties));
      }
      Kernels.room("removed", removed, Long.BYTES);
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

  /// Zeroes the weights that the cut removes.
  ///
  /// @param scoreSum a float64 number, becomes the sum of their scores, negative ones left out
  public void eliminate(Cut cut, DeviceMatrix weights, DeviceBuffer scoreSum) {
    apply(cut, weights, null, null);
    sum(cut, scoreSum);
  }

  /// b += Σⱼ Δbᵢⱼ over the weights of row i that the cut removes.
  ///
  /// @param bias b, 1 × outputs
  /// @param compensation Δb, outputs × inputs
  public void compensate(Cut cut, DeviceMatrix bias, DeviceMatrix compensation) {
    apply(cut, null, bias, compensation);
  }

  /// Both in one pass over the scores.
  public void eliminateAndCompensate(Cut cut, DeviceMatrix weights, DeviceBuffer scoreSum, DeviceMatrix bias,
      DeviceMatrix compensation) {
    apply(cut, weights, bias, compensation);
    sum(cut, scoreSum);
  }

  private void apply(Cut cut, DeviceMatrix weights, DeviceMatrix bias, DeviceMatrix compensation) {
    DeviceMatrix scores = cut.scores();
    int outputs = scores.rows();
    int inputs = scores.columns();
    boolean wide = scores.admits(4);
    if (weights != null) {
      Kernels.shape("weights", weights, outputs, inputs);
      wide &= weights.admits(4);
    }
    if (bias != null) {
      Kernels.shape("bias", bias, 1, outputs);
      Kernels.shape("compensation", compensation, outputs, inputs);
    }
    int columns = wide ? 128 : 32;
    Argument ties = Argument.of(cut.workspace());
    Argument rowSums = new Argument.Address(cut.workspace().address() + rowSumsOffset(outputs));
    String shapes = "scores " + scores;
    gpu.launch(new Launch(FAMILY, "count_ties_%dx8".formatted(columns), Kernels.gridOfRows(outputs), Kernels.WARP_A_ROW,
        0, List.of(Argument.of(scores), ties, Argument.of(cut.threshold()), Argument.of(outputs), Argument.of(inputs)),
        shapes));
    gpu.launch(new Launch(FAMILY, "scan_ties_1024", Dimensions.of(1), Dimensions.of(1024), 0,
        List.of(ties, Argument.of(outputs)), shapes));
    gpu.launch(new Launch(FAMILY, "apply_%dx8".formatted(columns), Kernels.gridOfRows(outputs), Kernels.WARP_A_ROW, 0,
        List.of(orNull(weights), orNull(bias), Argument.of(scores), orNull(compensation), ties,
            Argument.of(cut.threshold()), Argument.of(cut.ties()), rowSums, Argument.of(cut.removed()),
            Argument.of(outputs), Argument.of(inputs)),
        shapes));
  }

  private void sum(Cut cut, DeviceBuffer scoreSum) {
    int outputs = cut.scores().rows();
    DeviceBuffer rowSums = new DeviceBuffer(cut.workspace().address() + rowSumsOffset(outputs),
        (long) outputs * Double.BYTES);
    reductions.sum(rowSums, outputs, scoreSum);
  }

  private static Argument orNull(DeviceMatrix matrix) {
    return matrix == null ? Argument.none() : Argument.of(matrix);
  }
}
