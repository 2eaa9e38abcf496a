package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class HistogramTest {
  @Test
  void countsEachWeightOnce() {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView importance = MatrixView.of(arena, 2, 4, 0, 1e-4f, 1.1e-4f, 0.9e-3f, 0.9e-2f, 0.9e-2f, 0, 1);
      Histogram histogram = Histogram.of(importance, 4);

      assertEquals(-4, histogram.logMin(), 1e-6);
      assertEquals(0, histogram.logMax(), 1e-6);
      assertEquals(List.of(3L, 2L, 0L, 1L), histogram.counts());
      assertEquals(2, histogram.zeros());
      assertEquals(8, histogram.total());
    }
  }

  /// Against the definition, on numbers of all sizes that a float has, more than are looked at at a time.
  @Test
  void countsByTheLogarithm() {
    Random random = new Random(11);
    float[] values = new float[10_007];
    double min = Double.POSITIVE_INFINITY;
    double max = 0;
    for (int i = 0; i < values.length; i++) {
      values[i] = random.nextInt(50) == 0 ? -0.0f : Float.intBitsToFloat(random.nextInt(0x7f800000));
      min = values[i] > 0 ? Math.min(min, values[i]) : min;
      max = Math.max(max, values[i]);
    }
    int bins = 300;
    long[] expected = new long[bins];
    long zeros = 0;
    for (float value : values) {
      if (value == 0) {
        zeros++;
      } else {
        double step = (Math.log10(value) - Math.log10(min)) * (bins / (Math.log10(max) - Math.log10(min)));
        expected[(int) Math.min(bins - 1, step)]++;
      }
    }
    try (Arena arena = Arena.ofConfined()) {
      Histogram histogram = Histogram.of(MatrixView.of(arena, 1, values.length, values), bins);
      assertEquals(Arrays.stream(expected).boxed().toList(), histogram.counts());
      assertEquals(zeros, histogram.zeros());
      assertEquals(Math.log10(min), histogram.logMin());
      assertEquals(Math.log10(max), histogram.logMax());
    }
  }

  @Test
  void ofEqualOrNoImportancesHasARange() {
    try (Arena arena = Arena.ofConfined()) {
      Histogram equal = Histogram.of(MatrixView.of(arena, 1, 3, 0.01f, 0.01f, 0.01f), 5);
      assertEquals(List.of(0L, 0L, 3L, 0L, 0L), equal.counts());
      assertEquals(-2.5, equal.logMin(), 1e-6);

      Histogram zeros = Histogram.of(MatrixView.of(arena, 1, 3, 0, 0, 0), 5);
      assertEquals(List.of(0L, 0L, 0L, 0L, 0L), zeros.counts());
      assertEquals(3, zeros.zeros());
    }
  }

  @Test
  void refusesWhatIsNoHistogram() {
    refused("logMin=1.0, logMax=1.0", () -> new Histogram(1, 1, List.of(1L), 0));
    refused("logMin=1.0, logMax=NaN", () -> new Histogram(1, Double.NaN, List.of(1L), 0));
    refused("counts=[], zeros=0", () -> new Histogram(0, 1, List.of(), 0));
    refused("counts=[2, -1], zeros=0", () -> new Histogram(0, 1, List.of(2L, -1L), 0));
    refused("counts=[2], zeros=-1", () -> new Histogram(0, 1, List.of(2L), -1));
    try (Arena arena = Arena.ofConfined()) {
      refused("importance[1, 0] is NaN", () -> Histogram.of(MatrixView.of(arena, 2, 1, 1, Float.NaN), 3));
      refused("importance[0, 1] is -1.0", () -> Histogram.of(MatrixView.of(arena, 1, 2, 1, -1), 3));
      refused("bins=0", () -> Histogram.of(MatrixView.of(arena, 1, 1, 1), 0));
    }
  }

  private static void refused(String message, Runnable action) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, action::run).getMessage());
  }
}
