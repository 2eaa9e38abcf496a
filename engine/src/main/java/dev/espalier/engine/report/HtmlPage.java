package dev.espalier.engine.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/// The page of a report. Text and tables are written here and need no script; `report.js` draws the charts
/// from the report's JSON, which the page contains.
final class HtmlPage {
  private static final Pattern PLACEHOLDER = Pattern.compile("\\{\\{(\\w+)}}");
  private static final List<Metric> METRICS = List.of(
      new Metric("accuracy", "Accuracy", "Highest accuracy", true, Point::accuracy, Numbers.TYPOGRAPHIC::percent),
      new Metric("loss", "Loss", "Lowest loss", false, point -> OptionalDouble.of(point.loss()),
          Numbers.TYPOGRAPHIC::value),
      new Metric("outputChange", "Mean squared output change", "Least output change", false, Point::outputChange,
          Numbers.TYPOGRAPHIC::value));
  private static final String KEY = """
      <span class="key"><i class="removed"></i>removed <i class="kept"></i>kept</span>""";
  private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("d MMMM uuuu, HH:mm 'UTC'", Locale.ENGLISH)
      .withZone(ZoneOffset.UTC);

  private final Report report;
  private final String json;

  /// @param json the same report
  HtmlPage(Report report, String json) {
    this.report = report;
    this.json = json;
  }

  String render() {
    String body = String.join("", header(), cards(), comparison(), layers(), sparsity(), importance(), timings(),
        notes(), options());
    Map<String, String> parts = Map.of("title", escape("espalier " + report.command()), "css", resource("report.css"),
        "body", body, "version", escape(report.version()), "data", json.replace("<", "\\u003c"), "echarts",
        resource("echarts.common.min.js"), "script", resource("report.js"));
    return PLACEHOLDER.matcher(resource("report.html"))
        .replaceAll(match -> Matcher.quoteReplacement(parts.get(match.group(1))));
  }

  private String header() {
    return """
        <header>
          <p class="origin">Espalier %s <span>·</span> <time datetime="%s">%s</time></p>
          <h1>espalier %s</h1>%s
        </header>
        """.formatted(escape(report.version()), report.time(), TIME.format(report.time()), escape(report.command()),
        report.summary().map(text -> "<p class=\"summary\">" + escape(text) + "</p>").orElse(""));
  }

  private String cards() {
    List<String> cards = new ArrayList<>();
    report.model()
        .ifPresent(model -> cards.add(
            card("Sparsity", Numbers.TYPOGRAPHIC.percent(model.sparsity()), Numbers.TYPOGRAPHIC.count(model.removed())
                + " of " + Numbers.TYPOGRAPHIC.count(model.weights()) + " weights removed")));
    report.accuracy()
        .ifPresent(accuracy -> cards.add(card("Accuracy", Numbers.TYPOGRAPHIC.percent(accuracy),
            report.denseAccuracy().isEmpty()
                ? ""
                : "%s; before pruning %s".formatted(
                    Numbers.TYPOGRAPHIC.points(accuracy - report.denseAccuracy().getAsDouble()),
                    Numbers.TYPOGRAPHIC.percent(report.denseAccuracy().getAsDouble())))));
    report.loss()
        .ifPresent(loss -> cards.add(card("Loss", Numbers.TYPOGRAPHIC.value(loss),
            report.lossName().orElse("") + (report.denseLoss().isEmpty()
                ? ""
                : "; before pruning " + Numbers.TYPOGRAPHIC.value(report.denseLoss().getAsDouble())))));
    report.outputChange().ifPresent(change -> cards
        .add(card("Output change", Numbers.TYPOGRAPHIC.value(change), "mean squared, all outputs summed")));
    cards.addAll(bestCurves());
    double total = totalSeconds();
    report.timings().entrySet().stream().max(Map.Entry.comparingByValue())
        .ifPresent(longest -> cards.add(card("Time", Numbers.TYPOGRAPHIC.seconds(total),
            "longest: %s, %s".formatted(longest.getKey(), Numbers.TYPOGRAPHIC.seconds(longest.getValue())))));
    return cards.isEmpty() ? "" : "<div class=\"cards\" id=\"figures\">\n" + String.join("", cards) + "</div>\n";
  }

