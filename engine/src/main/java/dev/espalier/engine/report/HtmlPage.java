package dev.espalier.engine.report;

import com.samskivert.mustache.DefaultCollector;
import com.samskivert.mustache.Mustache;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/// Renders `report.html`: fills the Mustache template of that name from a [ReportView]. Mustache escapes what it fills
/// in, except for the style sheet, the scripts and the JSON, which the template asks for as they are.
final class HtmlPage {
  private HtmlPage() {}

  /// @param data the report as JSON, from which `report.js` draws the charts
  /// @param labels the figures of the charts as JSON, from [ChartLabels]
  static String render(Report report, String data, String labels) {
    Map<String, String> parts = Map.of("css", resource("report.css"), "echarts", resource("echarts.common.min.js"),
        "script", resource("report.js"), "data", inScript(data), "labels", inScript(labels));
    StringWriter page = new StringWriter();
    Mustache.compiler().strictSections(true).withCollector(new Optionals()).compile(resource("report.html"))
        .execute(ReportView.of(report), parts, page);
    return page.toString();
  }

  /// Lets a section of the template be an [Optional]: shown with its value, or not at all.
  private static final class Optionals extends DefaultCollector {
    @Override
    public Iterator<?> toIterator(Object value) {
      return value instanceof Optional<?> optional ? optional.stream().iterator() : super.toIterator(value);
    }
  }

  /// JSON in which no text ends the script element around it.
  private static String inScript(String json) {
    return json.replace("<", "\\u003c");
  }

  private static String resource(String name) {
    try (InputStream resource = HtmlPage.class.getResourceAsStream(name)) {
      return new String(Objects.requireNonNull(resource, name).readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(name, e);
    }
  }
}
