package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

@Isolated("sets the default locale")
class ReportWriterTest {
  private static final JsonMapper JSON = new JsonMapper();
  private static final String HOSTILE = "</script><b onload='x' data-y=\"z\">&{{data}}$1\\u003c\u2028";

  @TempDir
  private Path folder;

  @Test
  void jsonHasStableKeysAndValues() throws IOException {
    ReportWriter.write(SampleReports.prune(), folder.resolve("new/report"), false);
    JsonNode json = JSON.readTree(Files.readString(folder.resolve("new/report/report.json")));

    assertEquals(List.of("command", "version", "time", "summary", "accuracy", "loss", "lossName", "denseAccuracy",
        "denseLoss", "outputChange", "model", "gain", "predictedTimes", "graph", "layers", "comparison", "deviations",
        "timings", "work", "notes", "options"), List.copyOf(json.propertyNames()));
    assertEquals("prune", json.get("command").stringValue());
    assertEquals("2026-11-23T06:12:31Z", json.get("time").stringValue());
    assertEquals(0.9779, json.get("accuracy").doubleValue());
    assertEquals(0.0742, json.get("loss").doubleValue());
    assertEquals(Set.of("weights", "removed", "sparsity"), Set.copyOf(json.get("model").propertyNames()));
    assertEquals(
        List.of("denseBytes", "sparseBytes", "sparseForm", "multiplyAdds", "nonzeroMultiplyAdds", "shrunkMultiplyAdds"),
        List.copyOf(json.get("gain").propertyNames()));
    assertEquals(208_940, json.get("gain").get("sparseBytes").longValue());
    assertEquals(List.of("load", "forward", "backward", "moments", "select", "write"),
        List.copyOf(json.get("timings").propertyNames()));
    assertEquals(24.918, json.get("timings").get("moments").doubleValue());
    assertEquals(0.9, json.get("options").get("sparsity").doubleValue());
    assertTrue(json.get("options").get("force").booleanValue());
    assertEquals("relu", json.get("options").get("activations").get(0).stringValue());

    assertEquals(List.of("batch", "dense", "sparse"), List.copyOf(json.get("predictedTimes").get(0).propertyNames()));
    assertEquals(List.of("batch", "dense"), List.copyOf(json.get("predictedTimes").get(2).propertyNames()));
    assertTrue(page(SampleReports.prune()).contains(">0.01600 ms</p>"));

    JsonNode node = json.get("graph").get("nodes").get(1);
    assertEquals(List.of("computes", "layer", "activation", "reads", "width"), List.copyOf(node.propertyNames()));
    assertEquals("layer 0.weight", node.get("computes").stringValue());

    JsonNode layer = json.get("layers").get(0);
    assertEquals(List.of("name", "outputs", "inputs", "activation", "weights", "removed", "sparsity", "predictedChange",
        "measuredChange", "importance", "threshold"), List.copyOf(layer.propertyNames()));
    assertEquals(300, layer.get("outputs").intValue());
    assertEquals(784, layer.get("inputs").intValue());
    assertEquals(235_200, layer.get("weights").longValue());
    assertEquals(layer.get("removed").longValue() / 235_200.0, layer.get("sparsity").doubleValue());
    assertEquals(List.of("logMin", "logMax", "counts", "zeros"), List.copyOf(layer.get("importance").propertyNames()));
    assertEquals(60, layer.get("importance").get("counts").size());
  }

  @Test
  void jsonOfComparison() {
    JsonNode json = JSON.readTree(ReportWriter.json(SampleReports.compare()));
    JsonNode curve = json.get("comparison").get(0);
    assertEquals("ec", curve.get("criterion").stringValue());
    assertEquals(List.of("sparsity", "loss", "accuracy", "outputChange"),
        List.copyOf(curve.get("points").get(0).propertyNames()));
  }

