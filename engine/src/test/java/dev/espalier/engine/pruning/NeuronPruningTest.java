package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.network.HiddenNeurons.Unit;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Whole neurons as what is removed.
final class NeuronPruningTest {
  private static final int SAMPLES = 120;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  static Stream<Supplier<Backend>> backends() {
    return Stream.of(ReferenceBackend::new, CpuBackend::new);
  }

  /// 6-12-10-4, with a sum of the two hidden layers' first and last features in between.
  private DenseNetwork residual() {
    Graph.Builder graph = new Graph.Builder(6);
    int first = graph.activate(graph.dense("first", 0, 10), Activation.RELU);
    int second = graph.activate(graph.dense("second", first, 10), Activation.TANH);
    int third = graph.activate(graph.dense("third", graph.add(first, second), 12), Activation.TANH);
    graph.dense("last", third, 4);
    return TestNetworks.network(arena, 5, graph.build());
  }

  private DenseNetwork chain() {
    return TestNetworks.network(arena, 4, List.of(6, 12, 10, 4),
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  }

  private Dataset samples() {
    return TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(8), SAMPLES, 6, 1, 0.3));
  }

  private static PruningOptions.Builder neurons(double sparsity, Scope scope) {
    return PruningOptions.builder().target(new Target.Neurons(sparsity, scope));
  }

  private PruningResult prune(Backend backend, PruningOptions options, DenseNetwork network) throws IOException {
    return new Pruner(backend, options).prune(network, samples(), arena);
  }

  private static List<Unit> removed(PruningResult result) {
    return HiddenNeurons.of(result.network().graph()).removedFrom(result.network()).units();
  }

  @ParameterizedTest
  @MethodSource("backends")
  void thoseOfLeastSumOfImportancesGo(Supplier<Backend> machine) throws IOException {
    try (Backend backend = machine.get()) {
      for (DenseNetwork network : List.of(chain(), residual())) {
        PruningOptions options = neurons(0.4, new Scope.Global()).build();
        List<Unit> units = HiddenNeurons.of(network.graph()).units();
        PruningPlan plan = PruningPlan.of(options, network, Optional.of(samples()), backend);
        List<MatrixView> importances = new ArrayList<>();
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
            Scores scores = Scorer.score(backend, device, plan.scoring(), Optional.of(samples()),
                ProgressListener.NONE)) {
          for (int l = 0; l < scores.size(); l++) {
            importances.add(backend.download(scores.importance(l), arena));
          }
        }
        List<Unit> expected = units.stream().sorted(Comparator.comparingDouble(unit -> importance(unit, importances)))
            .limit(Math.round(0.4 * units.size())).toList();
        PruningResult result = prune(backend, options, network);
        assertEquals(Set.copyOf(expected), Set.copyOf(removed(result)));
        double predicted = result.layers().stream().mapToDouble(layer -> layer.predictedChange().orElseThrow()).sum();
        double sum = expected.stream().mapToDouble(unit -> importance(unit, importances)).sum();
        assertEquals(sum, predicted, 1e-5 * sum);
        assertTrue(result.notes().contains("%d of %d hidden neurons removed".formatted(expected.size(), units.size())),
            result.notes()::toString);
      }
    }
  }

  private static double importance(Unit unit, List<MatrixView> importances) {
    return unit.columns().stream().mapToDouble(column -> {
      MatrixView importance = importances.get(column.layer());
      double sum = 0;
      for (int i = 0; i < importance.rows(); i++) {
        sum += importance.get(i, column.index());
      }
      return sum;
    }).sum();
  }

  /// The sensitivity of a linear last layer is constant, so that the mean of its output stays.
  @Test
  void theirMeansMoveIntoTheBiases() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 4, List.of(6, 5, 3),
        List.of(Activation.TANH, Activation.IDENTITY));
    try (Backend backend = new ReferenceBackend()) {
      PruningResult result = prune(backend, neurons(0.4, new Scope.Global()).build(), network);
      MatrixView x = TestNetworks.normal(arena, TestNetworks.random(8), SAMPLES, 6, 1, 0.3);
      double[] mean = new double[3];
      for (int n = 0; n < SAMPLES; n++) {
        double[] before = Plain.of(network).output(TestNetworks.row(x, n));
        double[] after = Plain.of(result.network()).output(TestNetworks.row(x, n));
        for (int i = 0; i < 3; i++) {
          mean[i] += (after[i] - before[i]) / SAMPLES;
        }
      }
      assertArrayEquals(new double[3], mean, 1e-6);
    }
  }

  @ParameterizedTest
  @MethodSource("backends")
  void theirRowsAndColumnsAreZeroAndTheRestStays(Supplier<Backend> machine) throws IOException {
    try (Backend backend = machine.get()) {
      DenseNetwork network = residual();
      PruningResult result = prune(backend, neurons(0.3, new Scope.Global()).build(), network);
      List<Unit> gone = removed(result);
      for (int l = 0; l < 4; l++) {
        MatrixView before = network.layers().get(l).weights();
        MatrixView after = result.network().layers().get(l).weights();
        for (int i = 0; i < before.rows(); i++) {
          for (int j = 0; j < before.columns(); j++) {
            HiddenNeurons.Place row = new HiddenNeurons.Place(l, i);
            HiddenNeurons.Place column = new HiddenNeurons.Place(l, j);
            boolean isGone = gone.stream()
                .anyMatch(unit -> unit.rows().contains(row) || unit.columns().contains(column));
            assertEquals(isGone ? 0 : before.get(i, j), after.get(i, j));
          }
        }
      }
      Compaction compaction = Compaction.of(result.network(), 1, arena);
      assertEquals(10 - HiddenNeurons.of(network.graph()).removedFrom(result.network()).of(0),
          compaction.network().layers().getFirst().outputs());
    }
  }

  @Test
  void eachLayerLosesTheSameFractionOfItsOwnAndKeepsOne() throws IOException {
    try (Backend backend = new CpuBackend()) {
      HiddenNeurons gone = new HiddenNeurons(
          removed(prune(backend, neurons(0.5, new Scope.PerLayer()).build(), chain())));
      assertEquals(6, gone.of(0));
      assertEquals(5, gone.of(1));
      for (Scope scope : List.of(new Scope.Global(), new Scope.PerLayer())) {
        PruningResult all = prune(backend, neurons(1, scope).build(), chain());
        assertEquals(11, new HiddenNeurons(removed(all)).of(0));
        assertEquals(9, new HiddenNeurons(removed(all)).of(1));
        assertTrue(
            all.notes().contains("20 of 22 hidden neurons removed, 2 fewer than asked for: each layer keeps one"),
            all.notes()::toString);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("backends")
  void roundsKeepWhatIsRemovedAndARefitFollowsTheDenseNetwork(Supplier<Backend> machine) throws IOException {
    try (Backend backend = machine.get()) {
      DenseNetwork network = residual();
      double once = prune(backend, neurons(0.5, new Scope.Global()).build(), network).measuredChange().orElseThrow();
      PruningResult refitted = prune(backend,
          neurons(0.5, new Scope.Global()).preset(Preset.REFIT, OptionalDouble.empty()).build(), network);
      assertEquals(11, removed(refitted).size());
      assertTrue(refitted.measuredChange().orElseThrow() < once);
      PruningResult rounds = prune(backend, neurons(0.5, new Scope.Global()).schedule(new Schedule.Linear(3)).build(),
          network);
      assertEquals(11, removed(rounds).size());
    }
  }

  @Test
  void thoseThatNothingReadsGoFirst() throws IOException {
    DenseNetwork network = chain();
    DenseLayer last = network.layers().getLast();
    MatrixView weights = last.weights().copy(arena);
    for (int i = 0; i < 4; i++) {
      weights.set(i, 3, 0);
      weights.set(i, 7, 0);
    }
    DenseNetwork sparse = new DenseNetwork(List.of(network.layers().get(0), network.layers().get(1),
        new DenseLayer(last.name(), weights, last.bias(), last.activation())));
    try (Backend backend = new CpuBackend()) {
      List<Unit> gone = removed(prune(backend, neurons(0.09, new Scope.Global()).build(), sparse));
      assertEquals(List.of(3, 7), gone.stream().map(unit -> unit.rows().getFirst().index()).toList());
      assertEquals(List.of(1, 1), gone.stream().map(Unit::layer).toList());
    }
  }

  @Test
  void excludedLayersStayAndNeuronsThatCannotGoAreSaid() throws IOException {
    try (Backend backend = new CpuBackend()) {
      PruningResult result = prune(backend, neurons(0.5, new Scope.Global()).exclude("layer2").build(), chain());
      assertEquals(6, removed(result).size());
      assertTrue(result.notes().contains("6 of 12 hidden neurons removed"), result.notes()::toString);
      assertTrue(result.notes().stream().anyMatch(note -> note.startsWith("no neuron of layer layer1 can go")),
          result.notes()::toString);
      assertArrayEquals(chain().layers().getLast().weights().toArray(),
          result.network().layers().getLast().weights().toArray());
      assertTrue(assertThrows(MismatchException.class,
          () -> prune(backend, neurons(0.5, new Scope.Global()).exclude("layer1").build(), chain())).getMessage()
          .startsWith("no neuron can be removed: "));
      assertEquals("neurons are removed across layers: use no sparsity of single ones, as a=0.5",
          assertThrows(IllegalArgumentException.class,
              () -> neurons(0.5, new Scope.Global()).layerSparsities(List.of(LayerSparsity.parse("a=0.5"))).build())
              .getMessage());
      assertEquals("neurons compete in the scope global or layer, not in rows",
          assertThrows(IllegalArgumentException.class, () -> new Target.Neurons(0.5, new Scope.PerRow())).getMessage());
    }
  }
}
