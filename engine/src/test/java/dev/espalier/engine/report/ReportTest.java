package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bindings.MatrixView;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ReportTest {
  @Test
  void histogramCountsEachWeightOnce() {
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
  void histogramCountsByTheLogarithm() {
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
  void histogramOfEqualOrNoImportancesHasARange() {
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
  void histogramRefuses() {
    refused("logMin=1.0, logMax=1.0", () -> new Histogram(1, 1, List.of(1L), 0));
    refused("logMax=NaN: must be finite", () -> new Histogram(1, Double.NaN, List.of(1L), 0));
    refused("counts=[], zeros=0", () -> new Histogram(0, 1, List.of(), 0));
    refused("counts=[2, -1], zeros=0", () -> new Histogram(0, 1, List.of(2L, -1L), 0));
    refused("counts=[2], zeros=-1", () -> new Histogram(0, 1, List.of(2L), -1));
    try (Arena arena = Arena.ofConfined()) {
      refused("importance[1, 0] is NaN", () -> Histogram.of(MatrixView.of(arena, 2, 1, 1, Float.NaN), 3));
      refused("importance[0, 1] is -1.0", () -> Histogram.of(MatrixView.of(arena, 1, 2, 1, -1), 3));
      refused("bins=0", () -> Histogram.of(MatrixView.of(arena, 1, 1, 1), 0));
    }
  }

  @Test
  void layerRefuses() {
    refused("name is blank", () -> LayerReport.of(" ", 2, 3, "relu", 0));
    refused("outputs=0, inputs=3", () -> LayerReport.of("a", 0, 3, "relu", 0));
    refused("weights=6, removed=7", () -> LayerReport.of("a", 2, 3, "relu", 7));
    refused("importance counts 5 weights, the layer has 6",
        () -> new LayerReport("a", 2, 3, "relu", 0, OptionalDouble.empty(), OptionalDouble.empty(),
            Optional.of(new Histogram(0, 1, List.of(4L), 1)), OptionalDouble.empty()));
    refused("measuredChange=-1.0: must not be negative", () -> new LayerReport("a", 2, 3, "relu", 0,
        OptionalDouble.empty(), OptionalDouble.of(-1), Optional.empty(), OptionalDouble.empty()));
    assertEquals(4_000_000_000L, LayerReport.of("a", 2_000_000, 2_000, "relu", 0).weights());
  }

  @Test
  void curveRefuses() {
    refused("ec has no points", () -> new Curve("ec", List.of()));
    refused("ec: sparsity 0.5 follows 0.5", () -> new Curve("ec", List.of(point(0.5), point(0.5))));
    refused("sparsity=1.5: must lie in [0, 1]", () -> point(1.5));
    refused("loss=Infinity: must be finite",
        () -> new Point(0, Double.POSITIVE_INFINITY, OptionalDouble.empty(), OptionalDouble.empty()));
  }

  @Test
  void reportRefuses() {
    refused("command is blank", () -> Report.builder("", "1", SampleReports.TIME).build());
    refused("accuracy=97.8: must lie in [0, 1]", () -> empty().accuracy(97.8).build());
    refused("timings.load=-1.0: must not be negative", () -> empty().timings(Map.of("load", -1.0)).build());
    refused("x=NaN: must be finite", () -> empty().options(Map.of("x", Double.NaN)).build());
    Curve curve = new Curve("ec", List.of(point(0.5)));
    refused("curves of the same name: [ec, ec]", () -> empty().comparison(List.of(curve, curve)).build());
  }

  @Test
  void optionsBecomePlainValues() {
    Report report = empty().options(Map.of("file", Path.of("a", "b"))).build();
    assertEquals(Map.of("file", Path.of("a", "b").toString()), report.options());
  }

  static Report.Builder empty() {
    return Report.builder("inspect", "0.1.0", SampleReports.TIME);
  }

  private static Point point(double sparsity) {
    return new Point(sparsity, 1, OptionalDouble.empty(), OptionalDouble.empty());
  }

  private static void refused(String message, Runnable action) {
    IllegalArgumentException refusal = assertThrows(IllegalArgumentException.class, action::run);
    assertTrue(refusal.getMessage().endsWith(message), refusal.getMessage());
  }
}