  @Test
  void absentValuesAreOmitted() {
    Report report = ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 1))).comparison(List.of(
        new Curve("ec", List.of(new Point(0.5, OptionalDouble.of(1), OptionalDouble.empty(), OptionalDouble.empty())))))
        .build();
    JsonNode json = JSON.readTree(ReportWriter.json(report));

    assertEquals(Set.of("command", "version", "time", "layers", "predictedTimes", "comparison", "timings", "work",
        "notes", "options"), Set.copyOf(json.propertyNames()));
    assertEquals(Set.of("name", "outputs", "inputs", "activation", "weights", "removed", "sparsity"),
        Set.copyOf(json.get("layers").get(0).propertyNames()));
    assertEquals(Set.of("sparsity", "loss"),
        Set.copyOf(json.get("comparison").get(0).get("points").get(0).propertyNames()));
  }

  /// Those of several networks; a single one has none.
  @Test
  void bandsOfErrorAreInThePage() {
    OptionalDouble none = OptionalDouble.empty();
    Point several = new Point(0.5, OptionalDouble.of(2), OptionalDouble.of(0.75), none, OptionalDouble.of(3),
        OptionalDouble.of(0.5), none, none);
    Point single = new Point(0.8, OptionalDouble.of(2), none, none);
    JsonNode bands = json(
        page(ReportTest.empty().comparison(List.of(new Curve("ec", List.of(several, single)))).build()), "labels")
        .get("bands").get(0);
    assertEquals("{\"accuracy\":{\"low\":0.25,\"high\":1.0},\"loss\":{\"low\":-1.0,\"high\":5.0}}",
        bands.get(0).toString());
    assertEquals("{}", bands.get(1).toString());
  }

  @Test
  void predictionsAreShownAgainstMeasurementsWhereThereAreTwo() {
    assertTrue(page(SampleReports.prune()).contains("with each layer pruned alone"));
    OptionalDouble none = OptionalDouble.empty();
    List<Point> points = IntStream.of(1, 2)
        .mapToObj(
            i -> new Point(0.3 * i, none, none, OptionalDouble.of(2 * i), none, none, none, OptionalDouble.of(0.5 * i)))
        .toList();
    Report compared = ReportTest.empty().comparison(List.of(new Curve("ec", points))).build();
    String page = page(compared);
    assertTrue(page.contains("measured on test data. Above the dashed line"));
    assertEquals(0.5,
        json(page, "report").get("comparison").get(0).get("points").get(0).get("predictedChange").doubleValue());
    assertEquals("1.000", json(page, "labels").get("comparison").get(0).get(1).get("predictedChange").stringValue());
    assertFalse(page(ReportTest.empty().comparison(List.of(new Curve("ec", points.subList(0, 1)))).build())
        .contains("dashed line"));
  }

  @Test
  void layersThatLostNothingHaveNoBars() {
    String page = page(ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 0))).build());
    assertTrue(page.contains("<td data-label=\"Weights\">6</td>"));
    assertFalse(page.contains("class=\"bar\""));
    assertTrue(page(SampleReports.prune()).contains("class=\"bar\""));
  }

  @Test
  void hostileNamesStayText() {
    Report hostile = Report.builder(HOSTILE, HOSTILE, SampleReports.TIME).summary(HOSTILE).loss(HOSTILE, 1).model(6, 1)
        .layers(List.of(LayerReport.of(HOSTILE, 2, 3, HOSTILE, 1)))
        .comparison(List.of(new Curve(HOSTILE,
            List.of(new Point(0.5, OptionalDouble.of(1), OptionalDouble.of(1), OptionalDouble.of(1))))))
        .timings(Map.of(HOSTILE, 1.0)).notes(List.of(HOSTILE)).options(Map.of(HOSTILE, HOSTILE)).build();
    String page = page(hostile);

    assertFalse(page.contains("<b onload"), "markup of a name is in the page");
    assertEquals(4, count(page, "</script"), "the page's own four scripts");
    assertTrue(
        page.contains("&lt;/script&gt;&lt;b onload&#x3D;&#39;x&#39; data-y&#x3D;&quot;z&quot;&gt;&amp;{{data}}$1"));
    assertEquals(HOSTILE, json(page, "report").get("layers").get(0).get("name").stringValue());
    assertEquals(HOSTILE, json(page, "report").get("options").get(HOSTILE).stringValue());
  }

  /// A page with a hostile name differs from one with a plain name by that name, escaped, and by nothing else.
  @ParameterizedTest
  @ValueSource(strings = {HOSTILE, "<script>alert(1)</script>", "{{x}}", "{{{css}}}", "{{#rows}}", "{{/rows}}", "{{.}}",
      "&lt;", "<!--", "]]>"})
  void namesAreLiteralInEveryPlace(String name) {
    String plain = page(SampleReports.named("NAME"));
    for (String place : List.of("<title>espalier NAME</title>", "<h1>espalier NAME</h1>", "Espalier NAME <span>",
        "<p class=\"summary\">NAME</p>", "NAME; before pruning", "<p>NAMENAME</p>", "<p>longest: NAME, 1.50",
        "<h3>Loss (NAME)</h3>", "aria-label=\"Loss (NAME) over sparsity\"", "<caption>Loss (NAME)</caption>",
        "<th scope=\"row\">NAMENAME</th>", "<td data-label=\"Activation\" class=\"activation\">NAME</td>",
        "<figcaption><h3>NAME</h3>", "aria-label=\"Importance distribution of NAME\"", "<span>NAME</span><b>",
        "estimated: NAME 2.000", "<li>NAME</li>", "<dt>NAME</dt><dd>NAME, NAME</dd>", "<footer>Espalier NAME.")) {
      assertTrue(plain.contains(place), place);
    }
    String escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;")
        .replace("'", "&#39;").replace("=", "&#x3D;");
    String page = page(SampleReports.named(name));
    assertEquals(withoutJson(plain).replace("NAME", escaped), withoutJson(page));
    assertEquals(JSON.readTree(ReportWriter.json(SampleReports.named(name))), json(page, "report"));
    assertEquals(json(plain, "labels"), json(page, "labels"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"ar-EG", "hi-IN-u-nu-deva", "de-DE", "tr-TR"})
  void filesDoNotDependOnTheLocale(String tag) throws IOException {
    Locale before = Locale.getDefault();
    try {
      for (Report report : List.of(SampleReports.prune(), SampleReports.compare(), SampleReports.named("a"))) {
        Locale.setDefault(Locale.ROOT);
        ReportWriter.write(report, folder.resolve("root"), true);
        Locale.setDefault(Locale.forLanguageTag(tag));
        ReportWriter.write(report, folder.resolve(tag), true);
        for (String file : List.of("report.json", "report.html")) {
          assertEquals(-1, Files.mismatch(folder.resolve("root").resolve(file), folder.resolve(tag).resolve(file)),
              report.command() + "/" + file);
        }
      }
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void aComparisonNamesItsModelAndBeginsWithItsResult() {
    List<Curve> curves = Stream.of("ec", "wanda")
        .map(name -> new Curve(name,
            List.of(new Point(0.5, OptionalDouble.of(0.2), OptionalDouble.of(0.96), OptionalDouble.of(0.1)), new Point(
                0.9, OptionalDouble.of(name.equals("ec") ? 19 : 21), OptionalDouble.of(0.6), OptionalDouble.of(8)))))
        .toList();
    String page = page(Report.builder("compare", "1", SampleReports.TIME).lossName("mse").comparison(curves)
        .denseAccuracy(0.97).denseLoss(0.1).model(6, 0).layers(List.of(LayerReport.of("0", 2, 3, "relu", 0)))
        .options(Map.of("model", "/a folder/n.safetensors")).build());
    assertTrue(page.contains("<h1>espalier compare n.safetensors</h1>"), page);
    assertFalse(page.contains("<h2>Sparsity"), "nothing was removed");
    assertTrue(page.contains("<th scope=\"row\">dense</th>\n          <td>97.00"), "no dense row");
    assertEquals(2, count(page, "class=\"scale\" aria-pressed=\"true\""), "the loss spans two decades");
  }

  @Test
  void tablesNeedNoScript() {
    String prune = page(SampleReports.prune());
    assertEquals(List.of("Sparsity|89.96 %|239 475 of 266 200 weights removed",
        "Bytes of weights|208 940|as csr; dense 1 064 800",
        "Multiply-adds|26 620|a sample, without zeros; with them 266 200, after shrink 112 000",
        "Predicted time, batch of 1|0.01600 ms|as csr, by what was measured of such layers; dense 0.02800 ms",
        "Predicted time, batch of 32|1.000 ms|dense, by what was measured of such layers; csr is slower, 2.000 ms",
        "Predicted time, batch of 1 024|11.00 ms|dense; csr was not measured at this sparsity",
        "Accuracy|97.79 %|−0.20 points; before pruning 97.99 %", "Loss|0.07420|cross-entropy; before pruning 0.06710",
        "Output change|2.714|mean squared, all outputs summed", "Time|40.5 s|longest: moments, 24.9 s"),
        rows(prune, "<div class=\"card\">(.*?)</div>"));
    assertEquals(List.of("Layer|Shape|Activation|Kept|Removed|Sparsity|Predicted change|Measured change",
        "0.weight|300 × 784|relu|17 206|217 994|92.68 %|0.7100|0.9400",
        "2.weight|100 × 300|relu|8 527|21 473|71.58 %|0.6200|0.8300",
        "4.weight|10 × 100|identity|992|8|0.80 %|0.01300|0.01270"), rows(prune, "<tr>(.*?)</tr>").subList(0, 4));
    assertEquals(List.of("0.weight|threshold 7.050 × 10⁻⁴ · 31 204 zeros not shown",
        "2.weight|threshold 7.050 × 10⁻⁴ · 5 zeros not shown", "4.weight|threshold 7.050 × 10⁻⁴ · 3 zeros not shown"),
        rows(prune, "<figcaption>(.*?)</figcaption>"));
    assertEquals(List.of("load|412 ms|1.0 %", "forward|3.87 s|9.6 %", "backward|11.2 s|27.7 %", "moments|24.9 s|61.5 %",
        "select|93 ms|0.2 %", "write|8.1 ms|< 0.1 %"), rows(prune, "<li>(<i.*?)</li>"));
    assertTrue(rows(prune, "<div>(<dt>.*?)</div>")
        .containsAll(List.of("sparsity|0.9", "exclude|none", "activations|relu, relu, identity", "force|true")));

    assertEquals(List.of("Layer|Importance|Compensation|Removed otherwise",
        "0.weight|1.400 × 10⁻⁶|3.100 × 10⁻⁷|2 of 218 000", "4.weight|0|–|0 of 8"),
        rows(prune.substring(prune.indexOf("id=\"deviations\"")), "<tr>(.*?)</tr>"));

    String compare = page(SampleReports.compare());
    assertEquals(
        List.of("removed|50 %|60 %|70 %|80 %|90 %|95 %|98 %",
            "ec|97.91 %|97.87 %|97.68 %|96.90 %|93.40 %|84.90 %|61.00 %",
            "wanda|97.89 %|97.83 %|97.60 %|97.20 %|92.40 %|77.20 %|43.00 %"),
        rows(compare, "<tr>(.*?)</tr>").subList(0, 3));
    List<String> best = rows(compare, "<td class=\"best\">(.*?)</td>");
    assertEquals(21, best.size(), "one at each of seven sparsities by each of three metrics");
    assertTrue(best.containsAll(List.of("97.91 %", "97.20 %", "0.09000", "6.029")), best::toString);
  }

  @Test
  void chartsGetTheirFiguresAsText() {
    JsonNode layers = json(page(SampleReports.prune()), "labels").get("layers");
    JsonNode layer = layers.get(0);
    assertEquals(3, layers.size());
    assertEquals("217 994|17 206|92.68 %", spaced(String.join("|", layer.get("removed").stringValue(),
        layer.get("kept").stringValue(), layer.get("sparsity").stringValue())));
    assertEquals(61, layer.get("edges").size());
    assertEquals("6.310 × 10⁻⁹", spaced(layer.get("edges").get(0).stringValue()));
    assertEquals("0.01259", spaced(layer.get("edges").get(60).stringValue()));
    assertEquals(
        SampleReports.prune().layers().getFirst().importance().orElseThrow().counts().stream()
            .map(count -> String.format(Locale.ROOT, "%,d", count)).toList(),
        layer.get("counts").valueStream().map(text -> text.stringValue().replace('\u202f', ',')).toList());

    String compare = page(SampleReports.compare());
    JsonNode curves = json(compare, "labels").get("comparison");
    assertEquals(5, curves.size());
    for (JsonNode curve : curves) {
      assertEquals(7, curve.size());
      for (JsonNode point : curve) {
        assertTrue(compare.contains("<th scope=\"col\">" + point.get("sparsity").stringValue() + "</th>"));
        for (String metric : List.of("accuracy", "loss", "outputChange")) {
          assertTrue(compare.contains(">" + point.get(metric).stringValue() + "</td>"), point::toString);
        }
      }
    }

    Report few = ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 1))).comparison(List.of(
        new Curve("ec", List.of(new Point(0.5, OptionalDouble.of(1), OptionalDouble.empty(), OptionalDouble.empty())))))
        .build();
    assertEquals(JSON.readTree("""
        {"layers": [{"removed": "1", "kept": "5", "sparsity": "16.67\u202f%", "predicted": "–", "measured": "–",
          "edges": [], "counts": []}],
         "comparison": [[{"sparsity": "50\u202f%", "loss": "1.000"}]],
         "bands": [[{}]]}"""), json(page(few), "labels"));
  }

  @Test
  void pageRefersToNothingOutside() {
    for (Report report : List.of(SampleReports.prune(), SampleReports.compare())) {
      String page = page(report);
      String own = page.replaceAll("(?s)<script>.*?</script>", "");
      assertEquals(List.of("href=\"data:,\""),
          Pattern.compile("(?i)\\b(src|srcset|href|action)\\s*=\\s*[\"'][^\"']*[\"']").matcher(own).results()
              .map(match -> match.group()).toList());
      assertFalse(Pattern.compile("(?i)@import|url\\(|https?://|sourceMappingURL").matcher(own).find());
      assertFalse(Pattern.compile("(?i)(src|href)\\s*=\\s*[\"']?https?:|url\\(\\s*[\"']?https?:|import\\s*\\(")
          .matcher(page).find());
      assertTrue(page.contains("default-src 'none'"));
      assertTrue(page.contains("registerTheme"), "echarts is in the page");
    }
  }

  @Test
  void sectionsAppearOnlyWithData() {
    assertEquals(Set.of(), sections(ReportTest.empty().build()));
    assertEquals(
        Set.of("graph", "layers", "sparsity", "agreement", "importance", "deviations", "timings", "notes", "options"),
        sections(SampleReports.prune()));
    assertEquals(Set.of("comparison", "timings", "options"), sections(SampleReports.compare()));
    assertEquals(Set.of("layers", "sparsity"),
        sections(ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 1))).build()));
    assertFalse(page(ReportTest.empty().build()).contains("class=\"cards\""));
    assertTrue(page(SampleReports.prune()).contains("97.79\u202f%"));

    String lossOnly = page(
        ReportTest.empty()
            .comparison(List.of(new Curve("ec",
                List.of(new Point(0.5, OptionalDouble.of(1), OptionalDouble.empty(), OptionalDouble.empty())))))
            .build());
    assertTrue(lossOnly.contains("data-metric=\"loss\""));
    assertFalse(lossOnly.contains("data-metric=\"accuracy\""));
    assertFalse(lossOnly.contains("data-metric=\"outputChange\""));
  }

  @Test
  void existingFilesAreKept() throws IOException {
    Path html = Files.writeString(folder.resolve("report.html"), "mine");
    assertThrows(IOException.class, () -> ReportWriter.write(SampleReports.prune(), folder, false));
    assertEquals("mine", Files.readString(html));
    assertEquals(Set.of("report.html"), names());

    ReportWriter.write(SampleReports.prune(), folder, true);
    assertTrue(Files.readString(html).startsWith("<!doctype html>"));
    assertEquals(Set.of("report.html", "report.json"), names());
  }

  @Test
  void failedWriteLeavesNothing() throws IOException {
    Files.createDirectories(folder.resolve("report.html/occupied"));
    assertThrows(IOException.class, () -> ReportWriter.write(SampleReports.prune(), folder, true));
    assertEquals(Set.of("report.html"), names());

    Path file = Files.writeString(folder.resolve("file"), "mine");
    assertThrows(IOException.class, () -> ReportWriter.write(SampleReports.prune(), file, true));
    assertEquals("mine", Files.readString(file));
    assertEquals(Set.of("report.html", "file"), names());
  }

  private Set<String> names() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  private static String page(Report report) {
    return HtmlPage.render(report, ReportWriter.json(report), ReportWriter.labels(report));
  }

  private static JsonNode json(String page, String id) {
    String start = "<script type=\"application/json\" id=\"" + id + "\">";
    int from = page.indexOf(start) + start.length();
    return JSON.readTree(page.substring(from, page.indexOf("</script>", from)));
  }

  private static String withoutJson(String page) {
    return page.replaceAll("(?s)(<script type=\"application/json\" id=\"\\w+\">).*?</script>", "$1</script>");
  }

  /// The text of each match of a pattern, with a bar between the texts of its elements.
  private static List<String> rows(String page, String pattern) {
    return Pattern.compile(pattern, Pattern.DOTALL).matcher(page.substring(0, page.indexOf("<script"))).results()
        .map(match -> spaced(match.group(1).replaceAll("<[^>]*>", "|").replaceAll("\\s*\\|[|\\s]*", "|")
            .replaceAll("^\\||\\|$", "").replace("&lt;", "<")))
        .toList();
  }

  private static String spaced(String text) {
    return text.replace('\u202f', ' ');
  }

  private static Set<String> sections(Report report) {
    return Pattern.compile("<section id=\"(\\w+)\">").matcher(page(report)).results().map(match -> match.group(1))
        .collect(Collectors.toSet());
  }

  private static long count(String text, String part) {
    return Pattern.compile(Pattern.quote(part)).matcher(text).results().count();
  }
}
