package dev.espalier.kernels;

import java.util.List;

/// Scores from moments. Limited by memory: per weight `scores` moves 20 bytes, `absoluteProduct` 12 (8 with one row of
/// factors), `addOuterProduct` 8, `cancelled` 8.
public final class EliminationScoresKernel {
  private static final String FAMILY = "elimination_scores";
  private static final int TILE_ROWS = 32;
  /// Of a block of `cancelled`, which has as many rows of threads.
  private static final int COLUMNS = 32;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public EliminationScoresKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Importance over M2 and compensation over M1: I = W² max(0, M2 − M1²/M0)/samples and Δb = W (c + M1/M0);
  /// 0 in the row of a dead neuron (M0 = 0).
  ///
  /// @param weights W, outputs × inputs
  /// @param m0 1 × outputs
  /// @param m1 outputs × inputs, becomes Δb
  /// @param m2 outputs × inputs, becomes I
  /// @param pilotMean c, 1 × inputs
  /// @param samples in the moments, at least 1
  public void scores(DeviceMatrix weights, DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2, DeviceMatrix pilotMean,
      long samples) {
    int outputs = weights.rows();
    int inputs = weights.columns();
    checkMoments(outputs, inputs, m0, m1, m2);
    Kernels.shape("pilotMean", pilotMean, 1, inputs);
    if (samples < 1) {
      throw new IllegalArgumentException("samples=" + samples);
    }
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, weights, m1, m2, pilotMean);
    launch(tile, "elimination_scores", outputs, inputs,
        List.of(Argument.of(weights), Argument.of(m0), Argument.of(m1), Argument.of(m2), Argument.of(pilotMean),
            Argument.of((float) samples), Argument.of(outputs), Argument.of(inputs)));
  }

  /// By input j, the largest Wᵢⱼ² M2ᵢⱼ over the neurons i whose variance M2ᵢⱼ − M1ᵢⱼ²/M0ᵢ is less than `fraction` M2ᵢⱼ;
  /// 0 where there is none.
  ///
  /// @param weights W, outputs × inputs
  /// @param m0 1 × outputs
  /// @param m1 outputs × inputs
  /// @param m2 outputs × inputs
  /// @param largest 1 × inputs, written
  public void cancelled(DeviceMatrix weights, DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2, double fraction,
      DeviceMatrix largest) {
    int outputs = weights.rows();
    int inputs = weights.columns();
    checkMoments(outputs, inputs, m0, m1, m2);
    Kernels.shape("largest", largest, 1, inputs);
    gpu.launch(new Launch(FAMILY, "cancelled_" + COLUMNS + "x" + COLUMNS,
        Dimensions.of(Kernels.blocks(inputs, COLUMNS)), Dimensions.of(COLUMNS, COLUMNS), 0,
        List.of(Argument.of(weights), Argument.of(m0), Argument.of(m1), Argument.of(m2), Argument.of(largest),
            Argument.of((float) fraction), Argument.of(outputs), Argument.of(inputs)),
        List.of("weights ", outputs, "×", inputs)));
  }

  /// |W ∘ αF|.
  ///
  /// @param scale α
  /// @param factor F, of the shape of W, or one row for all
  /// @param scores of the shape of W, written
  public void absoluteProduct(double scale, DeviceMatrix weights, DeviceMatrix factor, DeviceMatrix scores) {
    int outputs = weights.rows();
    int inputs = weights.columns();
    Kernels.shape("factor", factor, factor.rows() == 1 ? 1 : outputs, inputs);
    Kernels.shape("scores", scores, outputs, inputs);
    Kernels.apart("scores", scores, weights);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, weights, factor, scores);
    launch(tile, "absolute_product", outputs, inputs,
        List.of(Argument.of(weights), Argument.of(factor), Argument.of(scores), Argument.of((float) scale),
            Argument.of(factor.rows()), Argument.of(outputs), Argument.of(inputs)));
  }

  /// S = κS + αuvᵀ.
  ///
  /// @param kept κ
  /// @param sums S, outputs × inputs
  /// @param scale α
  /// @param column u, as 1 × outputs
  /// @param row v, 1 × inputs
  public void addOuterProduct(double kept, DeviceMatrix sums, double scale, DeviceMatrix column, DeviceMatrix row) {
    int outputs = sums.rows();
    int inputs = sums.columns();
    Kernels.shape("column", column, 1, outputs);
    Kernels.shape("row", row, 1, inputs);
    launch(ElementwiseTile.of(TILE_ROWS, sums, row), "add_outer_product", outputs, inputs,
        List.of(Argument.of(sums), Argument.of(column), Argument.of(row), Argument.of((float) kept),
            Argument.of((float) scale), Argument.of(outputs), Argument.of(inputs)));
  }

  static void checkMoments(int outputs, int inputs, DeviceMatrix m0, DeviceMatrix m1, DeviceMatrix m2) {
    Kernels.shape("m0", m0, 1, outputs);
    Kernels.shape("m1", m1, outputs, inputs);
    Kernels.shape("m2", m2, outputs, inputs);
    if (m1.overlaps(m2)) {
      throw new IllegalArgumentException("m1 overlaps m2");
    }
  }

  private void launch(ElementwiseTile tile, String kernel, int outputs, int inputs, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(outputs, inputs), ElementwiseTile.BLOCK, 0, arguments,
        List.of("weights ", outputs, "×", inputs)));
  }
}
