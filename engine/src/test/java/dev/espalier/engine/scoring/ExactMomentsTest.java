package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class ExactMomentsTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// The neurons are sensitive at inputs of 10⁶ and at inputs of 0, in turns; some samples do not matter to them.
  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 3, 5", "64, 9, 30", "700, 31, 20"})
  void importancesAndCompensationsAreThoseOfAPlainLoop(int samples, int outputs, int batch) {
    MatrixView a = TestNetworks.normal(arena, TestNetworks.random(1), samples, 4, 1, 0);
    MatrixView s = TestNetworks.normal(arena, TestNetworks.random(2), samples, outputs, 1, 0);
    for (int n = 0; n < samples; n++) {
      a.set(n, 2, a.get(n, 2) + (n % 2 == 0 ? 1_000_000 : 0));
      for (int i = 0; i < outputs; i++) {
        s.set(n, i, (n + i) % 2 == 0 ? s.get(n, i) * s.get(n, i) : 0);
      }
    }
    ExactMoments exact = new ExactMoments(outputs, 0, 2);
    for (int n = 0; n < samples; n += batch) {
      int rows = Math.min(batch, samples - n);
      exact.add(s.slice(n, rows), a.slice(n, rows));
    }
    MatrixView w = TestNetworks.normal(arena, TestNetworks.random(3), outputs, 4, 1, 0);
    try (Backend backend = new ReferenceBackend();
        Matrix weights = TestNetworks.upload(backend, w);
        Matrix importance = TestNetworks.upload(backend, filled(outputs));
        Matrix compensation = TestNetworks.upload(backend, filled(outputs))) {
      exact.replace(backend, weights, importance, Optional.of(compensation), samples);
      double[] importances = TestNetworks.values(backend, importance);
      double[] compensations = TestNetworks.values(backend, compensation);
      for (int i = 0; i < outputs; i++) {
        for (int j = 0; j < 4; j++) {
          double mean = j % 2 == 0 ? mean(s, a, i, j) : 7 / (double) w.get(i, j);
          double expected = j % 2 == 0 ? Math.pow(w.get(i, j), 2) * spread(s, a, i, j, mean) / samples : 7;
          // The results are rounded to float32.
          assertEquals(expected, importances[i * 4 + j], 1e-7 * expected);
          assertEquals(w.get(i, j) * mean, compensations[i * 4 + j], 1e-7 * Math.abs(w.get(i, j) * mean));
        }
      }
    }
  }

  @Test
  void smoothsSensitivities() {
    MatrixView a = TestNetworks.normal(arena, TestNetworks.random(1), 40, 2, 1, 0);
    MatrixView s = TestNetworks.normal(arena, TestNetworks.random(2), 40, 3, 1, 4);
    float[] mean = {3, 4, 5};
    MatrixView smoothed = MatrixView.allocate(arena, 40, 3);
    for (int n = 0; n < 40; n++) {
      for (int i = 0; i < 3; i++) {
        smoothed.set(n, i, (float) (0.75 * s.get(n, i) + 0.25 * mean[i]));
      }
    }
    ExactMoments exact = new ExactMoments(3, 0, 1);
    exact.smooth(0.25, i -> mean[i]);
    exact.add(s, a);
    ExactMoments expected = new ExactMoments(3, 0, 1);
    expected.add(smoothed, a);
    for (String array : List.of("m0", "mean", "variance")) {
      float[] values = expected.sums(40, arena).array(array).toArray();
      float[] found = exact.sums(40, arena).array(array).toArray();
      for (int i = 0; i < values.length; i++) {
        // A sensitivity is rounded once.
        assertEquals(values[i], found[i], 1e-6 * Math.abs(values[i]) + 1e-7, array);
      }
    }
  }

  private MatrixView filled(int outputs) {
    MatrixView matrix = MatrixView.allocate(arena, outputs, 4);
    for (int i = 0; i < outputs; i++) {
      for (int j = 0; j < 4; j++) {
        matrix.set(i, j, 7);
      }
    }
    return matrix;
  }

  private static double mean(MatrixView s, MatrixView a, int i, int j) {
    double total = 0;
    double sum = 0;
    for (int n = 0; n < a.rows(); n++) {
      total += s.get(n, i);
      sum += (double) s.get(n, i) * a.get(n, j);
    }
    return total == 0 ? 0 : sum / total;
  }

  private static double spread(MatrixView s, MatrixView a, int i, int j, double mean) {
    double sum = 0;
    for (int n = 0; n < a.rows(); n++) {
      sum += s.get(n, i) * Math.pow(a.get(n, j) - mean, 2);
    }
    return sum;
  }

  @Test
  void takesUpTheInputsWhoseRoundingMatters() {
    float[] cancelled = {0, 5e5f, 3e5f, 1e9f};
    assertEquals(2, ExactMoments.of(3, cancelled, 1000, 1).orElseThrow().inputs());
    assertEquals(3, ExactMoments.of(3, cancelled, 1000, 0).orElseThrow().inputs());
    assertTrue(ExactMoments.of(3, cancelled, 1000, 1e6).isEmpty());
  }

  @Test
  void variancesCancelAtTheirPrecision() {
    assertEquals(0x1p-10, ExactMoments.cancelled(0x1p-24));
    assertEquals(0x1p-5, ExactMoments.cancelled(0x1p-11));
  }

  @Test
  void typicalIsTheMedianOfThePositive() {
    float[] values = new float[101];
    for (int i = 0; i < values.length; i++) {
      values[i] = i < 20 ? 0 : i;
    }
    assertEquals(60, ExactMoments.typical(MatrixView.of(arena, 1, 101, values)), 1);
    assertEquals(0, ExactMoments.typical(MatrixView.allocate(arena, 3, 3)));
  }
}
