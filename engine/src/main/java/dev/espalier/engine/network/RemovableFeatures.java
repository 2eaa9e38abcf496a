package dev.espalier.engine.network;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// Which features of a network's values can be left out. Features that an operation ties, such as two that are added and
/// their sum, stay or go together; each set of these is known by one of them, its root.
final class RemovableFeatures {
  private final Graph graph;
  /// By node.
  private final Map<Integer, DenseLayer> layers = new HashMap<>();
  /// By node, the number of its first feature among those of all nodes.
  private final int[] first;
  /// By feature, its node, and another feature of its set, nearer to the root.
  private final int[] owner;
  private final int[] parent;
  /// By feature, the next one of its set; −1 at the end. It begins at the root.
  private final int[] next;
  /// By feature, its value if that does not depend on the input; otherwise NaN.
  private final double[] constants;
  /// By root: what the outputs depend on, what is left out of that because of a constant that no bias takes, and what
  /// fills widths up.
  private final BitSet needed = new BitSet();
  private final BitSet held = new BitSet();
  private final BitSet padding = new BitSet();
  private final Deque<Integer> open = new ArrayDeque<>();

  private RemovableFeatures(DenseNetwork network) {
    graph = network.graph();
    int[] layerNodes = graph.layerNodes();
    for (int l = 0; l < layerNodes.length; l++) {
      layers.put(layerNodes[l], network.layers().get(l));
    }
    first = new int[graph.nodes().size() + 1];
    for (int n = 0; n < graph.nodes().size(); n++) {
      first[n + 1] = Math.addExact(first[n], graph.nodes().get(n).width());
    }
    owner = new int[first[graph.nodes().size()]];
    for (int n = 0; n < graph.nodes().size(); n++) {
      Arrays.fill(owner, first[n], first[n + 1], n);
    }
    parent = IntStream.range(0, owner.length).toArray();
    next = new int[owner.length];
    constants = new double[owner.length];
  }

  /// @param multiple a layer that loses neurons gets a width that is a multiple of it, or else loses none
  static RemovableFeatures of(DenseNetwork network, int multiple) {
    RemovableFeatures features = new RemovableFeatures(network);
    for (int n = 0; n < features.graph.nodes().size(); n++) {
      features.tie(n);
      features.findConstants(n);
    }
    features.list();
    features.needAll(0);
    features.needAll(features.graph.output());
    boolean isChanged = true;
    while (isChanged) {
      isChanged = false;
      for (int n = features.graph.output(); n > 0; n--) {
        features.followNeeds();
        isChanged |= features.fill(n, multiple);
      }
    }
    return features;
  }

  private int root(int feature) {
    int root = feature;
    while (parent[root] != root) {
      parent[root] = parent[parent[root]];
      root = parent[root];
    }
    return root;
  }

  private void tie(int n, int from, int input, int to, int count) {
    for (int f = 0; f < count; f++) {
      parent[root(first[n] + from + f)] = root(first[input] + to + f);
    }
  }

