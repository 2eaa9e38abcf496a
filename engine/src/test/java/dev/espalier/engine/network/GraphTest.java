package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.TestNetworks;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class GraphTest {
  /// A residual block: y = softmax(last(relu(first(x)) + second(relu(first(x))))).
  private static Graph residual() {
    Graph.Builder builder = new Graph.Builder(3);
    int hidden = builder.activate(builder.dense("first", 0, 4), Activation.RELU);
    int sum = builder.add(hidden, builder.dense("second", hidden, 4));
    builder.activate(builder.dense("last", sum, 2), Activation.SOFTMAX);
    return builder.build();
  }

  @Test
  void knowsItsLayersAndWhoReadsThem() {
    Graph graph = residual();
    assertEquals(3, graph.inputs());
    assertEquals(2, graph.outputs());
    assertEquals(6, graph.output());
    assertEquals(List.of("first", "second", "last"), graph.layers().stream().map(Node.Dense::name).toList());
    assertArrayEquals(new int[]{1, 3, 5}, graph.layerNodes());
    assertEquals(12 + 16 + 8, graph.weights());
    assertEquals(List.of(3, 4), graph.readers(2));
    assertEquals(List.of(), graph.readers(6));
    assertEquals(Activation.RELU, graph.activation(0));
    assertEquals(Activation.IDENTITY, graph.activation(1));
    assertEquals(Activation.SOFTMAX, graph.activation(2));
    assertEquals(Activation.SOFTMAX, graph.lastActivation());
  }

  @Test
  void aNodeThatReadsAValueTwiceIsItsReaderTwice() {
    Graph.Builder builder = new Graph.Builder(2);
    builder.add(builder.dense("0", 0, 2), 1, 1);
    assertEquals(List.of(2, 2, 2), builder.build().readers(1));
    assertEquals(Activation.IDENTITY, builder.build().lastActivation());
  }

  @Test
  void aChainHasANodeForEachActivationButIdentity() {
    Graph chain = Graph.chain(residual().layers().stream().map(dense -> shape(dense, 3)).toList());
    assertEquals(List.of(new Node.Input(3), new Node.Dense("first", 0, 3, 3), new Node.Activate(1, Activation.TANH, 3),
        new Node.Dense("second", 2, 3, 3), new Node.Activate(3, Activation.TANH, 3), new Node.Dense("last", 4, 3, 3)),
        chain.nodes());
    assertEquals(List.of(Activation.TANH, Activation.TANH, Activation.IDENTITY),
        IntStream.range(0, 3).mapToObj(chain::activation).toList());
  }

  private static LayerShape shape(Node.Dense dense, int width) {
    return new LayerShape() {
      @Override
      public String name() {
        return dense.name();
      }

      @Override
      public int outputs() {
        return width;
      }

      @Override
      public int inputs() {
        return width;
      }

      @Override
      public boolean hasBias() {
        return true;
      }

      @Override
      public Activation activation() {
        return dense.name().equals("last") ? Activation.IDENTITY : Activation.TANH;
      }
    };
  }

  /// Files of chains have softmax only at the end.
  @Test
  void softmaxMayStandWithinAGraphThatIsNoChain() {
    Graph.Builder builder = new Graph.Builder(3);
    builder.dense("1", builder.activate(builder.dense("0", 0, 4), Activation.SOFTMAX), 4);
    assertFalse(builder.build().isChain());
    builder.activate(3, Activation.LOG_SOFTMAX);
    Graph graph = builder.build();
    assertFalse(graph.isChain());
    assertEquals(3, graph.logits());
    assertTrue(graph.givesClasses());
    assertTrue(graph.endsInSoftmax());
  }

  @Test
  void outputsAreTheNumbersOfTheLastNode() {
    Graph.Builder builder = new Graph.Builder(3);
    builder.concat(builder.dense("0", 0, 4), builder.dense("1", 0, 2));
    Graph graph = builder.build(List.of(new Graph.Head("a", 4), new Graph.Head("b", 2)));
    assertEquals("a (4), b (2)", graph.headsText());
    assertFalse(graph.givesClasses());
    for (List<Graph.Head> heads : List.of(List.of(new Graph.Head("a", 6)),
        List.of(new Graph.Head("a", 4), new Graph.Head("b", 1)),
        List.of(new Graph.Head("a", 6), new Graph.Head("b", 0)))) {
      assertEquals("the outputs %s are not the 6 numbers of the last node".formatted(heads),
          assertThrows(MismatchException.class, () -> builder.build(heads)).getMessage());
    }
  }

  @Test
  void randomGraphsAreBuiltAsTheirNodesSay() {
    for (long seed = 0; seed < 200; seed++) {
      Graph graph = TestNetworks.graph(seed, 12);
      assertEquals(graph, new Graph(new ArrayList<>(graph.nodes()), graph.heads()));
    }
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|',
      value = {"dense forward   | node 1 reads node 1, which does not come before it",
          "dense beyond    | node 1 reads node 7, which does not come before it",
          "dense before    | node 1 reads node -1, which does not come before it",
          "activate forward| node 2 reads node 2, which does not come before it",
          "add forward     | node 2 reads node 3, which does not come before it",
          "concat forward  | node 2 reads node 2, which does not come before it",
          "add nothing     | node 2 adds values of the widths []",
          "concat nothing  | node 2 joins values of the widths [] to one of 0",
          "multiply widths | node 3 multiplies values of the widths [3, 4]",
          "scale beyond    | node 1 reads node 1, which does not come before it",
          "scale widths    | node 1 scales a value of the width 3 by 2 factors and 3 shifts",
          "scale shifts    | node 1 scales a value of the width 3 by 3 factors and 1 shifts",
          "scale infinite  | node 1: factors and shifts are finite",
          "epsilon         | node 1: the epsilon of a normalisation is above 0, not 0.0",
          "slice before    | node 1 takes the features from -1 on, 2 of them, of a value of 3",
          "slice beyond    | node 1 takes the features from 2 on, 2 of them, of a value of 3",
          "slice nothing   | node 1 takes the features from 1 on, 0 of them, of a value of 3",
          "sum forward     | node 1 reads node 2, which does not come before it",
          "add widths      | node 3 adds values of the widths [3, 4]",
          "unread          | node 1: no node reads its value, and it is not the last",
          "two names       | two layers are called 0", "no layer        | a network needs at least one layer",
          "no neurons      | layer 0 has no neurons", "no inputs       | node 0: a sample needs at least one number"})
  void theBuilderRefuses(String what, String message) {
    Graph.Builder builder = new Graph.Builder(what.equals("no inputs") ? 0 : 3);
    Consumer<Graph.Builder> nodes = switch (what) {
      case "dense forward" -> b -> b.dense("0", 1, 4);
      case "dense beyond" -> b -> b.dense("0", 7, 4);
      case "dense before" -> b -> b.dense("0", -1, 4);
      case "activate forward" -> b -> b.activate(b.dense("0", 0, 4) + 1, Activation.RELU);
      case "add forward" -> b -> b.add(b.dense("0", 0, 4), 3);
      case "concat forward" -> b -> b.concat(b.dense("0", 0, 4), 2);
      case "add nothing" -> b -> {
        b.dense("0", 0, 4);
        b.add();
      };
      case "concat nothing" -> b -> {
        b.dense("0", 0, 4);
        b.concat();
      };
      case "multiply widths" -> b -> b.multiply(b.dense("0", 0, 3), b.dense("1", 0, 4));
      case "scale beyond" -> b -> b.scale(1, List.of(1f), List.of(1f));
      case "scale widths" -> b -> b.dense("0", b.scale(0, List.of(1f, 1f), List.of(1f, 1f, 1f)), 4);
      case "scale shifts" -> b -> b.dense("0", b.scale(0, List.of(1f, 1f, 1f), List.of(1f)), 4);
      case "scale infinite" ->
        b -> b.dense("0", b.scale(0, List.of(1f, Float.POSITIVE_INFINITY, 1f), List.of(0f, 0f, 0f)), 4);
      case "epsilon" -> b -> b.dense("0", b.normalize(0, true, 0), 4);
      case "slice before" -> b -> b.dense("0", b.slice(0, -1, 2), 4);
      case "slice beyond" -> b -> b.dense("0", b.slice(0, 2, 2), 4);
      case "slice nothing" -> b -> b.dense("0", b.slice(0, 1, 0), 4);
      case "sum forward" -> b -> b.sum(2);
      case "add widths" -> b -> b.add(b.dense("0", 0, 3), b.dense("1", 0, 4));
      case "unread" -> b -> {
        b.dense("0", 0, 4);
        b.dense("1", 0, 4);
      };
      case "two names" -> b -> b.dense("0", b.dense("0", 0, 4), 4);
      case "no layer" -> b -> b.activate(0, Activation.RELU);
      case "no neurons" -> b -> b.dense("0", 0, 0);
      case "no inputs" -> b -> b.dense("0", 0, 4);
      default -> throw new AssertionError(what);
    };
    assertEquals(message, assertThrows(MismatchException.class, () -> {
      nodes.accept(builder);
      builder.build();
    }).getMessage());
  }

  @Test
  void aTiedLayerIsOneLayerOfSeveralNodes() {
    Graph.Builder builder = new Graph.Builder(6);
    int left = builder.slice(0, 0, 3); // 1
    int right = builder.slice(0, 3, 3); // 2
    int first = builder.dense("encoder", left, 4); // 3
    int again = builder.activate(builder.again(first, right), Activation.RELU); // 4, 5
    builder.dense("head", builder.concat(first, again), 2); // 6, 7
    Graph graph = builder.build();
    assertEquals(List.of("encoder", "head"), graph.layers().stream().map(Node.Dense::name).toList());
    assertEquals(3, graph.denseNodes().size());
    assertArrayEquals(new int[]{3, 7}, graph.layerNodes());
    assertArrayEquals(new int[]{3, 4}, graph.uses(0));
    assertArrayEquals(new int[]{7}, graph.uses(1));
    assertEquals(3 * 4 + 8 * 2, graph.weights());
    assertEquals(2 * 3 * 4 + 8 * 2, graph.multiplyAdds());
    assertEquals("encoder (2 times)", graph.tiedText());
    assertEquals(Activation.IDENTITY, graph.activation(0));
  }

  /// Nodes that no other output needs, and a tied layer whose first use is not among them.
  @Test
  void anOutputOfSeveralIsANetwork() {
    Graph.Builder builder = new Graph.Builder(6);
    int left = builder.slice(0, 0, 3); // 1
    int right = builder.slice(0, 3, 3); // 2
    int first = builder.dense("encoder", left, 4); // 3
    int again = builder.activate(builder.again(first, right), Activation.RELU); // 4, 5
    int classes = builder.activate(builder.dense("classes", first, 3), Activation.SOFTMAX); // 6, 7
    int scaled = builder.scale(builder.add(again, first), List.of(1f, 2f, 3f, 4f), List.of(0f, 0f, 0f, 1f)); // 8, 9
    builder.concat(classes, builder.dense("box", scaled, 2), again); // 10, 11
    Graph graph = builder
        .build(List.of(new Graph.Head("classes", 3), new Graph.Head("box", 2), new Graph.Head("code", 4)));
    assertEquals(
        List.of(new Node.Input(6), new Node.Slice(0, 0, 3), new Node.Dense("encoder", 1, 3, 4),
            new Node.Dense("classes", 2, 4, 3), new Node.Activate(3, Activation.SOFTMAX, 3)),
        graph.head("classes").nodes());
    assertTrue(graph.head("classes").givesClasses());
    assertEquals(List.of(new Node.Input(6), new Node.Slice(0, 3, 3), new Node.Dense("encoder", 1, 3, 4),
        new Node.Activate(2, Activation.RELU, 4)), graph.head("code").nodes());
    assertEquals(List.of("encoder", "box"), graph.head("box").layers().stream().map(Node.Dense::name).toList());
    assertEquals(new Node.Dense("encoder", 2, 3, 4, true), graph.head("box").nodes().get(4));
    assertEquals("the network has no output called y, but classes (3), box (2), code (4)",
        assertThrows(MismatchException.class, () -> graph.head("y")).getMessage());
    assertEquals("the network has one output, and none called y",
        assertThrows(MismatchException.class, () -> graph.head("classes").head("y")).getMessage());

    Graph.Builder split = new Graph.Builder(2);
    split.dense("both", 0, 5);
    Graph sliced = split.build(List.of(new Graph.Head("a", 2), new Graph.Head("b", 3))).head("b");
    assertEquals(new Node.Slice(1, 2, 3), sliced.nodes().getLast());
  }

  /// The same layer one after the other, as in a recurrent network that is rolled out.
  @Test
  void aTiedLayerMakesNoChain() {
    Graph.Builder builder = new Graph.Builder(3);
    builder.again(1, builder.activate(builder.dense("step", 0, 3), Activation.TANH));
    assertFalse(builder.build().isChain());
  }

  @Test
  void refusesALayerThatIsUsedAgainAsAnother() {
    Node input = new Node.Input(3);
    Node dense = new Node.Dense("0", 0, 3, 4);
    refused("layer 1 is used again before it is there", input, dense, new Node.Dense("1", 0, 3, 4, true));
    refused("layer 0 is 4 × 3, and is used again as 2 × 4", input, dense, new Node.Dense("0", 1, 4, 2, true));
    refused("two layers are called 0", input, dense, new Node.Dense("0", 0, 3, 4));
    Graph.Builder builder = new Graph.Builder(3);
    assertEquals("node 0 is no layer to be used again",
        assertThrows(MismatchException.class, () -> builder.again(0, 0)).getMessage());
  }

  @Test
  void refusesNodesThatDoNotFit() {
    Node input = new Node.Input(3);
    Node dense = new Node.Dense("0", 0, 3, 4);
    refused("layer 1 takes 5 inputs, the node before it has 4 outputs", input, dense, new Node.Dense("1", 1, 5, 2));
    refused("node 2: an activation changes no width", input, dense, new Node.Activate(1, Activation.RELU, 5));
    refused("node 2 adds values of the widths [4, 4]", input, dense, new Node.Add(List.of(1, 1), 5));
    refused("node 2 joins values of the widths [4, 3] to one of 8", input, dense, new Node.Concat(List.of(1, 0), 8));
    refused("node 1 reads node 2, which does not come before it", input, new Node.Dense("0", 2, 4, 4),
        new Node.Dense("1", 1, 4, 4));
    refused("node 0: the input is the first node, and no other", dense);
    refused("node 2: the input is the first node, and no other", input, dense, new Node.Input(3));
    refused("a network needs at least one layer");
  }

  private static void refused(String message, Node... nodes) {
    assertEquals(message, assertThrows(MismatchException.class, () -> new Graph(List.of(nodes))).getMessage());
  }
}
