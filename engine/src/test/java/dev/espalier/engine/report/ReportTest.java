package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.statistics.Histogram;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

class ReportTest {
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
    refused("loss=Infinity: must be finite", () -> new Point(0, OptionalDouble.of(Double.POSITIVE_INFINITY),
        OptionalDouble.empty(), OptionalDouble.empty()));
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
    return new Point(sparsity, OptionalDouble.of(1), OptionalDouble.empty(), OptionalDouble.empty());
  }

  private static void refused(String message, Runnable action) {
    IllegalArgumentException refusal = assertThrows(IllegalArgumentException.class, action::run);
    assertTrue(refusal.getMessage().endsWith(message), refusal.getMessage());
  }
}
