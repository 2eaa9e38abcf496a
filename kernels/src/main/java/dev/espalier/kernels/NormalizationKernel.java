package dev.espalier.kernels;

import java.util.List;

/// Normalisation by rows, y = (x − m) / √(v + ε) with m the mean of a row and v the mean of (x − m)², and its Jacobian.
/// Limited by memory: 8 bytes per element forward, 8 R + 8 backward with R copies.
public final class NormalizationKernel {
  private static final String FAMILY = "normalization";

  private final Gpu gpu;

  /// Launches on `gpu`.
  public NormalizationKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Normalises the rows of x.
  ///
  /// @param centred whether m is the mean; otherwise it is 0
  /// @param epsilon ε, above 0
  /// @param normalized y, as `x`, written
  public void normalize(boolean centred, double epsilon, DeviceMatrix x, DeviceMatrix normalized) {
    Kernels.shape("normalized", normalized, x.rows(), x.columns());
    if (normalized.overlaps(x)) {
      throw new IllegalArgumentException("normalized overlaps x");
    }
    launch("normalize", RowTile.of(x, normalized), x, List.of(Argument.of(x), Argument.of(normalized),
        Argument.of((float) epsilon), Argument.of(centred ? 1 : 0), Argument.of(x.rows()), Argument.of(x.columns())));
  }

  /// g = (u − mean(u) − y mean(y∘u)) / √(v + ε) by rows, without mean(u) if it is not centred.
  ///
  /// @param x samples × width
  /// @param normalized y of x
  /// @param upstream u, stacked copies (copies · samples) × width
  /// @param gradient g, as `upstream`, written; may be `upstream` itself
  public void backward(boolean centred, double epsilon, DeviceMatrix x, DeviceMatrix normalized, DeviceMatrix upstream,
      DeviceMatrix gradient) {
    Kernels.shape("normalized", normalized, x.rows(), x.columns());
    Kernels.shape("upstream", upstream, upstream.rows(), x.columns());
    Kernels.shape("gradient", gradient, upstream.rows(), x.columns());
    Kernels.apart("gradient", gradient, upstream);
    int copies = Kernels.copies(upstream, x.rows());
    launch("normalize_backward", RowTile.of(x, normalized, upstream, gradient), x,
        List.of(Argument.of(x), Argument.of(normalized), Argument.of(upstream), Argument.of(gradient),
            Argument.of((float) epsilon), Argument.of(centred ? 1 : 0), Argument.of(copies), Argument.of(x.rows()),
            Argument.of(x.columns())));
  }

  private void launch(String kernel, RowTile tile, DeviceMatrix x, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(x.rows()), tile.block(), 0, arguments, List.of(x)));
  }
}