  private static String card(String name, String value, String detail) {
    return "<div class=\"card\"><h2>%s</h2><p class=\"figure\">%s</p><p>%s</p></div>\n".formatted(name, escape(value),
        escape(detail));
  }

  /// For each metric the best criterion at the highest sparsity that all curves have.
  private List<String> bestCurves() {
    Optional<Double> highest = sparsities().stream()
        .filter(sparsity -> report.comparison().stream().allMatch(curve -> at(curve, sparsity).isPresent()))
        .reduce((low, high) -> high);
    if (report.comparison().size() < 2 || highest.isEmpty()) {
      return List.of();
    }
    double sparsity = highest.get();
    return METRICS
        .stream().flatMap(metric -> report.comparison().stream().filter(curve -> isBest(metric, curve, sparsity))
            .findFirst().map(curve -> card(metric.best + " at " + Numbers.TYPOGRAPHIC.exactPercent(sparsity),
                curve.criterion(), metric.format.apply(valueAt(metric, curve, sparsity).getAsDouble())))
            .stream())
        .toList();
  }

  private boolean isBest(Metric metric, Curve curve, double sparsity) {
    OptionalDouble value = valueAt(metric, curve, sparsity);
    DoubleStream all = report.comparison().stream().flatMapToDouble(each -> valueAt(metric, each, sparsity).stream());
    OptionalDouble best = metric.higherIsBetter ? all.max() : all.min();
    return report.comparison().size() > 1 && value.isPresent() && value.equals(best);
  }

  private String comparison() {
    List<String> charts = new ArrayList<>();
    List<String> tables = new ArrayList<>();
    for (Metric metric : METRICS) {
      if (report.comparison().stream().flatMap(curve -> curve.points().stream())
          .anyMatch(point -> metric.of.apply(point).isPresent())) {
        charts.add(lineChart(metric));
        tables.add(metricTable(metric));
      }
    }
    return charts.isEmpty()
        ? ""
        : section("comparison", "What each criterion loses", "Test data, over the fraction of weights removed.",
            "<div class=\"charts\">\n" + String.join("", charts) + "</div>\n" + String.join("", tables));
  }

  private String lineChart(Metric metric) {
    String scale = metric.higherIsBetter ? "" : """
        <button type="button" class="scale" aria-pressed="%s">log scale</button>
        """.formatted(metric.key.equals("outputChange"));
    return """
        <figure>
          <figcaption><h3>%s</h3>%s</figcaption>
          <div class="chart line" data-chart="curve" data-metric="%s" role="img" aria-label="%s over sparsity"></div>
        </figure>
        """.formatted(title(metric), scale, metric.key, title(metric));
  }

  private String metricTable(Metric metric) {
    StringBuilder rows = new StringBuilder();
    for (Curve curve : report.comparison()) {
      rows.append("<tr><th scope=\"row\">").append(escape(curve.criterion())).append("</th>");
      for (double sparsity : sparsities()) {
        OptionalDouble value = valueAt(metric, curve, sparsity);
        boolean best = isBest(metric, curve, sparsity);
        rows.append(best ? "<td class=\"best\">" : "<td>")
            .append(value.isEmpty() ? "" : metric.format.apply(value.getAsDouble())).append("</td>");
      }
      rows.append("</tr>\n");
    }
    return """
        <div class="scroll"><table class="figures" style="min-width:%dpx">
        <caption>%s</caption>
        <thead><tr><th scope="col">removed</th>%s</tr></thead>
        <tbody>
        %s</tbody></table></div>
        """.formatted(140 + 84 * sparsities().size(), title(metric),
        sparsities().stream()
            .map(sparsity -> "<th scope=\"col\">" + Numbers.TYPOGRAPHIC.exactPercent(sparsity) + "</th>")
            .collect(Collectors.joining()),
        rows);
  }

