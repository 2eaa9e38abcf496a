package dev.espalier.engine.network;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// The neurons of a network that can be removed, by leaving out all weights that read them: not those of its inputs
/// and outputs, and not those that a normalisation, a sum over features, a softmax or a tied layer reads, nor those of
/// a tied layer. Neurons whose activations are added, multiplied or the like can only be removed together, and count
/// as one.
///
/// @param units in the order of the layers
public record HiddenNeurons(List<Unit> units) {
  /// A row of a layer's weights, which computes a neuron, or a column, which reads one.
  ///
  /// @param layer its number
  public record Place(int layer, int index) {}

  /// What is removed together: a neuron, or several that are tied.
  ///
  /// @param rows    the neurons; there is at least one
  /// @param columns what reads them; there is at least one
  public record Unit(List<Place> rows, List<Place> columns) {
    /// Copies the lists.
    public Unit {
      rows = List.copyOf(rows);
      columns = List.copyOf(columns);
    }

    /// The layer of the first neuron.
    public int layer() {
      return rows.getFirst().layer();
    }

    private Stream<Place> places() {
      return Stream.concat(rows.stream(), columns.stream());
    }
  }

  /// Copies the list.
  public HiddenNeurons {
    units = List.copyOf(units);
  }

  /// The neurons of a graph.
  public static HiddenNeurons of(Graph graph) {
    FeatureSets sets = new FeatureSets(graph);
    int[] layerNodes = graph.layerNodes();
    Map<Integer, List<Integer>> readers = new HashMap<>(); // layers, by node
    for (int l = 0; l < layerNodes.length; l++) {
      readers.computeIfAbsent(graph.layers().get(l).input(), _ -> new ArrayList<>()).add(l);
    }
    BitSet fixed = new BitSet(); // roots
    fix(0, sets, fixed);
    fix(graph.output(), sets, fixed);
    IntStream.range(0, graph.nodes().size()).filter(graph::usesTied).forEach(n -> {
      fix(n, sets, fixed);
      fix(graph.nodes().get(n).inputs().getFirst(), sets, fixed);
    });
    for (Node node : graph.nodes()) {
      boolean isOfAll = switch (node) {
        case Node.Normalize _,Node.Sum _ -> true;
        case Node.Activate activate -> !activate.activation().isElementwise();
        case Node.Input _,Node.Dense _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Slice _,Node.Concat _ -> false;
      };
      if (isOfAll) {
        node.inputs().forEach(input -> fix(input, sets, fixed));
      }
    }
    BitSet seen = new BitSet(); // roots
    List<Unit> units = new ArrayList<>();
    for (int node : layerNodes) {
      for (int feature = sets.first(node); feature < sets.first(node + 1); feature++) {
        int root = sets.root(feature);
        if (!fixed.get(root) && !seen.get(root)) {
          seen.set(root);
          Unit unit = unit(layerNodes, readers, sets, root);
          if (!unit.columns.isEmpty()) {
            units.add(unit);
          }
        }
      }
    }
    return new HiddenNeurons(units);
  }

  private static void fix(int node, FeatureSets sets, BitSet fixed) {
    IntStream.range(sets.first(node), sets.first(node + 1)).forEach(feature -> fixed.set(sets.root(feature)));
  }

  /// @param readers layers, by the node that they read
  private static Unit unit(int[] layerNodes, Map<Integer, List<Integer>> readers, FeatureSets sets, int root) {
    List<Place> rows = new ArrayList<>();
    List<Place> columns = new ArrayList<>();
    for (int feature : sets.members(root).sorted().toArray()) {
      int node = sets.owner(feature);
      int index = feature - sets.first(node);
      int layer = Arrays.binarySearch(layerNodes, node);
      if (layer >= 0) {
        rows.add(new Place(layer, index));
      }
      readers.getOrDefault(node, List.of()).forEach(reader -> columns.add(new Place(reader, index)));
    }
    return new Unit(rows, columns);
  }

  /// Those all of whose layers fulfil a condition.
  ///
  /// @param layers by their numbers
  public HiddenNeurons within(IntPredicate layers) {
    return new HiddenNeurons(
        units.stream().filter(unit -> unit.places().allMatch(place -> layers.test(place.layer()))).toList());
  }

  /// Those that nothing reads: all weights of their columns are zero.
  public HiddenNeurons removedFrom(DenseNetwork network) {
    return new HiddenNeurons(units.stream().filter(unit -> unit.columns.stream().allMatch(column -> {
      DenseLayer layer = network.layers().get(column.layer());
      return IntStream.range(0, layer.outputs()).allMatch(i -> layer.weights().get(i, column.index()) == 0);
    })).toList());
  }

  /// How many neurons of a layer are among them.
  public int of(int layer) {
    return (int) units.stream().flatMap(unit -> unit.rows.stream()).filter(row -> row.layer() == layer).count();
  }
}
