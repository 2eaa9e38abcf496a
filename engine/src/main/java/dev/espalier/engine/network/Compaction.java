package dev.espalier.engine.network;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// A network without its removable neurons, which computes the same outputs. A neuron is removable if nothing that
/// varies reaches it, so that its activation is a constant c, or if nothing reads it; neurons whose activations are
/// added, multiplied or the like are removable together. A tied layer keeps all its neurons and all that its uses
/// read, because its weights and bias are those of all of them. The layers that read them take the constants into
/// their biases: `b[i] + Σ w[i][j]·c[j]` over the removed features j, summed in double and rounded once.
///
/// @param network  the smaller network, of the same inputs and outputs
/// @param layers   what stays of each layer
/// @param features by node of the graph, the numbers of the features of its value that stay, ascending
public record Compaction(DenseNetwork network, List<Kept> layers, List<List<Integer>> features) {
  /// What stays of a layer.
  ///
  /// @param width    the number of neurons before
  /// @param neurons  the numbers of those that stay, ascending
  /// @param constant how many of them are constant, and stay because a layer that reads them has no bias to take the
  ///                 constant
  /// @param padding  how many of them are removable, and stay as zeros that fill the width up
  public record Kept(int width, List<Integer> neurons, int constant, int padding) {
    /// Copies the list.
    public Kept {
      neurons = List.copyOf(neurons);
    }
  }

  /// Copies the lists.
  public Compaction {
    layers = List.copyOf(layers);
    features = List.copyOf(features);
  }

  /// Removes the removable neurons. A layer keeps at least one neuron.
  ///
  /// @param multiple a layer that loses neurons gets a width that is a multiple of it, or else loses none; at least 1
  /// @param arena    of the layers that become smaller; the others are shared with `network`
  /// @throws dev.espalier.engine.NonFiniteException if a bias becomes larger than a float32 can be
  public static Compaction of(DenseNetwork network, int multiple, Arena arena) {
    return of(network, RemovableFeatures.of(network, multiple), arena);
  }

  /// As [#of], of a network whose biases will change: what the bias of a neuron that stays sets is no constant.
  public static Compaction forRepair(DenseNetwork network, Arena arena) {
    return of(network, RemovableFeatures.forRepair(network), arena);
  }

  private static Compaction of(DenseNetwork network, RemovableFeatures removable, Arena arena) {
    Graph graph = network.graph();
    int[] nodes = graph.layerNodes();
    List<List<Integer>> stay = IntStream.range(0, graph.nodes().size()).mapToObj(removable::kept).toList();
    List<DenseLayer> smaller = new ArrayList<>();
    List<Kept> kept = new ArrayList<>();
    for (int l = 0; l < nodes.length; l++) {
      DenseLayer layer = network.layers().get(l);
      int input = graph.layers().get(l).input();
      boolean isWhole = stay.get(nodes[l]).size() == layer.outputs() && stay.get(input).size() == layer.inputs()
          && removable.padding(nodes[l]) + removable.padding(input) == 0;
      smaller.add(isWhole ? layer : smaller(layer, nodes[l], input, stay, removable, arena));
      kept.add(new Kept(layer.outputs(), stay.get(nodes[l]), removable.held(nodes[l]), removable.padding(nodes[l])));
    }
    return new Compaction(new DenseNetwork(smaller(graph, stay), smaller), kept, stay);
  }

  /// Whether all neurons stay.
  public boolean isUnchanged() {
    return layers.stream().allMatch(layer -> layer.neurons.size() == layer.width);
  }

  /// The graph of the features that stay.
  private static Graph smaller(Graph graph, List<List<Integer>> stay) {
    List<Node> nodes = new ArrayList<>();
    for (int n = 0; n < stay.size(); n++) {
      int width = stay.get(n).size();
      nodes.add(switch (graph.nodes().get(n)) {
        case Node.Input _ -> new Node.Input(width);
        case Node.Dense(String name, int input, _, _, boolean isRepeated) ->
          new Node.Dense(name, input, stay.get(input).size(), width, isRepeated);
        case Node.Activate(int input, Activation activation, _) -> new Node.Activate(input, activation, width);
        case Node.Add(List<Integer> inputs, _) -> new Node.Add(inputs, width);
        case Node.Multiply(int left, int right, _) -> new Node.Multiply(left, right, width);
        case Node.Scale(int input, List<Float> factors, List<Float> shifts) -> new Node.Scale(input,
            stay.get(n).stream().map(factors::get).toList(), stay.get(n).stream().map(shifts::get).toList());
        case Node.Normalize(int input, boolean centred, double epsilon, _) ->
          new Node.Normalize(input, centred, epsilon, width);
        case Node.Slice(int input, int first, _) ->
          new Node.Slice(input, (int) stay.get(input).stream().filter(feature -> feature < first).count(), width);
        case Node.Sum sum -> sum;
        case Node.Concat(List<Integer> inputs, _) -> new Node.Concat(inputs, width);
      });
    }
    return new Graph(nodes, graph.heads());
  }

  /// The rows and columns of a layer that stay, those of padding as zeros.
  private static DenseLayer smaller(DenseLayer layer, int node, int input, List<List<Integer>> stay,
      RemovableFeatures removable, Arena arena) {
    List<Integer> rows = stay.get(node);
    List<Integer> columns = stay.get(input);
    BitSet live = removable.needed(input);
    BitSet liveRows = removable.needed(node);
    MatrixView weights = MatrixView.allocate(arena, rows.size(), columns.size());
    Optional<MatrixView> biases = layer.bias().map(_ -> MatrixView.allocate(arena, 1, weights.rows()));
    for (int r = 0; r < weights.rows(); r++) {
      int i = rows.get(r);
      if (!liveRows.get(i)) {
        continue;
      }
      for (int c = 0; c < weights.columns(); c++) {
        weights.set(r, c, live.get(columns.get(c)) ? layer.weights().get(i, columns.get(c)) : 0);
      }
      if (biases.isPresent()) {
        double bias = layer.bias().orElseThrow().get(0, i);
        for (int j = live.nextClearBit(0); j < layer.inputs(); j = live.nextClearBit(j + 1)) {
          float w = layer.weights().get(i, j);
          bias += w == 0 ? 0 : w * removable.constant(input, j);
        }
        biases.get().set(0, r, (float) bias);
      }
    }
    return new DenseLayer(layer.name(), weights, biases, layer.activation());
  }
}
