package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.experiment.InferenceTimes.RandomZeros;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.LineChart;
import dev.espalier.engine.report.LineChart.Axis;
import dev.espalier.engine.report.LineChart.Line;
import dev.espalier.engine.report.LineChart.Mark;
import dev.espalier.engine.report.LineChart.Scale;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;

/// What `espalier time` has measured, as text, as a table, and as a page.
///
/// @param rows   of the models
/// @param shapes of random zeros in their shapes
record TimeResults(List<Row> rows, List<Shapes> shapes) {
  /// The name of the page's file.
  static final String PAGE = "README.md";
  /// Before the widths of networks of random zeros.
  static final String RANDOM = "random ";
  /// Before the widths of a network that has no times of csr.
  static final String DENSE = "dense ";
  private static final double MILLI = 1e3;
  /// Characters of widths in the name of a file, which has limits.
  private static final int MOST_NAMED = 100;
  /// In a chart: more lines are not told apart.
  private static final int MOST_MODELS = 8;

  /// A model at one size of batches.
  record Row(String model, String widths, double sparsity, int batch, Map<Variant, Times> times) {
    /// How many times as fast as the dense network.
    double speed(Variant variant) {
      return 1 / toDense(variant).median();
    }

    /// Whether it takes longer than the dense network in three quarters of the rounds.
    boolean isSlower(Variant variant) {
      return toDense(variant).lowerQuartile() > 1;
    }

    private Times toDense(Variant variant) {
      return times.get(variant).relativeTo(times.get(Variant.DENSE));
    }
  }

  /// Networks of random zeros at one size of batches.
  record Shapes(String widths, int batch, List<RandomZeros> times) {
    /// From where on zeros make it faster.
    String breakEven() {
      OptionalDouble sparsity = InferenceTimes.breakEven(times);
      double last = times.getLast().sparsity();
      String where;
      if (sparsity.isEmpty()) {
        where = "csr is slower than dense up to %s of zeros".formatted(PLAIN.exactPercent(last));
      } else if (sparsity.getAsDouble() == times.getFirst().sparsity()) {
        where = "csr is faster than dense at %s of zeros already".formatted(PLAIN.exactPercent(sparsity.getAsDouble()));
      } else {
        where = "csr is faster than dense from %s %% of zeros on"
            .formatted(PLAIN.fixed(100 * sparsity.getAsDouble(), 0));
      }
      return "%s, batch %s: %s".formatted(widths, PLAIN.count(batch), where);
    }
  }

  /// What the time of a dense network depends on: the widths of a chain of layers, and of another graph a number for its
  /// nodes too.
  static String widths(DenseNetwork network) {
    String widths = Stream.concat(Stream.of(network.inputs()), network.layers().stream().map(DenseLayer::outputs))
        .map(String::valueOf).collect(Collectors.joining("-"));
    CRC32 nodes = new CRC32();
    network.graph().nodes().forEach(node -> nodes.update("%s %s %d;"
        .formatted(node.getClass().getSimpleName(), node.inputs(), node.width()).getBytes(StandardCharsets.UTF_8)));
    return network.graph().isChain() ? widths : "%s (graph %08x)".formatted(widths, nodes.getValue());
  }

  // ---- text ----

  void print(PrintWriter out) {
    Table table = new Table(2, "model", "variant", "zero", "batch", "ms", "quartiles", "samples/s", "speed");
    forEach((row, variant) -> table.row(cells(row, variant).toArray(String[]::new)));
    table.lines().forEach(out::println);
    out.println();
    verdicts().forEach(out::println);
  }

  private interface Visitor {
    void visit(Row row, Variant variant);
  }

  private void forEach(Visitor visitor) {
    rows.forEach(row -> row.times.keySet().forEach(variant -> visitor.visit(row, variant)));
  }

  private static List<String> cells(Row row, Variant variant) {
    Times times = row.times.get(variant);
    return List.of(row.model, variant.toString(), PLAIN.percent(row.sparsity), PLAIN.count(row.batch),
        PLAIN.value(MILLI * times.median()),
        "%s to %s".formatted(PLAIN.value(MILLI * times.lowerQuartile()), PLAIN.value(MILLI * times.upperQuartile())),
        PLAIN.count(Math.round(row.batch / times.median())), PLAIN.fixed(row.speed(variant), 2));
  }

  /// Where sparse weights lose, and from where on they win.
  private List<String> verdicts() {
    List<String> lines = new ArrayList<>();
    for (Row row : rows) {
      for (Variant variant : row.times.keySet()) {
        if (row.isSlower(variant)) {
          lines.add("%s, batch %s: %s is slower than dense, %s times the time".formatted(row.model,
              PLAIN.count(row.batch), variant, PLAIN.fixed(1 / row.speed(variant), 2)));
        }
      }
    }
    shapes.forEach(each -> lines.add(each.breakEven()));
    if (!shapes.isEmpty()) {
      lines.add("(measured with random zeros, spread evenly over layers of these widths, at %s, and interpolated)"
          .formatted(InferenceTimes.SPARSITIES.stream().map(PLAIN::exactPercent).collect(Collectors.joining(", "))));
    }
    return lines;
  }

