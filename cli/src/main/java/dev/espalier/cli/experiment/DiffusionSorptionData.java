package dev.espalier.cli.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.stream.IntStream;

/// Samples of a regression task on [DiffusionSorption]: from the concentration in 32 places of the column at some time
/// to that in the same places 100 s later. Each simulation has an initial concentration of its own, uniform in 0..0.2
/// as in PDEBench, and gives 16 samples, 25 s apart.
public final class DiffusionSorptionData {
  /// Values of a sample, and of its target.
  public static final int PLACES = 32;
  private static final int CELLS_PER_PLACE = 2;
  private static final double HIGHEST_INITIAL = 0.2;
  private static final int SAMPLES = 16;
  private static final double SECONDS_APART = 25;
  private static final int STEPS_AHEAD = 4;
  /// Streams of random numbers.
  private static final long STARTS = 0;
  private static final long NOISE_NOW = 1;
  private static final long NOISE_LATER = 2;

  private DiffusionSorptionData() {}

  /// @param simulations each gives 16 samples
  /// @param noise       standard deviation of what is added to every value, as if it had been measured
  public static Dataset generate(String name, int simulations, double noise, long seed, Arena arena) {
    MatrixView now = MatrixView.allocate(arena, simulations * SAMPLES, PLACES);
    MatrixView later = MatrixView.allocate(arena, simulations * SAMPLES, PLACES);
    DiffusionSorption column = DiffusionSorption.ofColumn(PLACES * CELLS_PER_PLACE);
    for (int s = 0; s < simulations; s++) {
      double initial = HIGHEST_INITIAL * CounterRandom.uniform(seed, STARTS, 2L * s);
      double first = SECONDS_APART * CounterRandom.uniform(seed, STARTS, 2L * s + 1);
      double[][] solution = column.solve(initial,
          IntStream.range(0, SAMPLES + STEPS_AHEAD).mapToDouble(i -> first + i * SECONDS_APART).toArray());
      for (int i = 0; i < SAMPLES; i++) {
        fill(now, s * SAMPLES + i, solution[i], noise, seed, NOISE_NOW);
        fill(later, s * SAMPLES + i, solution[i + STEPS_AHEAD], noise, seed, NOISE_LATER);
      }
    }
    return Dataset.of(new MatrixSamples(name, now), new MatrixSamples(name + " targets", later));
  }

  private static void fill(MatrixView matrix, int row, double[] solution, double noise, long seed, long stream) {
    for (int p = 0; p < PLACES; p++) {
      double sum = 0;
      for (int c = 0; c < CELLS_PER_PLACE; c++) {
        sum += solution[p * CELLS_PER_PLACE + c];
      }
      double error = noise * CounterRandom.gaussian(seed, stream, (long) row * PLACES + p);
      matrix.set(row, p, (float) (sum / CELLS_PER_PLACE + error));
    }
  }
}
