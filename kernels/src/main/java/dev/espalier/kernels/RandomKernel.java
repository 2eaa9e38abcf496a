package dev.espalier.kernels;

import java.util.List;

/// Random numbers as a function of their position; unit vectors and Fisher vectors. Limited by memory: 4 bytes an
/// element.
public final class RandomKernel {
  private static final String FAMILY = "random";
  private static final int RUN = 256;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public RandomKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Row `c · samples + n` becomes the Rademacher vector of probe `firstProbe + c` and sample `firstSample +
  /// n`.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs, written
  public void rademacherVectors(DeviceMatrix upstream, int samples, int firstProbe, long firstSample, long seed) {
    Kernels.copies(upstream, samples);
    launch("rademacher", RowTile.ofWarps(upstream), upstream,
        List.of(Argument.of(upstream), Argument.of((long) upstream.rows()), Argument.of(samples),
            Argument.of(upstream.columns()), Argument.of(firstProbe), Argument.of(firstSample), Argument.of(seed)));
  }

  /// Row `c · samples + n` becomes the unit vector of output `firstOutput + c`.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs, written
  public void unitVectors(DeviceMatrix upstream, int samples, int firstOutput) {
    Kernels.copies(upstream, samples);
    launch("unit_vectors", RowTile.ofWarps(upstream), upstream,
        List.of(Argument.of(upstream), Argument.of((long) upstream.rows()), Argument.of(samples),
            Argument.of(upstream.columns()), Argument.of(firstOutput)));
  }

  /// Row `c · samples + n` becomes `scale` √p_k (e_k − p), with k = `firstClass` + c and p row n of `probabilities`.
  ///
  /// @param probabilities samples × outputs
  /// @param upstream stacked copies (copies · samples) × outputs, written
  public void fisherVectors(DeviceMatrix probabilities, DeviceMatrix upstream, int firstClass, double scale) {
    requireProbabilities(probabilities, upstream);
    launch("fisher_vectors", RowTile.ofWarps(upstream, probabilities), upstream,
        List.of(Argument.of(upstream), Argument.of(probabilities), Argument.of((long) upstream.rows()),
            Argument.of(probabilities.rows()), Argument.of(upstream.columns()), Argument.of(firstClass),
            Argument.of((float) scale)));
  }

  /// Row `c · samples + n` becomes `scale` (e_k − p), with p row n of `probabilities` and the class k drawn from p by
  /// draw `firstDraw` + c of sample `firstSample` + n.
  ///
  /// @param probabilities samples × outputs
  /// @param upstream stacked copies (copies · samples) × outputs, written
  public void drawnFisherVectors(DeviceMatrix probabilities, DeviceMatrix upstream, int firstDraw, long firstSample,
      long seed, double scale) {
    requireProbabilities(probabilities, upstream);
    launch("drawn_fisher_vectors", RowTile.ofWarps(upstream, probabilities), upstream,
        List.of(Argument.of(upstream), Argument.of(probabilities), Argument.of((long) upstream.rows()),
            Argument.of(probabilities.rows()), Argument.of(upstream.columns()), Argument.of(firstDraw),
            Argument.of(firstSample), Argument.of(seed), Argument.of((float) scale)));
  }

  private static void requireProbabilities(DeviceMatrix probabilities, DeviceMatrix upstream) {
    Kernels.copies(upstream, probabilities.rows());
    Kernels.shape("P", probabilities, probabilities.rows(), upstream.columns());
    Kernels.apart("u", upstream, probabilities);
  }

  /// Element i in row-major order becomes the i-th number of a stream, uniform in [0, 1).
  public void uniform(DeviceMatrix matrix, long seed, long stream) {
    gpu.launch(new Launch(FAMILY, "uniform_" + RUN, UpdatesKernel.grid(gpu, matrix.elements(), RUN), Dimensions.of(RUN),
        0, List.of(Argument.of(matrix), Argument.of(matrix.elements()), Argument.of(seed), Argument.of(stream)),
        List.of(matrix)));
  }

  private void launch(String kernel, RowTile tile, DeviceMatrix upstream, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(upstream.rows()), tile.block(), 0, arguments,
        List.of("u ", upstream)));
  }
}
