package dev.espalier.kernels;

import java.util.List;

/// Random numbers as a function of their position; unit vectors and Fisher vectors. Limited by memory: 4 bytes an
/// element.
public final class RandomKernel {
  private static final String FAMILY = "random";
  private static final int RUN = 256;
  /// Of an origin: a seed and the first sample of a batch, in 64 bits each. Kernels read them when they run, and not when they
  /// are launched, so that recorded launches are the same for each batch.
  public static final int ORIGIN_BYTES = 16;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public RandomKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Writes an origin.
  ///
  /// @param origin of [#ORIGIN_BYTES], written
  public void setOrigin(DeviceBuffer origin, long seed, long firstSample) {
    Kernels.room("origin", origin, ORIGIN_BYTES);
    gpu.launch(new Launch(FAMILY, "set_origin_" + RUN, Dimensions.of(1), Dimensions.of(RUN), 0,
        List.of(Argument.of(origin), Argument.of(seed), Argument.of(firstSample)), List.of("sample ", firstSample)));
  }

  /// Row `c · samples + n` becomes the Rademacher vector of probe `firstProbe + c` and the n-th sample from the origin's on.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs, written
  /// @param origin as [#setOrigin] writes it
  public void rademacherVectors(DeviceMatrix upstream, int samples, int firstProbe, DeviceBuffer origin) {
    Kernels.copies(upstream, samples);
    Kernels.room("origin", origin, ORIGIN_BYTES);
    launch("rademacher", RowTile.ofWarps(upstream), upstream,
        List.of(Argument.of(upstream), Argument.of((long) upstream.rows()), Argument.of(samples),
            Argument.of(upstream.columns()), Argument.of(firstProbe), Argument.of(origin)));
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
  /// draw `firstDraw` + c of the n-th sample from the origin's on.
  ///
  /// @param probabilities samples × outputs
  /// @param upstream stacked copies (copies · samples) × outputs, written
  /// @param origin as [#setOrigin] writes it
  public void drawnFisherVectors(DeviceMatrix probabilities, DeviceMatrix upstream, int firstDraw, DeviceBuffer origin,
      double scale) {
    requireProbabilities(probabilities, upstream);
    Kernels.room("origin", origin, ORIGIN_BYTES);
    launch("drawn_fisher_vectors", RowTile.ofWarps(upstream, probabilities), upstream,
        List.of(Argument.of(upstream), Argument.of(probabilities), Argument.of((long) upstream.rows()),
            Argument.of(probabilities.rows()), Argument.of(upstream.columns()), Argument.of(firstDraw),
            Argument.of(origin), Argument.of((float) scale)));
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
