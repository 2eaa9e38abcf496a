package dev.espalier.kernels;

import java.util.List;

/// Losses and their gradients. Limited by memory: per element they move 12 bytes.
public final class LossesKernel {
  private static final String FAMILY = "losses";

  private final Gpu gpu;

  /// Launches on `gpu`.
  public LossesKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Softmax cross-entropy L = −Σₖ tₖ ln pₖ with p = softmax(z), and its gradient p Σₖ tₖ − t.
  ///
  /// @param preActivation z, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  public void crossEntropy(DeviceMatrix preActivation, DeviceMatrix targets, DeviceMatrix gradient,
      DeviceMatrix losses) {
    launch("cross_entropy", preActivation, targets, gradient, losses);
  }

  /// Binary cross-entropy L = mean over outputs of −t ln p − (1 − t) ln(1 − p) with p = σ(z), and its gradient
  /// (p − t) / outputs; as [#crossEntropy].
  public void binaryCrossEntropy(DeviceMatrix preActivation, DeviceMatrix targets, DeviceMatrix gradient,
      DeviceMatrix losses) {
    launch("binary_cross_entropy", preActivation, targets, gradient, losses);
  }

  /// Squared error L = mean over outputs of (a − t)², and its gradient 2 (a − t) / outputs; as
  /// [#crossEntropy].
  public void squaredError(DeviceMatrix activated, DeviceMatrix targets, DeviceMatrix gradient, DeviceMatrix losses) {
    launch("squared_error", activated, targets, gradient, losses);
  }

  private void launch(String kernel, DeviceMatrix of, DeviceMatrix targets, DeviceMatrix gradient,
      DeviceMatrix losses) {
    Kernels.shape("targets", targets, of.rows(), of.columns());
    Kernels.shape("gradient", gradient, of.rows(), of.columns());
    Kernels.shape("losses", losses, of.rows(), 1);
    if (gradient.overlaps(of) || gradient.overlaps(targets)) {
      throw new IllegalArgumentException("gradient overlaps what it is computed from");
    }
    RowTile tile = RowTile.of(of, targets, gradient);
    gpu.launch(new Launch(
        FAMILY, tile.name(kernel), tile.grid(of.rows()), tile.block(), 0, List.of(Argument.of(of), Argument.of(targets),
            Argument.of(gradient), Argument.of(losses), Argument.of(of.rows()), Argument.of(of.columns())),
        List.of(of)));
  }
}
