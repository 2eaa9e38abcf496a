package dev.espalier.kernels;

import java.util.List;

/// Random numbers as a function of their position, and unit vectors. Limited by memory: 4 bytes an element.
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
    launch("rademacher_8", upstream,
        List.of(Argument.of(upstream), Argument.of((long) upstream.rows()), Argument.of(samples),
            Argument.of(upstream.columns()), Argument.of(firstProbe), Argument.of(firstSample), Argument.of(seed)));
  }

  /// Row `c · samples + n` becomes the unit vector of output `firstOutput + c`.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs, written
  public void unitVectors(DeviceMatrix upstream, int samples, int firstOutput) {
    Kernels.copies(upstream, samples);
    launch("unit_vectors_8", upstream, List.of(Argument.of(upstream), Argument.of((long) upstream.rows()),
        Argument.of(samples), Argument.of(upstream.columns()), Argument.of(firstOutput)));
  }

  /// Element i in row-major order becomes the i-th number of a stream, uniform in [0, 1).
  public void uniform(DeviceMatrix matrix, long seed, long stream) {
    gpu.launch(new Launch(FAMILY, "uniform_" + RUN, UpdatesKernel.grid(gpu, matrix.elements(), RUN), Dimensions.of(RUN),
        0, List.of(Argument.of(matrix), Argument.of(matrix.elements()), Argument.of(seed), Argument.of(stream)),
        matrix.toString()));
  }

  private void launch(String kernel, DeviceMatrix upstream, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, kernel, Kernels.gridOfRows(upstream.rows()), Kernels.WARP_A_ROW, 0, arguments,
        "u " + upstream));
  }
}
