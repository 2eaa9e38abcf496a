package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ReportWriterTest {
  private static final JsonMapper JSON = new JsonMapper();
  private static final String HOSTILE = "</script><b onload='x' data-y=\"z\">&{{data}}$1\\u003c\u2028";

  @TempDir
  private Path folder;

  @Test
  void jsonHasStableKeysAndValues() throws IOException {
    ReportWriter.write(SampleReports.prune(), folder.resolve("new/report"), false);
    JsonNode json = JSON.readTree(Files.readString(folder.resolve("new/report/report.json")));

    assertEquals(
        List.of("command", "version", "time", "summary", "accuracy", "loss", "lossName", "denseAccuracy", "denseLoss",
            "outputChange", "model", "layers", "comparison", "timings", "notes", "options"),
        List.copyOf(json.propertyNames()));
    assertEquals("prune", json.get("command").stringValue());
    assertEquals("2026-11-23T06:12:31Z", json.get("time").stringValue());
    assertEquals(0.9779, json.get("accuracy").doubleValue());
    assertEquals(0.0742, json.get("loss").doubleValue());
    assertEquals(Set.of("weights", "removed", "sparsity"), Set.copyOf(json.get("model").propertyNames()));
    assertEquals(List.of("load", "forward", "backward", "moments", "select", "write"),
        List.copyOf(json.get("timings").propertyNames()));
    assertEquals(24.918, json.get("timings").get("moments").doubleValue());
    assertEquals(0.9, json.get("options").get("sparsity").doubleValue());
    assertTrue(json.get("options").get("force").booleanValue());
    assertEquals("relu", json.get("options").get("activations").get(0).stringValue());

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
    Report report = ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 1)))
        .comparison(
            List.of(new Curve("ec", List.of(new Point(0.5, 1, OptionalDouble.empty(), OptionalDouble.empty())))))
        .build();
    JsonNode json = JSON.readTree(ReportWriter.json(report));

    assertEquals(Set.of("command", "version", "time", "layers", "comparison", "timings", "notes", "options"),
        Set.copyOf(json.propertyNames()));
    assertEquals(Set.of("name", "outputs", "inputs", "activation", "weights", "removed", "sparsity"),
        Set.copyOf(json.get("layers").get(0).propertyNames()));
    assertEquals(Set.of("sparsity", "loss"),
        Set.copyOf(json.get("comparison").get(0).get("points").get(0).propertyNames()));
  }

  @Test
  void hostileNamesStayText() {
    Report hostile = Report.builder(HOSTILE, HOSTILE, SampleReports.TIME).summary(HOSTILE).loss(HOSTILE, 1).model(6, 1)
        .layers(List.of(LayerReport.of(HOSTILE, 2, 3, HOSTILE, 1)))
        .comparison(List.of(new Curve(HOSTILE, List.of(new Point(0.5, 1, OptionalDouble.of(1), OptionalDouble.of(1))))))
        .timings(Map.of(HOSTILE, 1.0)).notes(List.of(HOSTILE)).options(Map.of(HOSTILE, HOSTILE)).build();
    String page = page(hostile);

    assertFalse(page.contains("<b onload"), "markup of a name is in the page");
    assertEquals(3, count(page, "</script"), "the page's own three scripts");
    assertTrue(page.contains("&lt;/script&gt;&lt;b onload=&#39;x&#39; data-y=&quot;z&quot;&gt;&amp;{{data}}$1"));
    assertEquals(HOSTILE, data(page).get("layers").get(0).get("name").stringValue());
    assertEquals(HOSTILE, data(page).get("options").get(HOSTILE).stringValue());
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
    assertEquals(Set.of("layers", "sparsity", "importance", "timings", "notes", "options"),
        sections(SampleReports.prune()));
    assertEquals(Set.of("comparison", "timings", "options"), sections(SampleReports.compare()));
    assertEquals(Set.of("layers", "sparsity"),
        sections(ReportTest.empty().layers(List.of(LayerReport.of("a", 2, 3, "relu", 1))).build()));
    assertFalse(page(ReportTest.empty().build()).contains("class=\"cards\""));
    assertTrue(page(SampleReports.prune()).contains("97.79\u202f%"));

    String lossOnly = page(ReportTest.empty()
        .comparison(
            List.of(new Curve("ec", List.of(new Point(0.5, 1, OptionalDouble.empty(), OptionalDouble.empty())))))
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
    return new HtmlPage(report, ReportWriter.json(report)).render();
  }

  private static JsonNode data(String page) {
    String start = "<script type=\"application/json\" id=\"report\">";
    int from = page.indexOf(start) + start.length();
    return JSON.readTree(page.substring(from, page.indexOf("</script>", from)));
  }

  private static Set<String> sections(Report report) {
    return Pattern.compile("<section id=\"(\\w+)\">").matcher(page(report)).results().map(match -> match.group(1))
        .collect(Collectors.toSet());
  }

  private static long count(String text, String part) {
    return Pattern.compile(Pattern.quote(part)).matcher(text).results().count();
  }
}