  // ---- for other programs ----

  /// A row for each model, variant and batch, and for each sparsity of random zeros, whose model is `random` and the
  /// widths. Of networks without a time of csr, one more has the time of the first of each shape, whose model is `dense`
  /// and the widths.
  CsvTable csv() {
    List<List<String>> lines = new ArrayList<>();
    forEach((row, variant) -> lines
        .add(fields(row.model, row.sparsity, row.batch, variant, row.times.get(variant), row.speed(variant))));
    Set<String> seen = new HashSet<>();
    for (Row row : rows) {
      if (!row.times.containsKey(Variant.CSR) && seen.add(row.widths + " " + row.batch)) {
        lines.add(fields(DENSE + row.widths, row.sparsity, row.batch, Variant.DENSE, row.times.get(Variant.DENSE), 1));
      }
    }
    for (Shapes each : shapes) {
      for (RandomZeros zeros : each.times) {
        String model = RANDOM + each.widths;
        lines.add(fields(model, zeros.sparsity(), each.batch, Variant.DENSE, zeros.dense(), 1));
        lines.add(fields(model, zeros.sparsity(), each.batch, Variant.CSR, zeros.csr(), 1 / zeros.ratio()));
      }
    }
    return new CsvTable(List.of("model", "sparsity", "batch", "variant", "seconds", "lower_quartile", "upper_quartile",
        "samples_per_second", "speed"), lines);
  }

  private static List<String> fields(String model, double sparsity, int batch, Variant variant, Times times,
      double speed) {
    return List.of(model, String.valueOf(sparsity), String.valueOf(batch), variant.toString(),
        String.valueOf(times.median()), String.valueOf(times.lowerQuartile()), String.valueOf(times.upperQuartile()),
        String.valueOf(batch / times.median()), String.valueOf(speed));
  }

  // ---- page ----

  /// The files of a page by name, each as text.
  Map<String, String> page(List<String> provenance) {
    Map<String, String> files = new LinkedHashMap<>();
    StringBuilder page = new StringBuilder("# Times of inference\n\n");
    provenance.forEach(line -> page.append("* %s\n".formatted(line)));
    page.append("\nMedians of a call in milliseconds, with quartiles; speed is that of dense, in turns.\n\n");
    page.append(
        "| model | variant | zero | batch | ms | quartiles | samples/s | speed |\n|---|---|---|---|---|---|---|---|\n");
    forEach((row, variant) -> page.append("| %s |\n".formatted(String.join(" | ", cells(row, variant)))));
    page.append('\n');
    verdicts().forEach(line -> page.append("* %s\n".formatted(line)));
    List<String> networks = shapes.stream().map(Shapes::widths).distinct().toList();
    for (Shapes each : shapes) {
      String shown = each.widths.length() <= MOST_NAMED
          ? each.widths.replace(" (graph ", "-graph-").replace(")", "")
          : "network-" + (1 + networks.indexOf(each.widths));
      String name = "latency-%s-batch-%d.svg".formatted(shown, each.batch);
      files.put(name, chart(each).toSvg());
      page.append(
          "\n![Latency of %s over the weights that are zero, batch %d](%s)\n".formatted(each.widths, each.batch, name));
    }
    files.put(PAGE, page.toString());
    files.put("times.csv", csv().toString());
    return files;
  }

  private LineChart chart(Shapes shapes) {
    List<Line> lines = new ArrayList<>();
    lines.add(line("dense, random zeros", shapes, RandomZeros::dense));
    lines.add(line("csr, random zeros", shapes, RandomZeros::csr));
    rows.stream().filter(row -> row.batch == shapes.batch && row.widths.equals(shapes.widths) && row.sparsity < 1)
        .limit(MOST_MODELS).forEach(row -> row.times.forEach((variant, times) -> {
          if (variant != Variant.DENSE) {
            lines.add(new Line("%s, %s".formatted(row.model, variant), List.of(mark(row.sparsity, times))));
          }
        }));
    return new LineChart("%s, batch %d".formatted(shapes.widths, shapes.batch),
        new Axis("weights that are zero", Scale.REST, true), new Axis("milliseconds", Scale.LOGARITHMIC, false), lines);
  }

  private static Line line(String name, Shapes shapes, Function<RandomZeros, Times> times) {
    return new Line(name, shapes.times.stream().map(zeros -> mark(zeros.sparsity(), times.apply(zeros))).toList());
  }

  private static Mark mark(double sparsity, Times times) {
    return new Mark(sparsity, MILLI * times.median(), MILLI * (times.upperQuartile() - times.lowerQuartile()) / 2);
  }
}