  private String title(Metric metric) {
    return metric.key.equals("loss")
        ? report.lossName().map(name -> "Loss (" + escape(name) + ")").orElse(metric.title)
        : metric.title;
  }

  private SortedSet<Double> sparsities() {
    return report.comparison().stream().flatMap(curve -> curve.points().stream()).map(Point::sparsity)
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static Optional<Point> at(Curve curve, double sparsity) {
    return curve.points().stream().filter(point -> point.sparsity() == sparsity).findFirst();
  }

  private static OptionalDouble valueAt(Metric metric, Curve curve, double sparsity) {
    return at(curve, sparsity).map(metric.of).orElse(OptionalDouble.empty());
  }

  private String layers() {
    if (report.layers().isEmpty()) {
      return "";
    }
    boolean changes = report.layers().stream()
        .anyMatch(layer -> layer.predictedChange().isPresent() || layer.measuredChange().isPresent());
    StringBuilder rows = new StringBuilder();
    for (LayerReport layer : report.layers()) {
      String percent = Numbers.TYPOGRAPHIC.percent(layer.sparsity());
      rows.append("<tr><th scope=\"row\">").append(escape(layer.name())).append("</th>");
      cell(rows, "Shape",
          Numbers.TYPOGRAPHIC.count(layer.outputs()) + " × " + Numbers.TYPOGRAPHIC.count(layer.inputs()));
      cell(rows, "Activation", escape(layer.activation()));
      cell(rows, "Kept", Numbers.TYPOGRAPHIC.count(layer.weights() - layer.removed()));
      cell(rows, "Removed", Numbers.TYPOGRAPHIC.count(layer.removed()));
      cell(rows, "Sparsity", "<span class=\"bar\"><span style=\"width:%s%%\"></span></span><span>%s</span>"
          .formatted(String.format(Locale.ROOT, "%.2f", 100 * layer.sparsity()), percent));
      if (changes) {
        cell(rows, "Predicted change", optional(layer.predictedChange()));
        cell(rows, "Measured change", optional(layer.measuredChange()));
      }
      rows.append("</tr>\n");
    }
    String heads = changes ? "<th scope=\"col\">Predicted change</th><th scope=\"col\">Measured change</th>" : "";
    return section("layers", "Layers",
        changes
            ? "Outputs × inputs from the input on. A change is the mean squared change of the network’s output: "
                + "as the criterion predicts it, and as measured on the calibration samples "
                + "with this layer alone pruned."
            : "Outputs × inputs, from the input on.",
        """
            <div class="scroll"><table class="layers">
            <thead><tr><th scope="col">Layer</th><th scope="col">Shape</th><th scope="col">Activation</th>\
            <th scope="col">Kept</th><th scope="col">Removed</th><th scope="col">Sparsity</th>%s</tr></thead>
            <tbody>
            %s</tbody></table></div>
            """.formatted(heads, rows));
  }

  private static void cell(StringBuilder row, String label, String html) {
    row.append("<td data-label=\"%s\">%s</td>".formatted(label, html));
  }

  private static String optional(OptionalDouble value) {
    return value.isEmpty() ? "–" : Numbers.TYPOGRAPHIC.value(value.getAsDouble());
  }

  private String sparsity() {
    return report.layers().isEmpty()
        ? ""
        : section("sparsity", "Sparsity per layer", "The fraction of each layer’s weights that is zero. " + KEY, """
            <div class="chart" style="height:%dpx" data-chart="sparsity" data-overall="%s" role="img"
              aria-label="Sparsity per layer; the figures are in the table above"></div>
            """.formatted(70 + 36 * report.layers().size(),
            report.model().map(model -> Numbers.TYPOGRAPHIC.percent(model.sparsity())).orElse("")));
  }

  private String importance() {
    String charts = IntStream.range(0, report.layers().size()).filter(this::hasImportance)
        .mapToObj(this::importanceChart).collect(Collectors.joining());
    boolean threshold = report.layers().stream().anyMatch(layer -> layer.threshold().isPresent());
    return charts.isEmpty()
        ? ""
        : section("importance", "Importance of weights",
            "How many weights have which importance, on a logarithmic scale that all layers share."
                + (threshold ? " " + KEY : ""),
            "<div class=\"multiples\">\n" + charts + "</div>\n");
  }

  private boolean hasImportance(int layer) {
    return report.layers().get(layer).importance().isPresent();
  }

  private String importanceChart(int index) {
    LayerReport layer = report.layers().get(index);
    long zeros = layer.importance().orElseThrow().zeros();
    List<String> facts = new ArrayList<>();
    layer.threshold().ifPresent(threshold -> facts.add("threshold " + Numbers.TYPOGRAPHIC.value(threshold)));
    if (zeros > 0) {
      facts.add(Numbers.TYPOGRAPHIC.count(zeros) + " zeros not shown");
    }
    return """
        <figure>
          <figcaption><h3>%s</h3><span>%s</span></figcaption>
          <div class="chart multiple" data-chart="importance" data-layer="%d" role="img"
            aria-label="Importance distribution of %s"></div>
        </figure>
        """.formatted(escape(layer.name()), String.join(" · ", facts), index, escape(layer.name()));
  }

  private String timings() {
    double total = totalSeconds();
    if (total == 0) {
      return "";
    }
    StringBuilder bar = new StringBuilder();
    StringBuilder rows = new StringBuilder();
    int colour = 0;
    for (Map.Entry<String, Double> timing : report.timings().entrySet()) {
      double share = timing.getValue() / total;
      bar.append("<span class=\"t%d\" style=\"flex-grow:%s\"></span>".formatted(colour,
          String.format(Locale.ROOT, "%.5f", share)));
      rows.append("<li><i class=\"t%d\"></i><span>%s</span><b>%s</b><em>%s</em></li>\n".formatted(colour,
          escape(timing.getKey()), Numbers.TYPOGRAPHIC.seconds(timing.getValue()),
          escape(Numbers.TYPOGRAPHIC.share(share))));
      colour = (colour + 1) % 8;
    }
    return section("timings", "Time", Numbers.TYPOGRAPHIC.seconds(total) + " in all.", """
        <div class="timeline" aria-hidden="true">%s</div>
        <ul class="phases">
        %s</ul>
        """.formatted(bar, rows));
  }

  private double totalSeconds() {
    return report.timings().values().stream().mapToDouble(Double::doubleValue).sum();
  }

  private String notes() {
    return report.notes().isEmpty()
        ? ""
        : section("notes", "Notes", "", report.notes().stream().map(note -> "<li>" + escape(note) + "</li>\n")
            .collect(Collectors.joining("", "<ul class=\"notes\">\n", "</ul>\n")));
  }

  private String options() {
    return report.options().isEmpty()
        ? ""
        : section("options", "Options in force", "",
            report
                .options().entrySet().stream().map(option -> "<div><dt>%s</dt><dd>%s</dd></div>\n"
                    .formatted(escape(option.getKey()), escape(text(option.getValue()))))
                .collect(Collectors.joining("", "<dl>\n", "</dl>\n")));
  }

  private static String text(Object value) {
    return value instanceof List<?> list
        ? list.isEmpty() ? "none" : list.stream().map(HtmlPage::text).collect(Collectors.joining(", "))
        : value.toString();
  }

  private static String section(String id, String title, String lead, String content) {
    return "<section id=\"%s\">\n<h2>%s</h2>\n%s%s</section>\n".formatted(id, title,
        lead.isEmpty() ? "" : "<p class=\"lead\">" + lead + "</p>\n", content);
  }

  /// Safe between tags and in quoted attributes.
  static String escape(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;").replace("'",
        "&#39;");
  }

  private static String resource(String name) {
    try (InputStream resource = HtmlPage.class.getResourceAsStream(name)) {
      return new String(Objects.requireNonNull(resource, name).readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(name, e);
    }
  }

  /// What a comparison shows of each point.
  private record Metric(String key, String title, String best, boolean higherIsBetter,
      Function<Point, OptionalDouble> of, Function<Double, String> format) {}
}
