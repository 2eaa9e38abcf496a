package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.MissingDataException.Part;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.scoring.Selector;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class PrunerTest {
  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();
  private DenseNetwork network;
  private MatrixView samples;
  private Dataset source;

  @BeforeEach
  void generate() {
    network = TestNetworks.network(arena, 1, List.of(12, 10, 8, 4),
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
    samples = TestNetworks.normal(arena, TestNetworks.random(2), 100, 12, 1, 0.5);
    MatrixView labels = MatrixView.allocate(arena, 100, 1);
    for (int n = 0; n < 100; n++) {
      labels.set(n, 0, n % 4);
    }
    source = TestNetworks.source(samples, labels);
  }

  static List<Criterion> criteria() {
    return List.of(new Criterion.EliminationCompensation(), new Criterion.Magnitude(), new Criterion.Gradient(),
        new Criterion.Wanda(), new Criterion.Random());
  }

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  @ParameterizedTest
  @MethodSource("criteria")
  void sparsityZeroChangesNothing(Criterion criterion) throws IOException {
    PruningResult result = prune(network, PruningOptions.builder().sparsity(0).criterion(criterion));
    assertSameBits(network, result.network());
    assertEquals(0, result.removed());
    assertEquals(0, result.measuredChange().orElseThrow());
  }

  @ParameterizedTest
  @MethodSource("criteria")
  void sparsityOneLeavesTheFewestAllowed(Criterion criterion) throws IOException {
    for (long least : new long[]{0, 1, 5}) {
      PruningResult result = prune(network,
          PruningOptions.builder().sparsity(1).criterion(criterion).minPerLayer(least));
      result.layers().forEach(layer -> assertEquals(least, layer.kept()));
    }
  }

  /// A network on the way is the one that a path to it alone ends with.
  @Test
  void aPathGivesTheNetworksOnTheWay() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.9)
        .stops(List.of(Target.sparsity(0.5), Target.sparsity(0.8))).schedule(new Schedule.Keeping(0.75))
        .repair(new Repair.Refit()).build();
    PruningPlan plan = PruningPlan.of(options, network, Optional.of(source), backend);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      List<PruningResult> results = new Pruner(backend, options).path(plan, network, device, Optional.of(source),
          ProgressListener.NONE, arena);
      assertEquals(3, results.size());
      double before = 0;
      for (int i = 0; i < 3; i++) {
        Target target = options.path().get(i);
        PruningResult result = results.get(i);
        assertEquals(Math.round(target.sparsity() * network.weights()), result.removed());
        assertTrue(result.measuredChange().orElseThrow() > before);
        before = result.measuredChange().orElseThrow();
      }
      PruningResult alone = prune(network,
          PruningOptions.builder().sparsity(0.5).schedule(new Schedule.Keeping(0.75)).repair(new Repair.Refit()));
      assertSameBits(alone.network(), results.getFirst().network());
      assertSameBits(device.download(arena), results.getLast().network());
    }
  }

  /// 120, 80 and 32 weights, of which layer1 loses a fraction of its own.
  @ParameterizedTest
  @ValueSource(strings = {"global", "layer", "row"})
  void layersHaveSparsitiesOfTheirOwn(String scope) throws IOException {
    for (double own : new double[]{0, 0.4, 1}) {
      PruningResult result = prune(network,
          PruningOptions.builder().target(new Target.Fraction(0.9, Scope.parse(scope))).minPerLayer(0)
              .layerSparsities(List.of(new LayerSparsity(new LayerPattern("layer1"), own))));
      assertEquals(Math.round(own * 80), result.layers().get(1).removed());
      assertEquals(Math.round(0.9 * 152), result.layers().get(0).removed() + result.layers().get(2).removed());
    }
  }

  /// Zeros of the mask go, with the same compensation; where the network is the same, so is every bit.
  @ParameterizedTest
  @MethodSource("criteria")
  void theMaskOfAPruningRepeatsIt(Criterion criterion) throws IOException {
    try (Backend cpu = new CpuBackend(1, Precision.FP32)) {
      for (Backend on : List.of(backend, cpu)) {
        PruningOptions.Builder options = PruningOptions.builder().criterion(criterion).exclude("layer2").sparsity(0.6);
        PruningResult pruned = new Pruner(on, options.build()).prune(network, source, arena);
        Target.Mask mask = new Target.Mask(
            Map.of("layer0", mask(pruned.network(), 0), "layer1", mask(pruned.network(), 1)));
        assertEquals(pruned.removed(), mask.removed());
        assertEquals(0.6, mask.sparsity());
        PruningResult again = new Pruner(on, options.exclude().target(mask).build()).prune(network, source, arena);
        assertSameBits(pruned.network(), again.network());
        assertEquals(pruned.removed(), again.removed());
        assertEquals(pruned.measuredChange(), again.measuredChange());
        for (int l = 0; l < 3; l++) {
          assertEquals(pruned.layers().get(l).predictedChange(), again.layers().get(l).predictedChange());
          assertEquals(l == 2, again.layers().get(l).excluded());
          assertTrue(again.layers().get(l).threshold().isEmpty());
        }
        assertTrue(again.notes().contains("the mask has no layer layer2, which stays as it is"),
            again.notes()::toString);
      }
    }
  }

  /// A weight that was zero before stays so, and repairs move what the mask keeps.
  @Test
  void aMaskedNetworkIsRepaired() throws IOException {
    PruningResult half = prune(network, PruningOptions.builder().sparsity(0.5));
    MatrixView ones = MatrixView.allocate(arena, 10, 12);
    for (int j = 0; j < 12; j++) {
      for (int i = 0; i < 10; i++) {
        ones.set(i, j, i < 5 ? 1 : 0);
      }
    }
    Target.Mask mask = new Target.Mask(Map.of("layer0", ones));
    PruningResult compensated = prune(half.network(), PruningOptions.builder().target(mask));
    PruningResult repaired = prune(half.network(), PruningOptions.builder().target(mask).repair(new Repair.Refit()));
    for (PruningResult result : List.of(compensated, repaired)) {
      MatrixView weights = result.network().layers().getFirst().weights();
      for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 12; j++) {
          boolean kept = i < 5 && half.network().layers().getFirst().weights().get(i, j) != 0;
          assertEquals(kept, weights.get(i, j) != 0);
        }
      }
      assertEquals(weights.zeros(), result.removed());
      assertArrayEquals(bytes(half.network().layers().getLast().weights()),
          bytes(result.network().layers().getLast().weights()));
    }
    assertTrue(repaired.measuredChange().orElseThrow() < compensated.measuredChange().orElseThrow());
  }

  /// 1 where a weight is not zero.
  private MatrixView mask(DenseNetwork pruned, int layer) {
    MatrixView mask = pruned.layers().get(layer).weights().copy(arena);
    for (long i = 0; i < mask.elements(); i++) {
      mask.segment().setAtIndex(MatrixView.ELEMENT, i, mask.segment().getAtIndex(MatrixView.ELEMENT, i) == 0 ? 0 : 1);
    }
    return mask;
  }

  /// Rounds up to the first stop approach it; from there on it is held.
  @Test
  void ownSparsitiesHoldAtEachStop() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.9).stops(List.of(Target.sparsity(0.8)))
        .layerSparsities(List.of(LayerSparsity.parse("layer1=0.5"))).schedule(new Schedule.Linear(4)).build();
    PruningPlan plan = PruningPlan.of(options, network, Optional.of(source), backend);
    assertEquals(Map.of(1, 0.5 * 0.225 / 0.8), plan.ownSparsities(Target.sparsity(0.225)));
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      for (PruningResult result : new Pruner(backend, options).path(plan, network, device, Optional.of(source),
          ProgressListener.NONE, arena)) {
        assertEquals(40, result.layers().get(1).removed());
      }
    }
    assertEquals(40 + Math.round(0.9 * 152), plan.removedAt(new Target.Fraction(0.9, new Scope.Global())));
  }

  /// Each round scores what the rounds before it have left, and is named to the listener.
  @Test
  void roundsAreOneShotPruningsOneAfterTheOther() throws IOException {
    List<String> tasks = new ArrayList<>();
    List<Double> shares = new ArrayList<>();
    ProgressListener listener = new ProgressListener() {
      @Override
      public boolean proceed(String task, long done, long total) {
        return tasks.add(task);
      }

      @Override
      public void at(double done) {
        shares.add(done);
      }
    };
    try (DeviceNetwork inRounds = DeviceNetwork.copyOf(backend, network);
        DeviceNetwork oneAfterTheOther = DeviceNetwork.copyOf(backend, network)) {
      new Pruner(backend, PruningOptions.builder().sparsity(0.875).schedule(new Schedule.Geometric(3)).build())
          .pruneInPlace(inRounds, Optional.of(source), listener.part("of two", 0, 0.5));
      for (double sparsity : new double[]{0.5, 0.75, 0.875}) {
        new Pruner(backend, PruningOptions.builder().sparsity(sparsity).build()).pruneInPlace(oneAfterTheOther,
            Optional.of(source), ProgressListener.NONE);
      }
      assertSameBits(oneAfterTheOther.download(arena), inRounds.download(arena));
      assertEquals(Math.round(network.weights() * 0.875), inRounds.download(arena).zeros());
    }
    assertEquals(
        List.of("scoring, round 1 of 3, of two", "scoring, round 2 of 3, of two", "scoring, round 3 of 3, of two"),
        tasks.stream().distinct().toList());
    assertEquals(List.of(0.0, 0.0, 1 / 6.0, 2 / 6.0, 0.5), shares);
  }

  /// On this network; it is no law.
  @Test
  void roundsLoseLessThanOneShot() throws IOException {
    PruningOptions.Builder options = PruningOptions.builder().sparsity(0.8);
    PruningResult oneShot = prune(network, options);
    PruningResult rounds = prune(network, options.schedule(new Schedule.Keeping(0.75)));
    assertEquals(oneShot.removed(), rounds.removed());
    assertTrue(rounds.measuredChange().orElseThrow() < oneShot.measuredChange().orElseThrow(),
        () -> rounds.measuredChange() + " and " + oneShot.measuredChange());
  }

  @ParameterizedTest
  @MethodSource("criteria")
  void removesExactlyAsManyAndCountsZerosFirst(Criterion criterion) throws IOException {
    PruningResult half = prune(network, PruningOptions.builder().sparsity(0.5).criterion(criterion));
    assertEquals(Math.round(network.weights() * 0.5), half.removed());
    PruningResult more = prune(half.network(), PruningOptions.builder().sparsity(0.8).criterion(criterion));
    assertEquals(Math.round(network.weights() * 0.8), more.removed());
    for (int l = 0; l < 3; l++) {
      MatrixView before = half.network().layers().get(l).weights();
      MatrixView after = more.network().layers().get(l).weights();
      for (int i = 0; i < before.rows(); i++) {
        for (int j = 0; j < before.columns(); j++) {
          assertTrue(before.get(i, j) != 0 || after.get(i, j) == 0, "a removed weight came back");
          assertTrue(after.get(i, j) == 0 || after.get(i, j) == before.get(i, j), "a kept weight changed");
        }
      }
    }
    PruningResult fewer = prune(half.network(), PruningOptions.builder().sparsity(0.3).criterion(criterion));
    assertEquals(half.removed(), fewer.removed());
    assertEquals(0, fewer.measuredChange().orElseThrow(), 1e-12);
  }

  @Test
  void compensationIsWhatKeepsTheOutput() throws IOException {
    double with = prune(network, PruningOptions.builder().sparsity(0.4)).measuredChange().orElseThrow();
    double without = prune(network, PruningOptions.builder().sparsity(0.4).compensation(new Compensation.None()))
        .measuredChange().orElseThrow();
    double magnitude = prune(network, PruningOptions.builder().sparsity(0.4).criterion(new Criterion.Magnitude()))
        .measuredChange().orElseThrow();
    assertTrue(with < without && without < magnitude, "%s, %s, %s".formatted(with, without, magnitude));
  }

  @Test
  void predictsTheChangeOfASingleRemovalInALinearNetwork() throws IOException {
    DenseNetwork linear = TestNetworks.network(arena, 3, List.of(12, 5), List.of(Activation.IDENTITY));
    PruningResult result = prune(linear, PruningOptions.builder().sparsity(1.0 / 60));
    LayerResult layer = result.layers().getFirst();
    assertEquals(1, layer.removed());
    assertEquals(layer.predictedChange().orElseThrow(), layer.measuredChange().orElseThrow(),
        1e-4 * layer.measuredChange().orElseThrow());
    assertEquals(result.measuredChange().orElseThrow(), layer.measuredChange().orElseThrow());
    assertEquals(layer.threshold().orElseThrow(), layer.predictedChange().orElseThrow(), 1e-12);
  }

  @Test
  void aDeadNeuronsWeightsGoFirstAndChangeNothing() throws IOException {
    MatrixView bias = network.layers().getFirst().bias().orElseThrow();
    bias.set(0, 3, -1000);
    PruningResult result = prune(network, PruningOptions.builder().sparsity(12.0 / network.weights()));
    assertEquals(0, result.measuredChange().orElseThrow());
    for (int j = 0; j < 12; j++) {
      assertEquals(0, result.network().layers().getFirst().weights().get(3, j));
    }
    assertEquals(-1000, result.network().layers().getFirst().bias().orElseThrow().get(0, 3));
  }

  @Test
  void permutingHiddenNeuronsPermutesWhatIsRemoved() throws IOException {
    int[] order = {3, 1, 4, 0, 9, 2, 6, 5, 8, 7};
    DenseLayer first = network.layers().get(0);
    DenseLayer second = network.layers().get(1);
    MatrixView rows = MatrixView.allocate(arena, 10, 12);
    MatrixView bias = MatrixView.allocate(arena, 1, 10);
    MatrixView columns = MatrixView.allocate(arena, 8, 10);
    for (int i = 0; i < 10; i++) {
      rows.slice(i, 1).segment().copyFrom(first.weights().slice(order[i], 1).segment());
      bias.set(0, i, first.bias().orElseThrow().get(0, order[i]));
      for (int k = 0; k < 8; k++) {
        columns.set(k, i, second.weights().get(k, order[i]));
      }
    }
    DenseNetwork permuted = new DenseNetwork(
        List.of(new DenseLayer("layer0", rows, Optional.of(bias), first.activation()),
            new DenseLayer("layer1", columns, second.bias(), second.activation()), network.layers().get(2)));
    PruningResult expected = prune(network, PruningOptions.builder().sparsity(0.6));
    PruningResult actual = prune(permuted, PruningOptions.builder().sparsity(0.6));
    for (int i = 0; i < 10; i++) {
      for (int j = 0; j < 12; j++) {
        assertEquals(expected.network().layers().get(0).weights().get(order[i], j),
            actual.network().layers().get(0).weights().get(i, j));
      }
      for (int k = 0; k < 8; k++) {
        assertEquals(expected.network().layers().get(1).weights().get(k, order[i]),
            actual.network().layers().get(1).weights().get(k, i));
      }
      assertEquals(expected.network().layers().get(0).bias().orElseThrow().get(0, order[i]),
          actual.network().layers().get(0).bias().orElseThrow().get(0, i), 1e-5f);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 100, 1000})
  void theBatchSizeDoesNotMatter(int batchSize) throws IOException {
    for (Sensitivity sensitivity : List.of(new Sensitivity.Jacobian(), new Sensitivity.Probes(2))) {
      PruningResult expected = prune(network, PruningOptions.builder().sensitivity(sensitivity).batchSize(33));
      PruningResult actual = prune(network, PruningOptions.builder().sensitivity(sensitivity).batchSize(batchSize));
      for (int l = 0; l < 3; l++) {
        assertArrayEquals(expected.network().layers().get(l).weights().toArray(),
            actual.network().layers().get(l).weights().toArray());
        assertArrayEquals(expected.network().layers().get(l).bias().orElseThrow().toArray(),
            actual.network().layers().get(l).bias().orElseThrow().toArray(), 1e-6f);
      }
    }
  }

  @Test
  void prunersSideBySideGiveTheSameBits() throws Exception {
    float[] expected = prune(network, PruningOptions.builder().sparsity(0.7)).network().layers().get(1).weights()
        .toArray();
    MatrixView x;
    DenseNetwork shared;
    try (Arena together = Arena.ofShared(); ExecutorService threads = Executors.newFixedThreadPool(4)) {
      // Shared by the four pruning threads.
      shared = TestNetworks.network(together, 1, List.of(12, 10, 8, 4),
          List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
      x = samples.copy(together);
      DenseNetwork dense = shared;
      MatrixView data = x;
      Callable<float[]> job = () -> {
        try (Arena own = Arena.ofConfined(); Backend mine = new ReferenceBackend()) {
          return new Pruner(mine, PruningOptions.builder().sparsity(0.7).build())
              .prune(dense, TestNetworks.source(data), own).network().layers().get(1).weights().toArray();
        }
      };
      for (Future<float[]> result : threads.invokeAll(List.of(job, job, job, job))) {
        assertArrayEquals(expected, result.get());
      }
    }
  }

  @Test
  void leavesExcludedLayersAlone() throws IOException {
    PruningResult result = prune(network, PruningOptions.builder().sparsity(0.5).exclude("layer1"));
    assertArrayEquals(network.layers().get(1).weights().toArray(),
        result.network().layers().get(1).weights().toArray());
    assertEquals(160, result.prunableWeights() + 8);
    assertEquals(76, result.removed());
    assertTrue(result.layers().get(1).excluded());
    assertEquals("all layers are excluded: nothing is left to prune",
        assertThrows(MismatchException.class, () -> prune(network, PruningOptions.builder().exclude("*")))
            .getMessage());
    assertEquals("the pattern decoder.* excludes no layer; the layers are layer0, layer1, layer2",
        assertThrows(MismatchException.class,
            () -> prune(network, PruningOptions.builder().exclude("layer1", "decoder.*"))).getMessage());
  }

  /// One sample, equal samples, and a network that is dead on them: the importances say nothing.
  @Test
  void saysWhereImportancesAreZero() throws IOException {
    MatrixView equal = MatrixView.allocate(arena, 70, 12);
    for (int n = 0; n < 70; n++) {
      equal.slice(n, 1).segment().copyFrom(samples.slice(0, 1).segment());
    }
    for (MatrixView few : List.of(samples.slice(0, 1), equal)) {
      for (Target target : List.of(Target.sparsity(0.5), new Target.Fraction(0.5, new Scope.PerRow()),
          new Target.Pattern(2, 4))) {
        for (Backend on : List.of(backend, new CpuBackend(1, Precision.FP32))) {
          PruningResult result = new Pruner(on, PruningOptions.builder().target(target).build()).prune(network,
              TestNetworks.source(few), arena);
          assertEquals("all importances of layers layer0, layer1, layer2 are 0 on these samples: which weights go is "
              + "arbitrary; give more, or more varied, samples", result.notes().get(1));
          assertEquals(2, result.notes().size(), result.notes()::toString);
        }
      }
    }
    network.layers().getFirst().bias().orElseThrow().segment().copyFrom(
        MatrixView.of(arena, 1, 10, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f).segment());
    assertTrue(prune(network, PruningOptions.builder().sparsity(0.5)).notes().get(1)
        .startsWith("all importances of layers layer0, layer1, layer2 are 0"));
  }

  @Test
  void saysNothingWhereImportancesDecide() throws IOException {
    for (double sparsity : new double[]{0, 0.2, 0.5}) {
      assertEquals(1, prune(network, PruningOptions.builder().sparsity(sparsity)).notes().size());
    }
    assertEquals(1, new Pruner(backend, PruningOptions.builder().sparsity(0).build())
        .prune(network, TestNetworks.source(samples.slice(0, 1)), arena).notes().size());
  }

  @Test
  void saysWhereSamplesAreFewerThanInputs() throws IOException {
    assertEquals(
        "there are fewer samples (9) than inputs of layers layer0 (12), layer1 (10): what follows from them depends on "
            + "which they are; give more, some thousands if possible",
        new Pruner(backend, PruningOptions.builder().sparsity(0.5).build())
            .prune(network, TestNetworks.source(samples.slice(0, 9)), arena).notes().get(1));
  }

  @Test
  void saysWhereTheCutFallsAmongEqualImportances() throws IOException {
    for (DenseLayer layer : network.layers()) {
      layer.weights().segment().fill((byte) 0x3f); // all weights are the same
    }
    PruningResult result = prune(network, PruningOptions.builder().sparsity(0.5).criterion(new Criterion.Magnitude()));
    assertEquals(
        List.of("232 weights have the same importance, 0.747, and 116 of them were removed: that choice is arbitrary"),
        result.notes());
  }

  @Test
  void aLayerWithoutABiasGainsOneIfAsked() throws IOException {
    DenseLayer first = network.layers().getFirst();
    List<DenseLayer> layers = new ArrayList<>(network.layers());
    layers.set(0, new DenseLayer(first.name(), first.weights(), Optional.empty(), first.activation()));
    DenseNetwork unbiased = new DenseNetwork(layers);
    source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 100, 12, 0.3, 2));
    PruningResult gained = prune(unbiased, PruningOptions.builder().sparsity(0.5).newBias(true));
    assertTrue(gained.network().layers().getFirst().bias().isPresent());
    assertTrue(gained.layers().getFirst().gainedBias());
    assertTrue(gained.notes().stream().anyMatch(note -> note.contains("layer layer0 had no bias")),
        gained.notes()::toString);
    PruningResult kept = prune(unbiased, PruningOptions.builder().sparsity(0.5));
    assertFalse(kept.network().layers().getFirst().bias().isPresent());
    assertFalse(kept.layers().getFirst().gainedBias());
    assertEquals("layer layer0 has no bias: its weights are pruned without compensation", kept.notes().getFirst());
    assertTrue(gained.measuredChange().orElseThrow() < kept.measuredChange().orElseThrow());
  }

  @Test
  void withoutANewBiasAWeightCostsItsWholeContribution() throws IOException {
    MatrixView w = MatrixView.of(arena, 1, 2, 1, 0.1f);
    MatrixView x = MatrixView.of(arena, 2, 2, 1, 100, 1.5f, 100);
    DenseNetwork single = new DenseNetwork(List.of(new DenseLayer("0", w, Optional.empty(), Activation.IDENTITY)));
    // The second input never changes: with a bias its weight is free, without one it costs (0.1 · 100)².
    PruningOptions.Builder half = PruningOptions.builder().sparsity(0.5);
    PruningResult biased = new Pruner(backend, half.newBias(true).build()).prune(single, TestNetworks.source(x), arena);
    assertArrayEquals(new float[]{1, 0}, biased.network().layers().getFirst().weights().toArray());
    assertArrayEquals(new float[]{10}, biased.network().layers().getFirst().bias().orElseThrow().toArray(), 1e-5f);
    PruningResult plain = new Pruner(backend, half.newBias(false).build()).prune(single, TestNetworks.source(x), arena);
    assertArrayEquals(new float[]{0, 0.1f}, plain.network().layers().getFirst().weights().toArray());
    assertEquals((1 + 1.5 * 1.5) / 2, plain.layers().getFirst().predictedChange().orElseThrow(), 1e-6);
  }

  @ParameterizedTest
  @ValueSource(strings = {"magnitude", "random"})
  void someCriteriaNeedNoSamples(String criterion) throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(Criterion.parse(criterion)).sparsity(0.5).build();
    PruningResult result = new Pruner(backend, options).prune(network, Optional.empty(), ProgressListener.NONE, arena);
    assertEquals(Math.round(network.weights() * 0.5), result.removed());
    assertTrue(result.measuredChange().isEmpty());
  }

  @Test
  void othersSayWhatTheyNeed() {
    PruningOptions.Builder gradient = PruningOptions.builder().criterion(new Criterion.Gradient());
    assertMissing("criterion ec", Part.SAMPLES, PruningOptions.builder(), Optional.empty());
    assertMissing("criterion magnitude with compensation bias", Part.SAMPLES,
        PruningOptions.builder().criterion(new Criterion.Magnitude()).compensation(new Compensation.Bias()),
        Optional.empty());
    assertMissing("criterion gradient", Part.SAMPLES, gradient, Optional.empty());
    assertMissing("criterion gradient", Part.LABELS, gradient, Optional.of(TestNetworks.source(samples)));
    assertEquals("samples has 5 numbers a sample, the network takes 12", refusal(MismatchException.class,
        PruningOptions.builder(), Optional.of(TestNetworks.source(MatrixView.allocate(arena, 3, 5)))).getMessage());
  }

  private void assertMissing(String method, Part part, PruningOptions.Builder options, Optional<Dataset> data) {
    MissingDataException refusal = refusal(MissingDataException.class, options, data);
    assertEquals("%s needs %s".formatted(method, part), refusal.getMessage());
    assertEquals(method, refusal.method());
    assertEquals(part, refusal.part());
  }

  private <T extends Throwable> T refusal(Class<T> type, PruningOptions.Builder options, Optional<Dataset> data) {
    return assertThrows(type,
        () -> new Pruner(backend, options.build()).prune(network, data, ProgressListener.NONE, arena));
  }

  @Test
  void namesTheSampleThatIsNotFinite() {
    samples.set(70, 5, Float.NaN);
    assertEquals("samples is NaN at [70, 5] (sample, column): samples and labels must be finite",
        assertThrows(IOException.class, () -> prune(network, PruningOptions.builder().batchSize(32))).getMessage());
  }

  @Test
  void aListenerCancels() {
    ProgressListener afterHalf = (_, done, total) -> done < total / 2;
    Pruner pruner = new Pruner(backend, PruningOptions.builder().batchSize(32).build());
    assertEquals("cancelled while scoring, after 64 of 100",
        assertThrows(CancellationException.class, () -> pruner.prune(network, Optional.of(source), afterHalf, arena))
            .getMessage());
  }

  @Test
  void scopesPruneEachLayerOrRowAlike() throws IOException {
    PruningResult layers = prune(network,
        PruningOptions.builder().target(new Target.Fraction(0.5, new Scope.PerLayer())));
    layers.layers().forEach(layer -> assertEquals(0.5, layer.sparsity()));
    PruningResult groups = prune(network, PruningOptions.builder().target(new Target.Pattern(2, 4)));
    for (DenseLayer layer : groups.network().layers()) {
      MatrixView w = layer.weights();
      for (int i = 0; i < w.rows(); i++) {
        int row = i;
        for (int g = 0; g < w.columns(); g += 4) {
          long kept = IntStream.range(g, Math.min(g + 4, w.columns())).filter(j -> w.get(row, j) != 0).count();
          assertEquals(2, kept);
        }
      }
    }
    assertTrue(groups.layers().getFirst().threshold().isEmpty());
  }

  /// Scores are computed once and cut at every target, in any order, each time on a fresh copy: the networks are those
  /// of prunings by themselves.
  @ParameterizedTest
  @MethodSource("criteria")
  void scoresThatAreCutOftenGiveWhatSinglePruningsGive(Criterion criterion) throws IOException {
    List<Target> targets = List.of(Target.sparsity(0.9), Target.sparsity(0.3), new Target.Pattern(1, 3),
        new Target.Fraction(0.5, new Scope.PerRow()), new Target.Fraction(0.7, new Scope.PerLayer()),
        new Target.Pattern(2, 4), Target.sparsity(0.9));
    PruningOptions.Builder options = PruningOptions.builder().criterion(criterion).exclude("layer1").minPerLayer(3)
        .measureOutputChange(false).seed(4);
    try (Backend cpu = new CpuBackend()) {
      for (Backend on : List.of(backend, cpu)) {
        ScoringPlan plan = PruningPlan.of(options.build(), network, Optional.of(source), on).scoring();
        try (DeviceNetwork dense = DeviceNetwork.copyOf(on, network);
            Scores scores = Scorer.score(on, dense, plan, Optional.of(source), ProgressListener.NONE)) {
          scores.rank(dense);
          for (Target target : targets) {
            try (DeviceNetwork copy = DeviceNetwork.copyOf(on, network)) {
              scores.apply(copy, Selector.select(on, scores, target, 3));
              assertSameBits(new Pruner(on, options.target(target).build()).prune(network, source, arena).network(),
                  copy.download(arena));
            }
          }
        }
      }
    }
  }

  @Test
  void pruningInPlaceGivesTheNetworkOfPruningACopy() throws IOException {
    for (PruningOptions options : List.of(PruningOptions.builder().sparsity(0.6).exclude("layer0").build(),
        PruningOptions.builder().target(new Target.Pattern(2, 4)).batchSize(7).build())) {
      PruningResult expected = new Pruner(backend, options).prune(network, source, arena);
      float[] before = network.layers().getLast().weights().toArray();
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
          DeviceNetwork planned = DeviceNetwork.copyOf(backend, network)) {
        List<Double> removed = new Pruner(backend, options).pruneInPlace(device, Optional.of(source),
            ProgressListener.NONE);
        assertSameBits(expected.network(), device.download(arena));
        assertEquals(expected.layers().stream().map(layer -> layer.predictedChange().orElse(0)).toList(), removed);
        PruningPlan plan = PruningPlan.of(options, network, Optional.of(source), backend);
        PruningResult result = new Pruner(backend, options).prune(plan, network, planned, Optional.of(source),
            ProgressListener.NONE, arena);
        assertEquals(expected.layers(), result.layers());
        assertSameBits(expected.network(), planned.download(arena));
      }
      assertArrayEquals(before, network.layers().getLast().weights().toArray());
    }
  }

  /// The removed weights and moved biases of a graph, and how far its output moves by them, by a plain evaluation.
  @ParameterizedTest
  @ValueSource(longs = {0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 103})
  void measuresHowFarTheOutputOfAGraphMoves(long seed) throws IOException {
    DenseNetwork graph = TestNetworks.network(arena, seed,
        seed < 100 ? TestNetworks.graph(seed, 12) : TestNetworks.tiedGraph(seed, 12));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(seed), 20, graph.inputs(), 1, 0.5);
    PruningResult result = new Pruner(backend, PruningOptions.builder().sparsity(0.4).batchSize(8).build()).prune(graph,
        TestNetworks.source(x), arena);
    assertEquals(Selector.count(0.4, graph.weights()), result.removed());
    DenseNetwork pruned = result.network();
    assertEquals(change(graph, pruned, x), result.measuredChange().orElseThrow(), 1e-5);
    for (int l = 0; l < graph.layers().size(); l++) {
      List<DenseLayer> layers = new ArrayList<>(graph.layers());
      layers.set(l, pruned.layers().get(l));
      double change = change(graph, new DenseNetwork(graph.graph(), layers), x);
      assertEquals(change, result.layers().get(l).measuredChange().orElseThrow(), 1e-5 * (1 + change));
    }
  }

  /// E‖y − y′‖²
  private static double change(DenseNetwork before, DenseNetwork after, MatrixView x) {
    double sum = 0;
    for (int n = 0; n < x.rows(); n++) {
      double[] expected = Plain.of(before).output(TestNetworks.row(x, n));
      double[] actual = Plain.of(after).output(TestNetworks.row(x, n));
      for (int k = 0; k < expected.length; k++) {
        sum += Math.pow(expected[k] - actual[k], 2);
      }
    }
    return sum / x.rows();
  }

  private static void assertSameBits(DenseNetwork expected, DenseNetwork actual) {
    for (int l = 0; l < expected.layers().size(); l++) {
      assertArrayEquals(bytes(expected.layers().get(l).weights()), bytes(actual.layers().get(l).weights()));
      assertArrayEquals(bytes(expected.layers().get(l).bias().orElseThrow()),
          bytes(actual.layers().get(l).bias().orElseThrow()));
    }
  }

  @Test
  void histogramsCountEveryWeight() throws IOException {
    PruningResult result = prune(network, PruningOptions.builder().histogramBins(20));
    result.layers().forEach(layer -> assertEquals(layer.weights(), layer.importance().orElseThrow().total()));
  }

  @Test
  void refusesASparsityOutsideZeroToOne() {
    for (double sparsity : new double[]{-0.1, 1.1, Double.NaN}) {
      assertTrue(assertThrows(IllegalArgumentException.class, () -> PruningOptions.builder().sparsity(sparsity).build())
          .getMessage().contains("use a fraction from 0 to 1"));
    }
  }

  private PruningResult prune(DenseNetwork dense, PruningOptions.Builder options) throws IOException {
    return new Pruner(backend, options.build()).prune(dense, source, arena);
  }

  private static byte[] bytes(MatrixView matrix) {
    return matrix.segment().toArray(ValueLayout.JAVA_BYTE);
  }
}
