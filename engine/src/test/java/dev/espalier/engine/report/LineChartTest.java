package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.report.LineChart.Axis;
import dev.espalier.engine.report.LineChart.Line;
import dev.espalier.engine.report.LineChart.Mark;
import dev.espalier.engine.report.LineChart.Scale;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

@Isolated("sets the default locale")
class LineChartTest {
  private static final Axis REMOVED = new Axis("weights removed", Scale.REST, true);
  private static final Axis LOSS = new Axis("loss", Scale.LOGARITHMIC, false);

  private static Document draw(LineChart chart) throws Exception {
    return DocumentBuilderFactory.newInstance().newDocumentBuilder()
        .parse(new ByteArrayInputStream(chart.toSvg().getBytes(StandardCharsets.UTF_8)));
  }

  private static List<String> texts(Document svg) {
    NodeList texts = svg.getElementsByTagName("text");
    return IntStream.range(0, texts.getLength()).mapToObj(i -> texts.item(i).getTextContent()).toList();
  }

  /// What is left falls from 1 over 0.1 to 0.01, the loss rises from 0.1 over 1 to 10: all lie on a diagonal.
  @Test
  void equalRatiosAreEqualSteps() throws Exception {
    Document svg = draw(new LineChart("a < b & c", REMOVED, LOSS,
        List.of(new Line("ec", List.of(new Mark(0, 0.1, 0), new Mark(0.9, 1, 0.5), new Mark(0.99, 10, 0))))));
    List<String> texts = texts(svg);
    for (String text : List.of("a < b & c", "weights removed", "loss", "ec", "0.1", "1", "10", "90\u202f%",
        "99\u202f%")) {
      assertTrue(texts.contains(text), text + " in " + texts);
    }
    NodeList circles = svg.getElementsByTagName("circle");
    double[][] at = IntStream
        .range(0, 3).mapToObj(i -> (Element) circles.item(i)).map(circle -> new double[]{
            Double.parseDouble(circle.getAttribute("cx")), Double.parseDouble(circle.getAttribute("cy"))})
        .toArray(double[][]::new);
    assertEquals((at[0][0] + at[2][0]) / 2, at[1][0], 0.1);
    assertEquals((at[0][1] + at[2][1]) / 2, at[1][1], 0.1);
    assertTrue(at[0][1] > at[2][1], "y grows upwards");
    assertTrue(new LineChart("", REMOVED, LOSS, List.of(new Line("ec", List.of(new Mark(0, 1, 2))))).toSvg()
        .contains("class=\"band"));
  }

  /// Below the axis of a logarithm, as 0 is, a band ends at its low end; above it is not cut off.
  @Test
  void bandsStayInThePlot() throws Exception {
    double[] heights = bandOf(LOSS, new Mark(0, 0.1, 0.5), new Mark(0.9, 1, 20));
    assertEquals(heights[2], heights[3], "at the low end");
    assertTrue(heights[2] > heights[0] && heights[0] > heights[1], () -> Arrays.toString(heights));
    double high = bandOf(LOSS, new Mark(0, 0.1, 0.5), new Mark(0.9, 21, 0))[1];
    assertEquals(high, heights[1], "at 1 + 20");

    assertEquals(new Band(0.75, 1), Band.of(0.875, 0.125, true));
    assertEquals(new Band(0, 1), Band.of(0.5, 0.75, true));
    assertEquals(new Band(-1, 3), Band.of(1, 2, false));
  }

  /// The heights of its corners from the top: the upper edge, and the lower one back.
  private static double[] bandOf(Axis y, Mark... marks) throws Exception {
    NodeList paths = draw(new LineChart("", REMOVED, y, List.of(new Line("a", List.of(marks)))))
        .getElementsByTagName("path");
    String corners = IntStream.range(0, paths.getLength()).mapToObj(i -> (Element) paths.item(i))
        .filter(path -> path.getAttribute("class").startsWith("band")).findFirst().orElseThrow().getAttribute("d");
    return Stream.of(corners.replaceAll("[MZ]", "").split("L", -1))
        .mapToDouble(corner -> Double.parseDouble(corner.split(" ", -1)[1])).toArray();
  }

  @Test
  void linearTicksAreRound() throws Exception {
    Axis accuracy = new Axis("accuracy", Scale.LINEAR, true);
    List<String> texts = texts(draw(new LineChart("", new Axis("x", Scale.LINEAR, false), accuracy,
        List.of(new Line("a", List.of(new Mark(-3, 0.101, 0), new Mark(11, 0.978, 0)))))));
    assertTrue(texts.containsAll(List.of("0\u202f%", "20\u202f%", "100\u202f%", "-4", "0", "12")), texts.toString());
  }

  @Test
  void theLocaleHasNoInfluence() {
    LineChart chart = new LineChart("", REMOVED, LOSS, List.of(new Line("a", List.of(new Mark(0.5, 1e-7, 0)))));
    Locale before = Locale.getDefault();
    String text = chart.toSvg();
    Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
    try {
      assertEquals(text, chart.toSvg());
    } finally {
      Locale.setDefault(before);
    }
    assertFalse(text.contains("NaN") || text.contains("Infinity"), text);
  }

  @Test
  void refusals() {
    Line line = new Line("a", List.of(new Mark(1, 1, 0)));
    assertThrows(IllegalArgumentException.class, () -> new LineChart("", REMOVED, LOSS, List.of(line)));
    assertThrows(IllegalArgumentException.class, () -> new Line("a", List.of()));
    assertThrows(IllegalArgumentException.class, () -> new LineChart("", LOSS, LOSS, List.of()));
    assertThrows(IllegalArgumentException.class, () -> new LineChart("", LOSS, LOSS, Collections.nCopies(19, line)));
    assertThrows(IllegalArgumentException.class,
        () -> new LineChart("", LOSS, LOSS, List.of(new Line("a", List.of(new Mark(1, 0, 0))))));
  }
}
