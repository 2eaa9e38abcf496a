package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.List;
import java.util.stream.IntStream;

/// The structure of a network, in words.
///
/// @param nodes in an order in which they can be computed, the input first
public record GraphReport(List<Step> nodes) {
  /// A node.
  ///
  /// @param computes   what it computes
  /// @param layer      whether it is a layer, whose name `computes` ends with
  /// @param activation whether it is an activation
  /// @param reads      the numbers of the nodes whose values it reads
  /// @param width      of its value
  public record Step(String computes, boolean layer, boolean activation, List<Integer> reads, int width) {
    /// @throws IllegalArgumentException if the text is blank
    public Step {
      Checks.text("computes", computes);
      reads = List.copyOf(reads);
    }

    /// As a picture shows it: of a layer, its name alone.
    String label() {
      return layer ? computes.substring(LAYER.length()) : computes;
    }
  }

  private static final String LAYER = "layer ";

  /// @throws IllegalArgumentException if a node reads one that does not come before it
  public GraphReport {
    nodes = List.copyOf(nodes);
    for (int n = 0; n < nodes.size(); n++) {
      int number = n;
      if (nodes.get(n).reads.stream().anyMatch(read -> read < 0 || read >= number)) {
        throw new IllegalArgumentException("node %d reads %s".formatted(n, nodes.get(n).reads));
      }
    }
  }

  /// The nodes of a graph.
  public static GraphReport of(Graph graph) {
    return new GraphReport(IntStream.range(0, graph.nodes().size()).mapToObj(n -> {
      Node node = graph.nodes().get(n);
      boolean hasHeads = n == graph.output() && !graph.heads().isEmpty();
      String text = hasHeads ? "outputs " + graph.headsText() : text(node);
      return new Step(text, node instanceof Node.Dense, node instanceof Node.Activate, node.inputs(), node.width());
    }).toList());
  }

  private static String text(Node node) {
    return switch (node) {
      case Node.Input _ -> "input";
      case Node.Dense dense -> LAYER + dense.name() + (dense.isRepeated() ? " again" : "");
      case Node.Activate activate -> activate.activation().toString();
      case Node.Add _ -> "add";
      case Node.Multiply _ -> "multiply";
      case Node.Scale _ -> "scale and shift";
      case Node.Normalize normalize -> normalize.centred() ? "layer normalisation" : "RMS normalisation";
      case Node.Slice slice -> "features from %s on".formatted(PLAIN.count(slice.first()));
      case Node.Sum _ -> "sum of features";
      case Node.Concat _ -> "concat";
    };
  }
}
