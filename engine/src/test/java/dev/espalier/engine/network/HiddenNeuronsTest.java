package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.HiddenNeurons.Place;
import dev.espalier.engine.network.HiddenNeurons.Unit;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class HiddenNeuronsTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  private static List<Place> places(int... layersAndIndices) {
    return IntStream.range(0, layersAndIndices.length / 2)
        .mapToObj(i -> new Place(layersAndIndices[2 * i], layersAndIndices[2 * i + 1])).toList();
  }

  @Test
  void ofAChainAreThoseBetweenLayers() {
    Graph.Builder graph = new Graph.Builder(3);
    int hidden = graph.activate(graph.dense("a", 0, 2), Activation.RELU);
    graph.activate(graph.dense("b", hidden, 2), Activation.SIGMOID);
    assertEquals(List.of(new Unit(places(0, 0), places(1, 0)), new Unit(places(0, 1), places(1, 1))),
        HiddenNeurons.of(graph.build()).units());
  }

  @Test
  void areTogetherWhereTheyAreTied() {
    Graph.Builder graph = new Graph.Builder(3);
    int a = graph.activate(graph.dense("a", 0, 2), Activation.RELU);
    int b = graph.activate(graph.dense("b", a, 2), Activation.TANH);
    int both = graph.concat(graph.add(a, b), graph.dense("c", 0, 1));
    graph.dense("d", both, 4);
    assertEquals(List.of(new Unit(places(0, 0, 1, 0), places(1, 0, 3, 0)),
        new Unit(places(0, 1, 1, 1), places(1, 1, 3, 1)), new Unit(places(2, 0), places(3, 2))),
        HiddenNeurons.of(graph.build()).units());
    assertEquals(1, HiddenNeurons.of(graph.build()).within(layer -> layer != 1).units().size());
    assertEquals(2, HiddenNeurons.of(graph.build()).of(1));
  }

  @Test
  void areNotThoseOfInputsAndOutputsAndOfWhatIsReadAsAWhole() {
    Graph.Builder graph = new Graph.Builder(3);
    int withInput = graph.add(0, graph.dense("a", 0, 3));
    int normalized = graph.normalize(graph.dense("b", withInput, 4), true, 1e-5);
    int c = graph.dense("c", normalized, 5);
    int summed = graph.sum(c);
    int d = graph.dense("d", c, 2);
    graph.add(graph.dense("e", summed, 2), d);
    assertEquals(List.of(), HiddenNeurons.of(graph.build()).units());
  }

  /// What a unit names is all that must be zero so that nothing depends on its neurons.
  @Test
  void ofRandomGraphsMakeNoDifferenceOnceNothingReadsThem() {
    int found = 0;
    int shrunk = 0;
    for (int seed = 1; seed < 150; seed++) {
      RandomGenerator random = TestNetworks.random(seed);
      DenseNetwork network = TestNetworks.network(arena, seed,
          seed < 100 ? TestNetworks.graph(seed, 9) : TestNetworks.tiedGraph(seed, 12));
      HiddenNeurons neurons = HiddenNeurons.of(network.graph());
      for (Unit unit : neurons.units()) {
        DenseNetwork unread = changed(network, unit.columns(), 0, true);
        assertTrue(neurons.removedFrom(unread).units().contains(unit), "seed " + seed);
        DenseNetwork other = changed(unread, unit.rows(), random.nextFloat(), false);
        double[] x = random.doubles(network.inputs(), -2, 2).toArray();
        assertArrayEquals(Plain.of(unread).output(x), Plain.of(other).output(x), "seed " + seed);
        Compaction compaction = Compaction.of(unread, 1, arena);
        // A neuron stays where a value would be left without features.
        shrunk += unit.rows().stream()
            .anyMatch(row -> compaction.layers().get(row.layer()).neurons().contains(row.index())) ? 0 : 1;
        found++;
      }
    }
    assertTrue(found > 300, "found " + found);
    assertTrue(shrunk > 0.8 * found, "%d of %d shrunk".formatted(shrunk, found));
  }

  private DenseNetwork changed(DenseNetwork network, List<Place> places, float value, boolean areColumns) {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < network.layers().size(); l++) {
      DenseLayer layer = network.layers().get(l);
      MatrixView weights = layer.weights().copy(arena);
      for (Place place : places) {
        for (int k = 0; place.layer() == l && k < (areColumns ? layer.outputs() : layer.inputs()); k++) {
          weights.set(areColumns ? k : place.index(), areColumns ? place.index() : k, value);
        }
      }
      layers.add(new DenseLayer(layer.name(), weights, layer.bias(), layer.activation()));
    }
    return new DenseNetwork(network.graph(), layers);
  }

  @Test
  void areReadWhereOneWeightIsLeft() {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(3, 4, 5),
        List.of(Activation.RELU, Activation.IDENTITY));
    HiddenNeurons neurons = HiddenNeurons.of(network.graph());
    Unit second = neurons.units().get(1);
    DenseNetwork unread = changed(network, second.columns(), 0, true);
    assertEquals(List.of(second), neurons.removedFrom(unread).units());
    unread.layers().getLast().weights().set(4, 1, 0.1f);
    assertFalse(neurons.removedFrom(unread).units().contains(second));
  }
}
