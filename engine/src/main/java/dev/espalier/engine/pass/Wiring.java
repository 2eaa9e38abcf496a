package dev.espalier.engine.pass;

import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/// Finds the fused operations of a graph: a dense node followed by an activation runs as one, forward and backward, so
/// that a chain of layers costs no more than its layers.
final class Wiring {
  private final Graph graph;
  private final List<List<Integer>> readers;
  /// By layer, the dense nodes that use it.
  private final List<int[]> uses;
  private final int[] layerNumbers;
  private final boolean[] wanted;

  Wiring(Graph graph) {
    this.graph = graph;
    readers = IntStream.range(0, graph.nodes().size()).mapToObj(graph::readers).toList();
    uses = IntStream.range(0, graph.layers().size()).mapToObj(graph::uses).toList();
    layerNumbers = new int[graph.nodes().size()];
    for (int l = 0; l < uses.size(); l++) {
      for (int use : uses.get(l)) {
        layerNumbers[use] = l;
      }
    }
    wanted = new boolean[graph.nodes().size()];
    for (int n = 0; n < wanted.length; n++) {
      wanted[n] = graph.nodes().get(n) instanceof Node.Dense
          || graph.nodes().get(n).inputs().stream().anyMatch(input -> wanted[input]);
    }
  }

  /// The dense nodes that use layer `l`, ascending.
  int[] uses(int l) {
    return uses.get(l);
  }

  /// The number of the layer that dense node `n` uses.
  int layer(int n) {
    return layerNumbers[n];
  }

  /// The activation that runs together with dense node `n` in forward passes: the first one that reads it.
  OptionalInt forwardActivation(int n) {
    return readers.get(n).stream().filter(reader -> graph.nodes().get(reader) instanceof Node.Activate)
        .mapToInt(Integer::intValue).findFirst();
  }

  /// Whether activation node `n` runs together with the dense node that it reads.
  boolean runsWithDense(int n) {
    int input = graph.nodes().get(n).inputs().getFirst();
    return graph.nodes().get(input) instanceof Node.Dense && forwardActivation(input).orElseThrow() == n;
  }

  /// The dense node below dense node `n` whose gradient follows from its own in one operation: there is an elementwise
  /// activation between them, which alone reads the one below, and which `n` alone reads.
  OptionalInt backwardDense(int n) {
    int between = graph.nodes().get(n).inputs().getFirst();
    if (!(graph.nodes().get(between) instanceof Node.Activate activate) || readers.get(between).size() > 1
        || !activate.activation().isElementwise()) {
      return OptionalInt.empty();
    }
    boolean isDense = graph.nodes().get(activate.input()) instanceof Node.Dense;
    return isDense && readers.get(activate.input()).size() == 1
        ? OptionalInt.of(activate.input())
        : OptionalInt.empty();
  }

  /// Whether the gradient of node `n` is of use: whether it is a layer, or is computed from one.
  boolean wantsGradient(int n) {
    return wanted[n];
  }

  /// Whether backward passes need memory for the gradient of node `n`: not where nothing wants it, and not for that of an
  /// activation that a fused operation goes through.
  boolean hasGradient(int n) {
    return wanted[n] && switch (graph.nodes().get(n)) {
      case Node.Input _ -> false;
      case Node.Activate _ ->
        readers.get(n).size() != 1 || !(graph.nodes().get(readers.get(n).getFirst()) instanceof Node.Dense)
            || backwardDense(readers.get(n).getFirst()).isEmpty();
      case Node.Dense _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Normalize _,Node.Slice _,Node.Sum _,Node.Concat _ ->
        true;
    };
  }

  /// The nodes that the values of some nodes are computed from, themselves among them.
  boolean[] upstream(int... of) {
    boolean[] needed = new boolean[graph.nodes().size()];
    for (int n : of) {
      needed[n] = true;
    }
    for (int next = needed.length - 1; next >= 0; next--) {
      if (needed[next]) {
        graph.nodes().get(next).inputs().forEach(input -> needed[input] = true);
      }
    }
    return needed;
  }
}
