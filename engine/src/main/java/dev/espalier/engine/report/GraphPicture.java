package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.Formatter;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// A graph as SVG, from the input at the top down to the output: nodes stand in rows by their longest path from the input,
/// and an edge that passes rows has a place of its own in each [Sugiyama et al. 1981]. A layer and the activation that
/// alone reads it are one box. The style sheet of the page has the colours.
final class GraphPicture {
  /// Larger graphs are not drawn: no one would follow their edges.
  private static final int MOST_PLACES = 3000;

  private static final int ROW = 74;
  private static final int BOX_HEIGHT = 44;
  private static final int GAP = 14;
  private static final int PADDING = 16;
  private static final int MARGIN = 8;
  private static final int LEAST_WIDTH = 64;
  private static final int MOST_CHARACTERS = 22;
  /// Of bold text of 13 pixels, and of text of 12, about.
  private static final double TITLE_CHARACTER = 7.8;
  private static final double CHARACTER = 6.9;
  private static final int SWEEPS = 12;

  private final List<Box> boxes = new ArrayList<>();
  private final List<List<Place>> rows = new ArrayList<>();

  /// @param title in full
  /// @param reads boxes, by number
  /// @param node  number of the node; of a layer and its activation, that of the layer
  private record Box(String title, String detail, boolean layer, List<Integer> reads, int node) {
    double width() {
      return Math.max(LEAST_WIDTH,
          PADDING + Math.max(TITLE_CHARACTER * shown(title).length(), CHARACTER * shown(detail).length()));
    }
  }

  /// A place in a row.
  private static final class Place {
    /// Null: an edge passes here.
    private final Box box;
    private final List<Place> above = new ArrayList<>();
    private final List<Place> below = new ArrayList<>();
    private double x;

    Place(Box box) {
      this.box = box;
    }

    double width() {
      return box == null ? 0 : box.width();
    }
  }

  private GraphPicture() {}

  /// The picture; empty if it would be too large to follow.
  static Optional<String> of(GraphReport graph) {
    GraphPicture picture = new GraphPicture();
    picture.fuse(graph);
    if (!picture.rank()) {
      return Optional.empty();
    }
    picture.order();
    picture.align();
    return Optional.of(picture.toSvg());
  }

  /// Makes boxes of nodes.
  private void fuse(GraphReport graph) {
    List<GraphReport.Step> nodes = graph.nodes();
    Map<Integer, List<Integer>> readers = new HashMap<>();
    for (int n = 0; n < nodes.size(); n++) {
      for (int read : nodes.get(n).reads()) {
        readers.computeIfAbsent(read, _ -> new ArrayList<>()).add(n);
      }
    }
    Map<Integer, Integer> boxOf = new HashMap<>();
    for (int n = 0; n < nodes.size(); n++) {
      GraphReport.Step node = nodes.get(n);
      List<Integer> after = readers.getOrDefault(n, List.of());
      boolean isFused = node.layer() && after.size() == 1 && nodes.get(after.getFirst()).activation();
      if (node.activation() && nodes.get(node.reads().getFirst()).layer()
          && readers.get(node.reads().getFirst()).size() == 1) {
        boxOf.put(n, boxOf.get(node.reads().getFirst()));
        continue;
      }
      String detail = node.layer()
          ? "%s → %s%s".formatted(TYPOGRAPHIC.count(nodes.get(node.reads().getFirst()).width()),
              TYPOGRAPHIC.count(node.width()), isFused ? ", " + nodes.get(after.getFirst()).computes() : "")
          : TYPOGRAPHIC.count(node.width());
      boxOf.put(n, boxes.size());
      boxes.add(new Box(node.label(), detail, node.layer(), node.reads().stream().map(boxOf::get).toList(), n));
    }
  }

  /// Puts the boxes into rows, and edges into the rows that they pass.
  ///
  /// @return whether there are few enough places
  private boolean rank() {
    int[] rank = new int[boxes.size()];
    for (int b = 0; b < boxes.size(); b++) {
      rank[b] = boxes.get(b).reads.stream().mapToInt(read -> rank[read] + 1).max().orElse(0);
    }
    List<Place> places = boxes.stream().map(Place::new).toList();
    int count = boxes.size();
    for (int b = 0; b < boxes.size(); b++) {
      row(rank[b]).add(places.get(b));
      for (int read : boxes.get(b).reads) {
        Place before = places.get(read);
        for (int passed = rank[read] + 1; passed < rank[b]; passed++) {
          Place edge = new Place(null);
          join(before, edge);
          row(passed).add(edge);
          before = edge;
          count++;
        }
        join(before, places.get(b));
        if (count > MOST_PLACES) {
          return false;
        }
      }
    }
    return true;
  }

  private List<Place> row(int number) {
    while (rows.size() <= number) {
      rows.add(new ArrayList<>());
    }
    return rows.get(number);
  }

  private static void join(Place above, Place below) {
    above.below.add(below);
    below.above.add(above);
  }