  /// Ties the features of node `n` to those that they are computed from one by one.
  private void tie(int n) {
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

  private void findConstants(int n) {
    Node node = graph.nodes().get(n);
    if (node instanceof Node.Concat concat) {
      int column = first[n];
      for (int input : concat.inputs()) {
        int width = graph.nodes().get(input).width();
        System.arraycopy(constants, first[input], constants, column, width);
        column += width;
      }
      return;
    }
    for (int f = 0; f < node.width(); f++) {
      int feature = f;
      constants[first[n] + f] = switch (node) {
        case Node.Input _,Node.Normalize _,Node.Concat _ -> Double.NaN;
        case Node.Dense dense -> preActivation(layers.get(n), dense.input(), f);
        case Node.Activate(int input, Activation activation, _) ->
          activation.isElementwise() ? activation.value(constant(input, f)) : Double.NaN;
        case Node.Add add -> add.inputs().stream().mapToDouble(input -> constant(input, feature)).sum();
        case Node.Multiply(int left, int right, _) ->
          constant(left, f) == 0 || constant(right, f) == 0 ? 0 : constant(left, f) * constant(right, f);
        case Node.Scale(int input, List<Float> factors, List<Float> shifts) ->
          (factors.get(f) == 0 ? 0 : factors.get(f) * constant(input, f)) + shifts.get(f);
        case Node.Slice slice -> constant(slice.input(), slice.first() + f);
        case Node.Sum(int input) ->
          IntStream.range(0, graph.nodes().get(input).width()).mapToDouble(j -> constant(input, j)).sum();
      };
    }
  }

  private double preActivation(DenseLayer layer, int input, int i) {
    double z = layer.bias().isPresent() ? layer.bias().get().get(0, i) : 0;
    for (int j = 0; j < layer.inputs() && !Double.isNaN(z); j++) {
      float w = layer.weights().get(i, j);
      z += w == 0 ? 0 : w * constant(input, j);
    }
    return z;
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

  private void need(int feature) {
    int root = root(feature);
    if (!needed.get(root)) {
      needed.set(root);
      open.add(root);
    }
  }

  private void needAll(int n) {
    for (int feature = first[n]; feature < first[n + 1]; feature++) {
      need(feature);
    }
  }

  /// Finds what the needed features depend on.
  private void followNeeds() {
    while (!open.isEmpty()) {
      for (int feature = open.pop(); feature >= 0; feature = next[feature]) {
        int n = owner[feature];
        switch (graph.nodes().get(n)) {
          case Node.Dense dense -> followRow(n, dense.input(), feature - first[n]);
          case Node.Activate(int input, Activation activation, _) when !activation.isElementwise() -> needAll(input);
          case Node.Normalize normalize -> needAll(normalize.input());
          case Node.Sum sum -> needAll(sum.input());
          case Node.Input _,Node.Activate _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Slice _,Node.Concat _ -> {
            // What they are computed from is of the same set.
          }
        }
      }
    }
  }

  /// A neuron needs what it reads, but for constants that its bias can take.
  private void followRow(int n, int input, int i) {
    DenseLayer layer = layers.get(n);
    for (int j = 0; j < layer.inputs(); j++) {
      double constant = constant(input, j);
      boolean isTaken = !Double.isNaN(constant) && (layer.hasBias() || constant == 0);
      if (layer.weights().get(i, j) != 0 && !isTaken) {
        need(first[input] + j);
        if (!Double.isNaN(constant)) {
          held.set(root(first[input] + j));
        }
      }
    }
  }

  /// Fills up the features of node `n` that stay with the first that are removable.
  ///
  /// @return whether there was something to do
  private boolean fill(int n, int multiple) {
    int width = first[n + 1] - first[n];
    int count = kept(n).size();
    int by = graph.nodes().get(n) instanceof Node.Dense ? multiple : 1;
    long wanted = Math.ceilDiv((long) Math.max(1, count), by) * by;
    if (wanted >= width) {
      boolean isChanged = needed(n).cardinality() < width;
      needAll(n);
      return isChanged;
    }
    boolean isChanged = count < wanted;
    for (int feature = first[n]; count < wanted; feature++) {
      if (!isKept(feature)) {
        padding.set(root(feature));
        count = kept(n).size();
      }
    }
    return isChanged;
  }

  private boolean isKept(int feature) {
    return needed.get(root(feature)) || padding.get(root(feature));
  }

  /// The numbers of the features of node `n` that stay.
  List<Integer> kept(int n) {
    return IntStream.range(first[n], first[n + 1]).filter(this::isKept).map(feature -> feature - first[n]).boxed()
        .toList();
  }

  /// The features of node `n` that the outputs depend on.
  BitSet needed(int n) {
    BitSet bits = new BitSet();
    IntStream.range(first[n], first[n + 1]).filter(feature -> needed.get(root(feature)))
        .forEach(feature -> bits.set(feature - first[n]));
    return bits;
  }

  /// How many features of node `n` stay and are not needed.
  int padding(int n) {
    return kept(n).size() - needed(n).cardinality();
  }

  /// How many features of node `n` are constants that a layer without a bias reads.
  int held(int n) {
    return (int) IntStream.range(first[n], first[n + 1])
        .filter(feature -> held.get(root(feature)) && !Double.isNaN(constants[feature])).count();
  }

  /// The value of a feature that does not depend on the input; otherwise NaN.
  double constant(int n, int feature) {
    return constants[first[n] + feature];
  }
}
