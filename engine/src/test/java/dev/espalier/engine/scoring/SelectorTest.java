package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.RandomCases;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

final class SelectorTest {
  /// Shapes of the layers of a random case: 1 to 4 layers of 1 to 9 rows and columns.
  private static List<int[]> shapes(Random random) {
    List<int[]> shapes = new ArrayList<>();
    for (int l = random.nextInt(4); l >= 0; l--) {
      shapes.add(new int[]{1 + random.nextInt(9), 1 + random.nextInt(9)});
    }
    return shapes;
  }

  static Stream<Arguments> fractionsAndMinima() {
    return RandomCases.of(300, RandomCases.longs(), RandomCases.fractions(), RandomCases.ints(0, 3));
  }

  @ParameterizedTest
  @MethodSource("fractionsAndMinima")
  void globalRemovesExactlyTheRoundedFractionAndEmptiesNoLayer(long seed, double sparsity, long minPerLayer) {
    List<double[]> weights = select(seed, Target.sparsity(sparsity), minPerLayer);
    long total = 0;
    long zeros = 0;
    long most = 0;
    for (double[] layer : weights) {
      long kept = Arrays.stream(layer).filter(w -> w != 0).count();
      assertTrue(kept >= Math.min(minPerLayer, layer.length), () -> "kept " + kept);
      total += layer.length;
      zeros += layer.length - kept;
      most += Math.max(0, layer.length - minPerLayer);
    }
    assertEquals(Math.min(Selector.count(sparsity, total), most), zeros);
  }

  static Stream<Arguments> fractions() {
    return RandomCases.of(300, RandomCases.longs(), RandomCases.fractions());
  }

  @ParameterizedTest
  @MethodSource("fractions")
  void layersAndRowsAddUpToTheRoundedFraction(long seed, double sparsity) {
    for (Scope scope : List.of(new Scope.PerLayer(), new Scope.PerRow())) {
      List<double[]> weights = select(seed, new Target.Fraction(sparsity, scope), 0);
      long total = weights.stream().mapToLong(layer -> layer.length).sum();
      long zeros = weights.stream().flatMapToDouble(Arrays::stream).filter(w -> w == 0).count();
      assertEquals(Selector.count(sparsity, total), zeros, scope.toString());
      for (double[] layer : weights) {
        long inLayer = Arrays.stream(layer).filter(w -> w == 0).count();
        assertTrue(Math.abs(inLayer - sparsity * layer.length) <= 1, scope.toString());
      }
    }
  }

  static Stream<Arguments> patterns() {
    return RandomCases.of(300, RandomCases.longs(), RandomCases.ints(1, 5), RandomCases.ints(0, 4));
  }

  @ParameterizedTest
  @MethodSource("patterns")
  void groupsKeepWhatTheySay(long seed, int kept, int more) {
    int width = kept + more;
    Random random = new Random(seed);
    List<int[]> shapes = shapes(random);
    List<double[]> weights = select(seed, new Target.Pattern(kept, width), 1);
    for (int l = 0; l < shapes.size(); l++) {
      int columns = shapes.get(l)[1];
      for (int row = 0; row < shapes.get(l)[0]; row++) {
        for (int start = 0; start < columns; start += width) {
          int end = Math.min(columns, start + width);
          long stay = Arrays.stream(weights.get(l), row * columns + start, row * columns + end).filter(w -> w != 0)
              .count();
          assertEquals(Math.min(kept, end - start), stay);
        }
      }
    }
  }

  static Stream<Arguments> seeds() {
    return RandomCases.of(300, RandomCases.longs());
  }

  /// Of the layers that it has; the others stay.
  @ParameterizedTest
  @MethodSource("seeds")
  void aMaskRemovesWhatItSays(long seed) {
    Random random = new Random(seed);
    List<int[]> shapes = shapes(random);
    try (Arena arena = Arena.ofConfined()) {
      Map<String, MatrixView> masks = new HashMap<>();
      for (int l = 0; l < shapes.size(); l++) {
        MatrixView mask = MatrixView.allocate(arena, shapes.get(l)[0], shapes.get(l)[1]);
        for (long i = 0; i < mask.elements(); i++) {
          mask.segment().setAtIndex(MatrixView.ELEMENT, i, random.nextInt(2));
        }
        if (l == 0 || random.nextInt(3) > 0) {
          masks.put("layer" + l, mask);
        }
      }
      List<double[]> weights = select(seed, new Target.Mask(masks), 1);
      for (int l = 0; l < shapes.size(); l++) {
        for (int i = 0; i < weights.get(l).length; i++) {
          MatrixView mask = masks.get("layer" + l);
          assertEquals(mask == null ? 1 : mask.segment().getAtIndex(MatrixView.ELEMENT, i), weights.get(l)[i]);
        }
      }
    }
  }

  static Stream<Arguments> fractionsAndPatterns() {
    return RandomCases.of(300, RandomCases.longs(), RandomCases.fractions(), RandomCases.ints(1, 4));
  }

