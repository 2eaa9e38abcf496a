package dev.espalier.engine.network;

import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// Which features of a network's values can be left out; each set of [FeatureSets] stays or goes as a whole.
final class RemovableFeatures {
  private final Graph graph;
  /// By node.
  private final Map<Integer, DenseLayer> layers = new HashMap<>();
  private final FeatureSets sets;
  /// By feature, its value if that does not depend on the input; otherwise NaN.
  private final double[] constants;
  /// By root: what the outputs depend on, what is left out of that because of a constant that no bias takes, and what
  /// fills widths up.
  private final BitSet needed = new BitSet();
  private final BitSet held = new BitSet();
  private final BitSet padding = new BitSet();
  private final Deque<Integer> open = new ArrayDeque<>();

  /// Of dense nodes: those whose bias is not to be taken for a constant.
  private final BitSet changing;

  private RemovableFeatures(DenseNetwork network, BitSet changing) {
    graph = network.graph();
    this.changing = changing;
    for (int l = 0; l < network.layers().size(); l++) {
      for (int use : graph.uses(l)) {
        layers.put(use, network.layers().get(l));
      }
    }
    sets = new FeatureSets(graph);
    constants = new double[sets.count()];
  }

  /// @param multiple a layer that loses neurons gets a width that is a multiple of it, or else loses none
  static RemovableFeatures of(DenseNetwork network, int multiple) {
    return of(network, multiple, new BitSet());
  }

  /// For a network whose biases will change, but for those of neurons that go.
  static RemovableFeatures forRepair(DenseNetwork network) {
    BitSet changing = new BitSet();
    while (true) {
      RemovableFeatures features = of(network, 1, changing);
      BitSet more = features.neededConstants();
      if (more.isEmpty()) {
        return features;
      }
      changing.or(more);
    }
  }

  private static RemovableFeatures of(DenseNetwork network, int multiple, BitSet changing) {
    RemovableFeatures features = new RemovableFeatures(network, changing);
    for (int n = 0; n < features.graph.nodes().size(); n++) {
      features.findConstants(n);
    }
    features.needAll(0);
    features.needAll(features.graph.output());
    features.needTied();
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

  private void findConstants(int n) {
    Node node = graph.nodes().get(n);
    if (node instanceof Node.Concat concat) {
      int column = sets.first(n);
      for (int input : concat.inputs()) {
        int width = graph.nodes().get(input).width();
        System.arraycopy(constants, sets.first(input), constants, column, width);
        column += width;
      }
      return;
    }
    boolean isTied = graph.usesTied(n);
    for (int f = 0; f < node.width(); f++) {
      int feature = f;
      constants[sets.first(n) + f] = switch (node) {
        case Node.Input _,Node.Normalize _,Node.Concat _ -> Double.NaN;
        // A repair may move the bias of a neuron that stays.
        case Node.Dense dense ->
          isTied || changing.get(sets.first(n) + f) ? Double.NaN : preActivation(layers.get(n), dense.input(), f);
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

  /// Neurons that stay, and whose values do not depend on the input.
  private BitSet neededConstants() {
    BitSet found = new BitSet();
    for (int n : layers.keySet()) {
      for (int feature = sets.first(n); feature < sets.first(n + 1); feature++) {
        found.set(feature, needed.get(sets.root(feature)) && !Double.isNaN(constants[feature]));
      }
    }
    return found;
  }

  private double preActivation(DenseLayer layer, int input, int i) {
    double z = layer.bias().isPresent() ? layer.bias().get().get(0, i) : 0;
    for (int j = 0; j < layer.inputs() && !Double.isNaN(z); j++) {
      float w = layer.weights().get(i, j);
      z += w == 0 ? 0 : w * constant(input, j);
    }
    return z;
  }

  private void need(int feature) {
    int root = sets.root(feature);
    if (!needed.get(root)) {
      needed.set(root);
      open.add(root);
    }
  }

  private void needAll(int n) {
    for (int feature = sets.first(n); feature < sets.first(n + 1); feature++) {
      need(feature);
    }
  }

  /// A tied layer has one shape and one bias, which its uses cannot take constants into.
  private void needTied() {
    IntStream.range(0, graph.nodes().size()).filter(graph::usesTied).forEach(n -> {
      needAll(n);
      needAll(graph.nodes().get(n).inputs().getFirst());
    });
  }

  /// Finds what the needed features depend on.
  private void followNeeds() {
    while (!open.isEmpty()) {
      for (int feature : sets.members(open.pop()).toArray()) {
        int n = sets.owner(feature);
        switch (graph.nodes().get(n)) {
          case Node.Dense dense -> followRow(n, dense.input(), feature - sets.first(n));
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
        need(sets.first(input) + j);
        if (!Double.isNaN(constant)) {
          held.set(sets.root(sets.first(input) + j));
        }
      }
    }
  }

  /// Fills up the features of node `n` that stay with the first that are removable.
  ///
  /// @return whether there was something to do
  private boolean fill(int n, int multiple) {
    int width = sets.first(n + 1) - sets.first(n);
    int count = kept(n).size();
    int by = graph.nodes().get(n) instanceof Node.Dense ? multiple : 1;
    long wanted = Math.ceilDiv((long) Math.max(1, count), by) * by;
    if (wanted >= width) {
      boolean isChanged = needed(n).cardinality() < width;
      needAll(n);
      return isChanged;
    }
    boolean isChanged = count < wanted;
    for (int feature = sets.first(n); count < wanted; feature++) {
      if (!isKept(feature)) {
        padding.set(sets.root(feature));
        count = kept(n).size();
      }
    }
    return isChanged;
  }

  private boolean isKept(int feature) {
    return needed.get(sets.root(feature)) || padding.get(sets.root(feature));
  }

  /// The numbers of the features of node `n` that stay.
  List<Integer> kept(int n) {
    return IntStream.range(sets.first(n), sets.first(n + 1)).filter(this::isKept)
        .map(feature -> feature - sets.first(n)).boxed().toList();
  }

  /// The features of node `n` that the outputs depend on.
  BitSet needed(int n) {
    BitSet bits = new BitSet();
    IntStream.range(sets.first(n), sets.first(n + 1)).filter(feature -> needed.get(sets.root(feature)))
        .forEach(feature -> bits.set(feature - sets.first(n)));
    return bits;
  }

  /// How many features of node `n` stay and are not needed.
  int padding(int n) {
    return kept(n).size() - needed(n).cardinality();
  }

  /// How many features of node `n` are constants that a layer without a bias reads.
  int held(int n) {
    return (int) IntStream.range(sets.first(n), sets.first(n + 1))
        .filter(feature -> held.get(sets.root(feature)) && !Double.isNaN(constants[feature])).count();
  }

  /// The value of a feature that does not depend on the input; otherwise NaN.
  double constant(int n, int feature) {
    return constants[sets.first(n) + feature];
  }
}
