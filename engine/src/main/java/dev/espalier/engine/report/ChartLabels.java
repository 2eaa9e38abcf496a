package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import dev.espalier.engine.statistics.Histogram;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/// The figures in the tooltips of the charts, as text, in the order of `report.json`. `report.js` draws from the
/// numbers there and shows the text from here.
///
/// @param layers in the report's order
/// @param comparison for each curve and point the sparsity and the metrics that the point has, by their names in
///                   `report.json`
/// @param bands for each curve and point the bands of the metrics that have one, by the same names
record ChartLabels(List<Layer> layers, List<List<Map<String, String>>> comparison,
    List<List<Map<String, Band>>> bands) {

  /// @param edges of the bins of importance, one more than there are bins; empty without a histogram
  /// @param counts weights in each bin
  record Layer(String removed, String kept, String sparsity, String predicted, String measured, List<String> edges,
      List<String> counts) {}

  static ChartLabels of(Report report) {
    boolean isSearch = ReportView.isSearch(report);
    return new ChartLabels(report.layers().stream().map(ChartLabels::layer).toList(),
        report.comparison().stream().map(curve -> curve.points().stream().map(point -> point(point, isSearch)).toList())
            .toList(),
        report.comparison().stream().map(curve -> curve.points().stream().map(ChartLabels::bands).toList()).toList());
  }

  private static Layer layer(LayerReport layer) {
    return new Layer(TYPOGRAPHIC.count(layer.removed()), TYPOGRAPHIC.count(layer.weights() - layer.removed()),
        TYPOGRAPHIC.percent(layer.sparsity()), TYPOGRAPHIC.value(layer.predictedChange()),
        TYPOGRAPHIC.value(layer.measuredChange()), layer.importance().map(ChartLabels::edges).orElse(List.of()),
        layer.importance().map(histogram -> histogram.counts().stream().map(TYPOGRAPHIC::count).toList())
            .orElse(List.of()));
  }

  private static List<String> edges(Histogram histogram) {
    int bins = histogram.counts().size();
    double width = (histogram.logMax() - histogram.logMin()) / bins;
    return IntStream.rangeClosed(0, bins).mapToObj(i -> TYPOGRAPHIC.value(Math.pow(10, histogram.logMin() + i * width)))
        .toList();
  }

  private static Map<String, Band> bands(Point point) {
    Map<String, Band> bands = new LinkedHashMap<>();
    for (Metric metric : Metric.values()) {
      metric.band(point).ifPresent(band -> bands.put(metric.key, band));
    }
    return bands;
  }

  private static Map<String, String> point(Point point, boolean isSearch) {
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put("sparsity", isSearch ? TYPOGRAPHIC.found(point.sparsity()) : TYPOGRAPHIC.exactPercent(point.sparsity()));
    for (Metric metric : Metric.values()) {
      if (metric.of(point).isPresent()) {
        texts.put(metric.key, metric.text(Optional.of(point)));
      }
    }
    if (point.predictedChange().isPresent()) {
      texts.put("predictedChange", TYPOGRAPHIC.value(point.predictedChange()));
    }
    return texts;
  }
}
