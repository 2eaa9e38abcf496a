package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

@Isolated("sets the default locale")
final class GraphPictureTest {
  private static Document parsed(String svg) throws Exception {
    return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(svg)));
  }

  private static List<String> texts(Document svg, String cssClass) {
    NodeList texts = svg.getElementsByTagName("text");
    return IntStream.range(0, texts.getLength()).mapToObj(i -> (Element) texts.item(i))
        .filter(text -> text.getAttribute("class").equals(cssClass)).map(Element::getTextContent).toList();
  }

  @Test
  void aResidualNetwork() throws Exception {
    Graph.Builder builder = new Graph.Builder(4);
    int stem = builder.activate(builder.dense("stem", 0, 6), Activation.RELU);
    int second = builder.dense("second<&\"", stem, 6);
    int sum = builder.add(second, stem);
    builder.dense("a.very.long.name.of.a.layer.that.is.last", sum, 1000);
    GraphReport graph = GraphReport.of(builder.build());
    Document svg = parsed(GraphPicture.of(graph).orElseThrow());
    assertEquals(List.of("input", "stem", "second<&\"", "add", "….a.layer.that.is.last"), texts(svg, "title"));
    assertEquals(List.of("4", "4 → 6, relu", "6 → 6", "6", "6 → 1\u202f000"), texts(svg, "detail"));
    assertEquals(
        "Graph of the network: input; stem reads input; second<&\" reads stem; add reads second<&\" and stem; "
            + "a.very.long.name.of.a.layer.that.is.last reads add",
        svg.getDocumentElement().getAttribute("aria-label"));
  }

  @Test
  void outputsSideBySideAndASoftmaxWithin() throws Exception {
    Graph.Builder builder = new Graph.Builder(4);
    int gate = builder.activate(builder.dense("gate", 0, 6), Activation.SOFTMAX);
    int product = builder.multiply(gate, builder.dense("values", 0, 6));
    int classes = builder.activate(builder.dense("classes", product, 3), Activation.LOG_SOFTMAX);
    int again = builder.activate(gate, Activation.LOG_SOFTMAX);
    builder.concat(classes, again);
    GraphReport graph = GraphReport.of(builder.build(List.of(new Graph.Head("y", 3), new Graph.Head("h", 6))));
    Document svg = parsed(GraphPicture.of(graph).orElseThrow());
    assertEquals(
        "Graph of the network: input; gate reads input; values reads input; multiply reads gate and values; "
            + "classes reads multiply; log_softmax reads gate; outputs y (3), h (6) reads classes and log_softmax",
        svg.getDocumentElement().getAttribute("aria-label"));
    List<String> details = texts(svg, "detail");
    assertTrue(details.containsAll(List.of("4 → 6, softmax", "6 → 3, log_softmax")), details.toString());
    assertTrue(texts(svg, "title").contains("outputs y (3), h (6)"));
  }

  static LongStream seeds() {
    return LongStream.range(0, 40);
  }

  /// All nodes but activations of a layer are boxes, none of which lies on another or beyond the picture, below all that
  /// they read; and each edge begins and ends at its boxes.
  @ParameterizedTest
  @MethodSource("seeds")
  void randomGraphsHaveTheirBoxesAndEdges(long seed) throws Exception {
    Graph graph = TestNetworks.graph(seed, 14);
    Document svg = parsed(GraphPicture.of(GraphReport.of(graph)).orElseThrow());
    double width = Double.parseDouble(svg.getDocumentElement().getAttribute("width"));
    double height = Double.parseDouble(svg.getDocumentElement().getAttribute("height"));
    List<double[]> boxes = new ArrayList<>();
    NodeList rects = svg.getElementsByTagName("rect");
    for (int i = 0; i < rects.getLength(); i++) {
      double[] box = sides((Element) rects.item(i));
      assertTrue(box[0] >= 0 && box[1] >= 0 && box[0] + box[2] <= width + 1 && box[1] + box[3] <= height, "inside");
      for (double[] other : boxes) {
        assertFalse(box[0] < other[0] + other[2] && other[0] < box[0] + box[2] && box[1] < other[1] + other[3]
            && other[1] < box[1] + box[3], "boxes overlap");
      }
      boxes.add(box);
    }
    long fused = graph.nodes().stream()
        .filter(node -> node instanceof Node.Activate activate
            && graph.nodes().get(activate.inputs().getFirst()) instanceof Node.Dense
            && graph.readers(activate.inputs().getFirst()).size() == 1)
        .count();
    assertEquals(graph.nodes().size() - fused, boxes.size());
    long edges = graph.nodes().stream().mapToLong(node -> node.inputs().size()).sum() - fused;
    List<String> paths = edges(svg);
    assertEquals(edges, paths.size());
    for (String path : paths) {
      String[] numbers = path.replaceAll("[MCV]", " ").strip().split(" +", -1);
      assertTrue(touches(boxes, numbers[0], numbers[1], true), path);
      assertTrue(touches(boxes, numbers[numbers.length - 2], numbers[numbers.length - 1], false), path);
    }
  }

  private static List<String> edges(Document svg) {
    NodeList paths = svg.getElementsByTagName("path");
    return IntStream.range(0, paths.getLength()).mapToObj(i -> (Element) paths.item(i))
        .filter(path -> path.getAttribute("class").equals("edge")).map(path -> path.getAttribute("d")).toList();
  }

  private static boolean touches(List<double[]> boxes, String x, String y, boolean below) {
    return boxes.stream().anyMatch(box -> Double.parseDouble(x) >= box[0] && Double.parseDouble(x) <= box[0] + box[2]
        && Double.parseDouble(y) == box[1] + (below ? box[3] : 0));
  }

  private static double[] sides(Element rect) {
    return Stream.of("x", "y", "width", "height").mapToDouble(name -> Double.parseDouble(rect.getAttribute(name)))
        .toArray();
  }

  @Test
  void aLongChainIsNarrowAndAGraphOfCountlessEdgesIsNotDrawn() throws Exception {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.of("ar", "EG"));
    try {
      Graph.Builder builder = new Graph.Builder(16);
      int value = 0;
      for (int l = 0; l < 300; l++) {
        value = builder.activate(builder.dense("net." + l, value, 16), Activation.TANH);
      }
      Document svg = parsed(GraphPicture.of(GraphReport.of(builder.build())).orElseThrow());
      assertTrue(Double.parseDouble(svg.getDocumentElement().getAttribute("width")) < 200);
      assertEquals(300, edges(svg).size());
      for (int l = 0; l < 300; l++) {
        value = builder.add(builder.dense("skip." + l, value, 16), 0);
      }
      assertEquals(Optional.empty(), GraphPicture.of(GraphReport.of(builder.build())));
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void readsOfLaterNodesAreRefused() {
    assertThrows(IllegalArgumentException.class,
        () -> new GraphReport(List.of(new GraphReport.Step("input", false, false, List.of(0), 3))));
  }
}
