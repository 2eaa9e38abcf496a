package dev.espalier.engine.network;

import java.util.Arrays;
import java.util.stream.IntStream;

/// The features of all values of a graph, numbered through, in sets that stay or go together: those that an operation
/// ties to each other, such as two that are added and their sum. Each set is known by one of its features, its root.
final class FeatureSets {
  /// By node, the number of its first feature.
  private final int[] first;
  /// By feature, its node.
  private final int[] owner;
  /// By feature, another of its set that is nearer to the root; the root's is itself.
  private final int[] parent;
  /// By feature, the next one of its set; −1 at the end. It begins at the root.
  private final int[] next;

  FeatureSets(Graph graph) {
    int nodes = graph.nodes().size();
    first = new int[nodes + 1];
    for (int n = 0; n < nodes; n++) {
      first[n + 1] = Math.addExact(first[n], graph.nodes().get(n).width());
    }
    owner = new int[first[nodes]];
    for (int n = 0; n < nodes; n++) {
      Arrays.fill(owner, first[n], first[n + 1], n);
    }
    parent = IntStream.range(0, owner.length).toArray();
    next = new int[owner.length];
    for (int n = 0; n < nodes; n++) {
      tie(graph, n);
    }
    list();
  }

  /// Ties the features of node `n` to those that they are computed from one by one.
  private void tie(Graph graph, int n) {
    Node node = graph.nodes().get(n);
    switch (node) {
      case Node.Input _,Node.Dense _,Node.Sum _ -> {
        // They depend on all features, or none.
      }
      case Node.Activate _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Normalize _ ->
        node.inputs().forEach(input -> tie(n, 0, input, 0, node.width()));
      case Node.Slice slice -> tie(n, 0, slice.input(), slice.first(), slice.width());
      case Node.Concat concat -> {
        int column = 0;
        for (int input : concat.inputs()) {
          tie(n, column, input, 0, graph.nodes().get(input).width());
          column += graph.nodes().get(input).width();
        }
      }
    }
  }

  private void tie(int n, int from, int input, int to, int count) {
    for (int f = 0; f < count; f++) {
      parent[root(first[n] + from + f)] = root(first[input] + to + f);
    }
  }

  /// Lists each set from its root on.
  private void list() {
    Arrays.fill(next, -1);
    for (int feature = 0; feature < parent.length; feature++) {
      int root = root(feature);
      if (feature != root) {
        next[feature] = next[root];
        next[root] = feature;
      }
    }
  }

  /// How many features there are.
  int count() {
    return owner.length;
  }

  /// The number of the first feature of node `n`; of the one behind the last node, [#count].
  int first(int n) {
    return first[n];
  }

  /// The node of a feature.
  int owner(int feature) {
    return owner[feature];
  }

  /// The root of a feature's set.
  int root(int feature) {
    int root = feature;
    while (parent[root] != root) {
      parent[root] = parent[parent[root]];
      root = parent[root];
    }
    return root;
  }

  /// The features of the set of a root, which is the first of them.
  IntStream members(int root) {
    return IntStream.iterate(root, feature -> feature >= 0, feature -> next[feature]);
  }
}
