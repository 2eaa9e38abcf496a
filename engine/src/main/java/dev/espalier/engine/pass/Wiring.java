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
  private final int[] layerNumbers;
  private final boolean[] wanted;

  Wiring(Graph graph) {
    this.graph = graph;
    readers = IntStream.range(0, graph.nodes().size()).mapToObj(graph::readers).toList();
    layerNumbers = new int[graph.nodes().size()];
    int[] nodes = graph.layerNodes();
    for (int l = 0; l < nodes.length; l++) {
      layerNumbers[nodes[l]] = l;
    }
    wanted = new boolean[graph.nodes().size()];
    for (int n = 0; n < wanted.length; n++) {
      wanted[n] = graph.nodes().get(n) instanceof Node.Dense
          || graph.nodes().get(n).inputs().stream().anyMatch(input -> wanted[input]);
    }
  }

  /// The number of the layer that dense node `n` is.
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

  /// The nodes that the value of node `n` is computed from, itself among them.
  boolean[] upstream(int n) {
    boolean[] needed = new boolean[graph.nodes().size()];
    needed[n] = true;
    for (int next = n; next >= 0; next--) {
      if (needed[next]) {
        graph.nodes().get(next).inputs().forEach(input -> needed[input] = true);
      }
    }
    return needed;
  }

  /// The nodes whose values change with the parameters of dense node `n`, itself among them.
  boolean[] downstream(int n) {
    boolean[] changed = new boolean[graph.nodes().size()];
    changed[n] = true;
    for (int next = n + 1; next < changed.length; next++) {
      changed[next] = graph.nodes().get(next).inputs().stream().anyMatch(input -> changed[input]);
    }
    return changed;
  }
}
