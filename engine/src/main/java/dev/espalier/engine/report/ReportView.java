package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import dev.espalier.engine.statistics.Density;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedSet;
import java.util.function.DoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// The text of `report.html`, by the names that its template uses. Numbers are formatted, nothing is escaped, and a
/// section without data is absent. The graph is SVG, in which names are escaped.
///
/// @param title the command, and its model if it has one
/// @param time for programs
/// @param date the same time for people
/// @param figures the cards below the title
record ReportView(String title, String version, Instant time, String date, Optional<String> summary,
    Optional<Rows<Card>> figures, Optional<Comparison> comparison, Optional<String> graph, Optional<Layers> layers,
    Optional<Agreement> agreement, Optional<Rows<Picture>> pictures, Optional<Importance> importance,
    Optional<VerifiedLayers> deviations, Optional<Timings> timings, Optional<Rows<String>> notes,
    Optional<Rows<Option>> options) {
  private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern("d MMMM uuuu, HH:mm 'UTC'", Locale.ENGLISH)
      .withZone(ZoneOffset.UTC);
  /// Losses that differ so much are shown on a logarithmic scale.
  private static final double WIDE = 10;
  /// The style sheet's colours of phases.
  private static final int COLOURS = 8;

  /// A section that is a list; never empty.
  record Rows<T>(List<T> rows) {
    static <T> Optional<Rows<T>> of(List<T> rows) {
      return rows.isEmpty() ? Optional.empty() : Optional.of(new Rows<>(rows));
    }
  }

  /// @param wide whether the figure needs a smaller font to stay on one line
  record Card(String name, String figure, String detail, boolean wide) {
    private static final int WIDE_FIGURE = 9;

    Card(String name, String figure, String detail) {
      this(name, figure, detail, figure.length() > WIDE_FIGURE);
    }
  }

  /// @param lead one sentence about it
  /// @param columns the number of sparsities
  record Comparison(String title, String lead, int columns, List<String> sparsities, List<Figures> metrics) {}

  /// One metric: a chart and a table.
  ///
  /// @param scalable whether the chart offers a logarithmic scale
  /// @param logarithmic whether it begins with it
  record Figures(String key, String title, boolean scalable, boolean logarithmic, List<Criterion> criteria) {}

  record Criterion(String name, List<Cell> cells) {}

  record Cell(String text, boolean best) {}

  /// @param activations whether any layer has one
  /// @param changes whether any layer has a predicted or a measured change
  /// @param pruned whether any layer has lost weights
  /// @param overall the sparsity of the network, empty if unknown
  record Layers(boolean activations, boolean changes, boolean pruned, String overall, int count, List<Layer> rows) {}

  record Layer(String name, String shape, String activation, String kept, String removed, double fraction,
      String sparsity, String predicted, String measured) {}

  /// Predicted against measured changes.
  record Agreement(String lead) {}

  /// A picture of the weights that are left.
  ///
  /// @param index of the layer in the report
  /// @param density the name of its field in `report.json`
  /// @param aspect its columns and rows
  record Picture(String layer, int index, String density, String facts, String aspect) {}

  /// @param thresholds whether any chart has one, so that it shows which weights were removed
  record Importance(boolean thresholds, List<Distribution> charts) {}

  /// @param index of the layer in the report
  record Distribution(String layer, int index, String facts) {}

  record VerifiedLayers(String lead, List<Deviation> rows) {}

  record Deviation(String layer, String importance, String compensation, String differing) {}

  /// @param work estimated multiply-adds, where they are known
  record Timings(String total, Optional<String> work, List<Phase> phases) {}

  record Phase(String name, int colour, double fraction, String seconds, String share) {}

  record Option(String name, String value) {}

  static ReportView of(Report report) {
    return new ReportView(title(report), report.version(), report.time(), DATE.format(report.time()), report.summary(),
        Rows.of(cards(report)), comparison(report), report.graph().flatMap(GraphPicture::of), layers(report),
        agreement(report), Rows.of(pictures(report.layers())), importance(report.layers()),
        report.deviations().map(ReportView::deviations), timings(report), Rows.of(report.notes()),
        Rows.of(report.options().entrySet().stream().map(option -> new Option(option.getKey(), text(option.getValue())))
            .toList()));
  }

  private static String title(Report report) {
    Object model = report.options().get("model");
    return "espalier " + report.command() + (model == null ? "" : " " + model.toString().replaceFirst(".*/", ""));
  }

  private static List<Card> cards(Report report) {
    List<Card> cards = new ArrayList<>(bestCriteria(report.comparison()));
    report.model().filter(model -> model.removed() > 0 || report.comparison().isEmpty())
        .ifPresent(model -> cards.add(new Card("Sparsity", TYPOGRAPHIC.percent(model.sparsity()), "%s of %s removed"
            .formatted(TYPOGRAPHIC.count(model.removed()), TYPOGRAPHIC.counted(model.weights(), "weight")))));
    report.gain().ifPresent(gain -> {
      cards.add(new Card("Bytes of weights", TYPOGRAPHIC.count(gain.sparseBytes()),
          gain.sparseBytes() < gain.denseBytes()
              ? "as %s; dense %s".formatted(gain.sparseForm(), TYPOGRAPHIC.count(gain.denseBytes()))
              : "dense: no sparse form is smaller"));
      cards.add(new Card("Multiply-adds", TYPOGRAPHIC.count(gain.nonzeroMultiplyAdds()),
          "a sample, without zeros; with them %s, after shrink %s".formatted(TYPOGRAPHIC.count(gain.multiplyAdds()),
              TYPOGRAPHIC.count(gain.shrunkMultiplyAdds()))));
    });
    report.predictedTimes().forEach(time -> cards.add(card(time)));
    report.accuracy()
        .ifPresent(accuracy -> cards.add(new Card("Accuracy", TYPOGRAPHIC.percent(accuracy),
            ifPresent(report.denseAccuracy(), dense -> "%s; before pruning %s"
                .formatted(TYPOGRAPHIC.points(accuracy - dense), TYPOGRAPHIC.percent(dense))))));
    report.loss().ifPresent(loss -> cards.add(new Card("Loss", TYPOGRAPHIC.value(loss), report.lossName().orElse("")
        + ifPresent(report.denseLoss(), dense -> "; before pruning " + TYPOGRAPHIC.value(dense)))));
    report.outputChange().ifPresent(
        change -> cards.add(new Card("Output change", TYPOGRAPHIC.value(change), "mean squared, all outputs summed")));
    report.timings().entrySet().stream().max(Map.Entry.comparingByValue())
        .ifPresent(longest -> cards.add(new Card("Time", TYPOGRAPHIC.seconds(totalSeconds(report)),
            "longest: %s, %s".formatted(longest.getKey(), TYPOGRAPHIC.seconds(longest.getValue())))));
    return cards;
  }

  private static Card card(PredictedTime time) {
    String name = "Predicted time, batch of " + TYPOGRAPHIC.count(time.batch());
    String dense = milliseconds(time.dense());
    if (time.sparse().isEmpty()) {
      return new Card(name, dense, "dense; csr was not measured at this sparsity");
    }
    String sparse = milliseconds(time.sparse().getAsDouble());
    return time.sparse().getAsDouble() < time.dense()
        ? new Card(name, sparse, "as csr, by what was measured of such layers; dense " + dense)
        : new Card(name, dense, "dense, by what was measured of such layers; csr is slower, " + sparse);
  }

  private static String milliseconds(double seconds) {
    return TYPOGRAPHIC.value(1e3 * seconds) + " ms";
  }

  private static String ifPresent(OptionalDouble value, DoubleFunction<String> text) {
    return value.isPresent() ? text.apply(value.getAsDouble()) : "";
  }

  /// For each metric the best criterion at the highest sparsity that all curves have.
  private static List<Card> bestCriteria(List<Curve> curves) {
    Optional<Double> highest = Metric.sparsities(curves).reversed().stream()
        .filter(sparsity -> curves.stream().allMatch(curve -> Metric.point(sparsity, curve).isPresent())).findFirst();
    return highest.stream()
        .flatMap(sparsity -> Stream.of(Metric.values())
            .flatMap(metric -> curves.stream().filter(curve -> metric.isBest(sparsity, curve, curves)).limit(1)
                .map(curve -> new Card(metric.best + " at " + TYPOGRAPHIC.exactPercent(sparsity),
                    metric.text(metric.at(sparsity, curve)), curve.criterion()))))
        .toList();
  }

  private static Optional<Comparison> comparison(Report report) {
    List<Curve> curves = report.comparison();
    SortedSet<Double> sparsities = Metric.sparsities(curves);
    List<Figures> metrics = Stream.of(Metric.values())
        .filter(metric -> curves.stream().flatMap(curve -> curve.points().stream())
            .anyMatch(point -> metric.of(point).isPresent()))
        .map(metric -> figures(metric, report, sparsities)).toList();
    return metrics.isEmpty()
        ? Optional.empty()
        : Optional.of(new Comparison(heading(report.command()), lead(report), sparsities.size(),
            sparsities.stream().map(isSearch(report) ? TYPOGRAPHIC::found : TYPOGRAPHIC::exactPercent).toList(),
            metrics));
  }

  private static Figures figures(Metric metric, Report report, SortedSet<Double> sparsities) {
    List<Curve> curves = report.comparison();
    List<Criterion> rows = new ArrayList<>(dense(metric, report, sparsities.size()).stream().toList());
    for (Curve curve : curves) {
      rows.add(new Criterion(curve.criterion(),
          sparsities.stream().map(
              sparsity -> new Cell(metric.text(Metric.point(sparsity, curve)), metric.isBest(sparsity, curve, curves)))
              .toList()));
    }
    boolean isLogarithmic = metric == Metric.OUTPUT_CHANGE || (metric == Metric.LOSS && isWide(curves, metric));
    return new Figures(metric.key, title(metric, report), metric != Metric.ACCURACY, isLogarithmic, rows);
  }

  /// Whether its curve is that of a search, which chose the sparsities.
  static boolean isSearch(Report report) {
    return report.command().equals("prune");
  }

  private static String heading(String command) {
    return switch (command) {
      case "prune" -> "Search";
      case "sensitivity" -> "Each layer pruned alone";
      default -> "Comparison of criteria";
    };
  }

  private static String lead(Report report) {
    String data = report.command().equals("prune")
        ? "held-out data"
        : report.command().equals("sensitivity") ? "the samples" : "test data";
    return "Measured on %s, over the fraction of %s removed.".formatted(data,
        Boolean.TRUE.equals(report.options().get("prune-neurons")) ? "hidden neurons" : "weights");
  }

  /// The network before pruning, which has the same figure in all columns.
  private static Optional<Criterion> dense(Metric metric, Report report, int columns) {
    OptionalDouble figure = switch (metric) {
      case ACCURACY -> report.denseAccuracy();
      case LOSS -> report.denseLoss();
      case OUTPUT_CHANGE -> report.denseLoss().isPresent() ? OptionalDouble.of(0) : OptionalDouble.empty();
    };
    return figure.isEmpty()
        ? Optional.empty()
        : Optional.of(new Criterion("dense", Collections.nCopies(columns, new Cell(metric.text(figure), false))));
  }

  private static boolean isWide(List<Curve> curves, Metric metric) {
    DoubleSummaryStatistics figures = curves.stream().flatMap(curve -> curve.points().stream())
        .flatMapToDouble(point -> metric.of(point).stream()).summaryStatistics();
    return figures.getMin() > 0 && figures.getMax() >= WIDE * figures.getMin();
  }

  private static String title(Metric metric, Report report) {
    return metric == Metric.LOSS ? report.lossName().map("Loss (%s)"::formatted).orElse(metric.title) : metric.title;
  }

  private static Optional<Layers> layers(Report report) {
    List<Layer> rows = report.layers().stream()
        .map(layer -> new Layer(layer.name(), TYPOGRAPHIC.shape(layer.outputs(), layer.inputs()), layer.activation(),
            TYPOGRAPHIC.count(layer.weights() - layer.removed()), TYPOGRAPHIC.count(layer.removed()), layer.sparsity(),
            TYPOGRAPHIC.percent(layer.sparsity()), TYPOGRAPHIC.value(layer.predictedChange()),
            TYPOGRAPHIC.value(layer.measuredChange())))
        .toList();
    boolean changes = report.layers().stream()
        .anyMatch(layer -> layer.predictedChange().isPresent() || layer.measuredChange().isPresent());
    String overall = report.model().map(model -> TYPOGRAPHIC.percent(model.sparsity())).orElse("");
    boolean pruned = report.layers().stream().anyMatch(layer -> layer.removed() > 0);
    boolean activations = report.layers().stream().anyMatch(layer -> !layer.activation().isEmpty());
    return rows.isEmpty()
        ? Optional.empty()
        : Optional.of(new Layers(activations, changes, pruned, overall, rows.size(), rows));
  }

  /// Shown where there are two pairs of values or more that a logarithmic scale has a place for.
  private static Optional<Agreement> agreement(Report report) {
    long ofLayers = report.layers().stream().filter(layer -> isPair(layer.predictedChange(), layer.measuredChange()))
        .count();
    long ofCurves = report.comparison().stream().flatMap(curve -> curve.points().stream())
        .filter(point -> isPair(point.predictedChange(), point.outputChange())).count();
    if (Math.max(ofLayers, ofCurves) < 2) {
      return Optional.empty();
    }
    String what = ofCurves > 1
        ? "at each sparsity: predicted from the samples that the networks were pruned with, and measured on test data"
        : "with each layer pruned alone, on the calibration samples";
    return Optional.of(
        new Agreement("The mean squared change of the output %s. Above the dashed line, it is larger than predicted."
            .formatted(what)));
  }

  private static boolean isPair(OptionalDouble predicted, OptionalDouble measured) {
    return predicted.orElse(0) > 0 && measured.orElse(0) > 0;
  }

  private static List<Picture> pictures(List<LayerReport> layers) {
    List<Picture> pictures = new ArrayList<>();
    for (int i = 0; i < layers.size(); i++) {
      LayerReport layer = layers.get(i);
      int index = i;
      layer.pixels().ifPresent(density -> pictures.add(new Picture(layer.name(), index, "pixels",
          "inputs as %s pixels".formatted(TYPOGRAPHIC.shape(density.rows(), density.columns())), aspect(density))));
      layer.mask().ifPresent(density -> pictures.add(new Picture(layer.name(), index, "mask",
          "outputs × inputs, " + TYPOGRAPHIC.shape(layer.outputs(), layer.inputs()), aspect(density))));
    }
    return pictures;
  }

  private static String aspect(Density density) {
    return density.columns() + " / " + density.rows();
  }

  private static Optional<Importance> importance(List<LayerReport> layers) {
    List<Distribution> charts = new ArrayList<>();
    for (int i = 0; i < layers.size(); i++) {
      LayerReport layer = layers.get(i);
      if (layer.importance().isPresent()) {
        charts.add(new Distribution(layer.name(), i, facts(layer.threshold(), layer.importance().get().zeros())));
      }
    }
    boolean thresholds = layers.stream().anyMatch(layer -> layer.threshold().isPresent());
    return charts.isEmpty() ? Optional.empty() : Optional.of(new Importance(thresholds, charts));
  }

  private static String facts(OptionalDouble threshold, long zeros) {
    List<String> facts = new ArrayList<>();
    threshold.ifPresent(value -> facts.add("threshold " + TYPOGRAPHIC.value(value)));
    if (zeros > 0) {
      facts.add(TYPOGRAPHIC.count(zeros) + " zeros not shown");
    }
    return String.join(" · ", facts);
  }

  private static VerifiedLayers deviations(Deviations deviations) {
    String lead = ("Scores by this backend beside the reference’s, plain Java in double precision: the largest difference "
        + "over %s, relative to the layer’s largest value. Removed otherwise are weights that only one of the "
        + "two removes, when %s of these layers goes.").formatted(TYPOGRAPHIC.counted(deviations.samples(), "sample"),
            TYPOGRAPHIC.exactPercent(deviations.sparsity()));
    return new VerifiedLayers(lead, deviations.layers().stream()
        .map(layer -> new Deviation(layer.name(), TYPOGRAPHIC.value(layer.importance()),
            TYPOGRAPHIC.value(layer.compensation()),
            "%s of %s".formatted(TYPOGRAPHIC.count(layer.differing()), TYPOGRAPHIC.count(layer.selected()))))
        .toList());
  }

  private static Optional<Timings> timings(Report report) {
    double total = totalSeconds(report);
    List<Phase> phases = new ArrayList<>();
    report.timings().forEach((phase, seconds) -> phases.add(new Phase(phase, phases.size() % COLOURS, seconds / total,
        TYPOGRAPHIC.seconds(seconds), TYPOGRAPHIC.share(seconds / total))));
    return total == 0
        ? Optional.empty()
        : Optional.of(new Timings(TYPOGRAPHIC.seconds(total),
            report.work().isEmpty() ? Optional.empty() : Optional.of(work(report.work())), phases));
  }

  private static String work(Map<String, Double> multiplyAdds) {
    return multiplyAdds.entrySet().stream().map(part -> part.getKey() + " " + TYPOGRAPHIC.value(part.getValue()))
        .collect(Collectors.joining(", "));
  }

  private static double totalSeconds(Report report) {
    return report.timings().values().stream().mapToDouble(Double::doubleValue).sum();
  }

  private static String text(Object option) {
    return option instanceof List<?> list
        ? list.isEmpty() ? "none" : list.stream().map(ReportView::text).collect(Collectors.joining(", "))
        : option.toString();
  }
}