  /// Orders each row by the mean place of its neighbours, so that fewer edges cross.
  private void order() {
    number();
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
      boolean isDown = sweep % 2 == 0;
      for (List<Place> row : isDown ? rows : rows.reversed()) {
        row.sort(Comparator.comparingDouble(place -> mean(isDown ? place.above : place.below).orElse(place.x)));
        number(row);
      }
    }
  }

  private void number() {
    rows.forEach(GraphPicture::number);
  }

  private static void number(List<Place> row) {
    for (int i = 0; i < row.size(); i++) {
      row.get(i).x = i;
    }
  }

  private static OptionalDouble mean(List<Place> places) {
    return places.stream().mapToDouble(place -> place.x).average();
  }

  /// Moves each place towards the mean of its neighbours, as far as the order allows.
  private void align() {
    for (List<Place> row : rows) {
      spread(row, _ -> 0.0);
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
      boolean isDown = sweep % 2 == 0;
      for (List<Place> row : isDown ? rows : rows.reversed()) {
        spread(row, place -> mean(isDown ? place.above : place.below).orElse(place.x));
      }
    }
    double left = places().mapToDouble(place -> place.x - place.width() / 2).min().orElse(0);
    places().forEach(place -> place.x += MARGIN - left);
    places().forEach(place -> place.above.sort(Comparator.comparingDouble(each -> each.x))); // so that edges end uncrossed
  }

  private Stream<Place> places() {
    return rows.stream().flatMap(List::stream);
  }

  private static void spread(List<Place> row, Function<Place, Double> wish) {
    List<Double> wishes = row.stream().map(wish).toList();
    double end = Double.NEGATIVE_INFINITY;
    double shift = 0;
    for (int i = 0; i < row.size(); i++) {
      Place place = row.get(i);
      place.x = Math.max(wishes.get(i), end + place.width() / 2);
      end = place.x + place.width() / 2 + GAP;
      shift += (wishes.get(i) - place.x) / row.size();
    }
    for (Place place : row) {
      place.x += shift;
    }
  }

  // ---- SVG ----

  private String toSvg() {
    double width = places().mapToDouble(place -> place.x + place.width() / 2).max().orElse(0) + MARGIN;
    int height = (rows.size() - 1) * ROW + BOX_HEIGHT + 2 * MARGIN;
    Formatter svg = new Formatter(Locale.ROOT);
    svg.format(
        "<svg class=\"graph\" width=\"%.0f\" height=\"%d\" viewBox=\"0 0 %.0f %d\" role=\"img\" aria-label=\"%s\">\n",
        width, height, width, height, escaped(described()));
    for (int r = 0; r < rows.size(); r++) {
      for (Place place : rows.get(r)) {
        for (int i = 0; place.box != null && i < place.above.size(); i++) {
          edge(svg, place, r, i);
        }
      }
    }
    for (int r = 0; r < rows.size(); r++) {
      for (Place place : rows.get(r)) {
        if (place.box != null) {
          box(svg, place, r);
        }
      }
    }
    return svg.format("</svg>\n").toString();
  }

  private String described() {
    return "Graph of the network: " + boxes.stream()
        .map(box -> box.reads.isEmpty()
            ? box.title
            : "%s reads %s".formatted(box.title,
                box.reads.stream().map(read -> boxes.get(read).title).collect(Collectors.joining(" and "))))
        .collect(Collectors.joining("; "));
  }

  /// The edge that ends at `place` as its `i`-th, from the box where it begins.
  private static void edge(Formatter svg, Place place, int row, int i) {
    List<Place> passed = new ArrayList<>(List.of(place.above.get(i)));
    while (passed.getFirst().box == null) {
      passed.addFirst(passed.getFirst().above.getFirst());
    }
    int at = row - passed.size();
    double x = passed.getFirst().x;
    svg.format("<path class=\"edge\" d=\"M%.1f %d", x, bottom(at));
    for (Place edge : passed.subList(1, passed.size())) {
      curve(svg, x, bottom(at), edge.x, top(at + 1));
      at++;
      svg.format("V%d", bottom(at));
      x = edge.x;
    }
    // Several edges end side by side.
    double apart = Math.min(GAP, place.width() / (1 + place.above.size()));
    double end = place.x + (i - (place.above.size() - 1) / 2.0) * apart;
    curve(svg, x, bottom(at), end, top(row));
    svg.format("\"/><path class=\"head\" d=\"M%.1f %dl-4-7h8z\"/>\n", end, top(row));
  }

  private static void curve(Formatter svg, double x, int y, double toX, int toY) {
    int middle = (y + toY) / 2;
    svg.format("C%.1f %d %.1f %d %.1f %d", x, middle, toX, middle, toX, toY);
  }

  private static int bottom(int row) {
    return top(row) + BOX_HEIGHT;
  }

  private static int top(int row) {
    return MARGIN + row * ROW;
  }

  private static void box(Formatter svg, Place place, int row) {
    Box box = place.box;
    svg.format("<g class=\"%s\"><title>%s (node %d): %s</title>", box.layer ? "layer" : "node", escaped(box.title),
        box.node, escaped(box.detail));
    svg.format("<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"6\"/>", place.x - box.width() / 2, top(row),
        box.width(), BOX_HEIGHT);
    svg.format("<text class=\"title\" x=\"%.1f\" y=\"%d\">%s</text>", place.x, top(row) + 19,
        escaped(shown(box.title)));
    svg.format("<text class=\"detail\" x=\"%.1f\" y=\"%d\">%s</text></g>\n", place.x, top(row) + 35,
        escaped(shown(box.detail)));
  }

  /// Of a long name the end, which tells names apart.
  private static String shown(String text) {
    return text.length() <= MOST_CHARACTERS ? text : "…" + text.substring(text.length() - MOST_CHARACTERS + 1);
  }

  private static String escaped(String text) {
    return IntStream.range(0, text.length()).mapToObj(i -> switch (text.charAt(i)) {
      case '<' -> "&lt;";
      case '>' -> "&gt;";
      case '&' -> "&amp;";
      case '"' -> "&quot;";
      default -> String.valueOf(text.charAt(i));
    }).collect(Collectors.joining());
  }
}