  /// Of the weights that compete with each other, those of least score go, and the first of equal ones.
  @ParameterizedTest
  @MethodSource("fractionsAndPatterns")
  void theLeastImportantGoFirst(long seed, double sparsity, int kept) {
    for (Target target : List.of(Target.sparsity(sparsity), new Target.Fraction(sparsity, new Scope.PerLayer()),
        new Target.Fraction(sparsity, new Scope.PerRow()), new Target.Pattern(kept, 4))) {
      Random random = new Random(seed);
      List<int[]> shapes = shapes(random);
      List<double[]> weights = select(seed, target, 0);
      Map<List<Integer>, List<Weight>> competing = new HashMap<>();
      for (int l = 0; l < shapes.size(); l++) {
        for (int at = 0; at < weights.get(l).length; at++) {
          int row = at / shapes.get(l)[1];
          List<Integer> set = switch (target) {
            case Target.Fraction(double _, Scope.Global()) -> List.of();
            case Target.Fraction(double _, Scope.PerLayer()) -> List.of(l);
            case Target.Fraction(double _, Scope.PerRow()) -> List.of(l, row);
            case Target.Pattern(int _, int width) -> List.of(l, row, at % shapes.get(l)[1] / width);
            case Target.Mask _,Target.Neurons _ -> throw new AssertionError(target);
          };
          competing.computeIfAbsent(set, _ -> new ArrayList<>())
              .add(new Weight(random.nextInt(4), weights.get(l)[at] == 0));
        }
      }
      competing.values().forEach(set -> {
        List<Boolean> removed = set.stream().sorted(Comparator.comparingInt(Weight::score)).map(Weight::removed)
            .toList();
        assertEquals(removed.stream().sorted(Comparator.reverseOrder()).toList(), removed, target.toString());
      });
    }
  }

  private record Weight(int score, boolean removed) {}

  /// Weights of 1 with random scores, after the selection of a target.
  private static List<double[]> select(long seed, Target target, long minPerLayer) {
    Random random = new Random(seed);
    List<int[]> shapes = shapes(random);
    try (Backend backend = new ReferenceBackend();
        Arena arena = Arena.ofConfined();
        DeviceNetwork network = DeviceNetwork.copyOf(backend, ones(shapes, arena));
        Scores scores = scores(backend, shapes, random, arena)) {
      scores.rank(network);
      List<double[]> before = values(backend, scores);
      List<Cut> cuts = Selector.select(backend, scores, target, minPerLayer);
      assertEquals(cuts, Selector.select(backend, scores, target, minPerLayer));
      scores.apply(network, cuts);
      for (int l = 0; l < shapes.size(); l++) {
        assertArrayEquals(before.get(l), values(backend, scores).get(l), "selection or removal changed the scores");
      }
      return network.layers().stream().map(layer -> TestNetworks.values(backend, layer.weights())).toList();
    }
  }

  private static List<double[]> values(Backend backend, Scores scores) {
    return IntStream.range(0, scores.size()).mapToObj(i -> TestNetworks.values(backend, scores.importance(i))).toList();
  }

  /// Scores of few distinct values: many ties.
  private static Scores scores(Backend backend, List<int[]> shapes, Random random, Arena arena) {
    return Resources.build(resources -> {
      List<LayerScores> layers = new ArrayList<>();
      for (int[] shape : shapes) {
        MatrixView few = MatrixView.allocate(arena, shape[0], shape[1]);
        for (long i = 0; i < few.elements(); i++) {
          few.segment().setAtIndex(MatrixView.ELEMENT, i, random.nextInt(4));
        }
        layers.add(new LayerScores(layers.size(), "layer" + layers.size(),
            resources.own(TestNetworks.upload(backend, few)), Optional.empty(), Optional.empty()));
      }
      return new Scores(backend, ones(shapes, arena).graph(), layers, resources);
    });
  }

  /// A network of layers of any shapes: each reads the one input as often as it is wide.
  private static DenseNetwork ones(List<int[]> shapes, Arena arena) {
    Graph.Builder builder = new Graph.Builder(1);
    List<DenseLayer> layers = new ArrayList<>();
    List<Integer> outputs = new ArrayList<>();
    for (int[] shape : shapes) {
      String name = "layer" + layers.size();
      int input = builder.concat(Collections.nCopies(shape[1], 0).toArray(Integer[]::new));
      outputs.add(builder.dense(name, input, shape[0]));
      float[] ones = new float[shape[0] * shape[1]];
      Arrays.fill(ones, 1);
      layers.add(
          new DenseLayer(name, MatrixView.of(arena, shape[0], shape[1], ones), Optional.empty(), Activation.IDENTITY));
    }
    builder.concat(outputs.toArray(Integer[]::new));
    return new DenseNetwork(builder.build(), layers);
  }

  @Test
  void refusesScoresThatAreNotRanked() {
    try (Backend backend = new ReferenceBackend();
        Arena arena = Arena.ofConfined();
        Scores scores = scores(backend, List.of(new int[]{2, 3}), new Random(1), arena)) {
      assertEquals("scores are selected from once they are ranked",
          assertThrows(IllegalStateException.class, () -> Selector.select(backend, scores, Target.sparsity(0.5), 1))
              .getMessage());
    }
  }

  @Test
  void countsWithoutTheRoundingOfDoubles() {
    assertEquals(9, Selector.count(0.9, 10));
    assertEquals(3, Selector.count(0.29, 10));
    assertEquals(29, Selector.count(0.29, 100)); // 0.29 · 100 is 28.999… in double
    assertEquals(3, Selector.count(0.5, 5)); // halves up
    assertEquals(9_000_000_000_000_000_001L, Selector.count(1, 9_000_000_000_000_000_001L));
  }
}
