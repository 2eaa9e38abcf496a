package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.RadixSelection;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.OneLayerScorer;
import dev.espalier.engine.scoring.RemoteScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Prunings by scores that come layer by layer have the bits of those by the scores of all layers.
final class RemoteScoresTest {
  private static final List<Integer> WIDTHS = List.of(12, 10, 8, 4);

  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = network();

  /// With some zeros, and with columns of equal weights, which tie for magnitude.
  private DenseNetwork network() {
    DenseNetwork made = TestNetworks.network(arena, 1, WIDTHS,
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
    made.layers().forEach(layer -> {
      for (int i = 0; i < layer.outputs(); i++) {
        layer.weights().set(i, 0, 0);
        layer.weights().set(i, 1, 0.1f);
        layer.weights().set(i, 2, -0.1f);
      }
    });
    return made;
  }

  @AfterEach
  void close() {
    arena.close();
  }

  private Dataset data(float unevenness) {
    MatrixView samples = TestNetworks.normal(arena, TestNetworks.random(2), 100, 12, 1, 0.5);
    for (int n = 0; n < samples.rows(); n += 10) {
      samples.set(n, 3, samples.get(n, 3) + unevenness);
    }
    return TestNetworks.source(samples);
  }

  /// What lies elsewhere: here, sums, of which one layer at a time is looked at.
  private record Elsewhere(Backend backend, DeviceNetwork device, PruningPlan plan, NetworkSums sums,
      double typical) implements RemoteScores {
    static Elsewhere of(Backend backend, DeviceNetwork device, PruningPlan plan, NetworkSums sums) {
      List<OneLayerScorer.Rounding> layers = new ArrayList<>();
      if (plan.scoring().criterion() instanceof Criterion.EliminationCompensation) {
        for (int i = 0; i < plan.scoring().layers().size(); i++) {
          layers.add(scorer(backend, device, plan, i).rounding(sums.layers().get(name(plan, i))));
        }
        Map<String, CancelledInputs> inexact = new LinkedHashMap<>();
        double typical = OneLayerScorer.typical(layers);
        for (int i = 0; i < layers.size(); i++) {
          String name = name(plan, i);
          OneLayerScorer.inexact(layers.get(i), sums.samples(), typical).ifPresent(inputs -> inexact.put(name, inputs));
        }
        assertEquals(Scorer.cancelled(backend, device, plan.scoring(), sums), inexact);
      }
      return new Elsewhere(backend, device, plan, sums, OneLayerScorer.typical(layers));
    }

    private static OneLayerScorer scorer(Backend backend, DeviceNetwork device, PruningPlan plan, int i) {
      return new OneLayerScorer(backend, device, plan.scoring().layers().get(i).number(), plan.scoring(),
          plan.scoring().layers().get(i));
    }

    private static String name(PruningPlan plan, int i) {
      return plan.layers().get(plan.scoring().layers().get(i).number()).name();
    }

    private List<Sums> ofLayer(int i) {
      return sums.layers().get(name(i));
    }

    @Override
    public int size() {
      return plan.scoring().layers().size();
    }

    @Override
    public int layer(int i) {
      return plan.scoring().layers().get(i).number();
    }

    @Override
    public String name(int i) {
      return name(plan, i);
    }

    @Override
    public int rows(int i) {
      return plan.layers().get(layer(i)).outputs();
    }

    @Override
    public int columns(int i) {
      return plan.layers().get(layer(i)).inputs();
    }

    @Override
    public List<Cut.Below> cuts(List<Integer> layers, long count) {
      return RadixSelection.cuts(layers.size(), count,
          pass -> layers.stream().map(i -> counts(i, pass)).toArray(long[][]::new));
    }

    private long[] counts(int i, RadixSelection.Pass pass) {
      try (Arena own = Arena.ofShared()) {
        float[] scores = scorer(backend, device, plan, i).ranked(ofLayer(i), typical, own).toArray();
        int[] counts = new int[pass.buckets()];
        pass.count(scores, scores.length, counts);
        return Arrays.stream(counts).asLongStream().toArray();
      }
    }

    @Override
    public Scores fetch(int i) {
      return scorer(backend, device, plan, i).score(ofLayer(i), typical);
    }

    @Override
    public void close() {
      // The sums are the test's.
    }
  }

  private PruningResult prune(Backend backend, PruningPlan plan, DeviceNetwork device, Elsewhere scores)
      throws IOException {
    return new Pruner(backend, plan.options()).path(plan, network, device, new RemoteSamples() {
      @Override
      public long samples() {
        return scores.sums.samples();
      }

      @Override
      public Scored score(DeviceNetwork now, boolean isDense) {
        return new Scored.Elsewhere(scores);
      }

      @Override
      public Repairer.Step repair(Repair repair) {
        throw new AssertionError(repair);
      }
    }, Optional.empty(), ProgressListener.NONE, arena).getLast();
  }

  private GatheredSums gather(Backend backend, PruningOptions options, Dataset data) throws IOException {
    PruningPlan plan = PruningPlan.of(options, network, Optional.of(data), backend);
    GatheredSums gathered = Gathering.gather(backend, network, plan, data, 1, 1, Map.of(), ProgressListener.NONE,
        arena);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      Map<String, CancelledInputs> cancelled = Scorer.cancelled(backend, device, plan.scoring(), gathered.sums());
      Map<String, List<Sums>> all = new LinkedHashMap<>(gathered.sums().layers());
      Scorer.variances(backend, device, plan.scoring(), data, cancelled, ProgressListener.NONE, arena).layers()
          .forEach((name, more) -> all.merge(name, more, (one, other) -> {
            List<Sums> both = new ArrayList<>(one);
            both.addAll(other);
            return both;
          }));
      return new GatheredSums(new NetworkSums(gathered.sums().samples(), all), gathered.provenance());
    }
  }

  private void assertSame(Backend backend, PruningOptions options, Dataset data) throws IOException {
    GatheredSums sums = gather(backend, options, data);
    PruningResult expected;
    PruningResult found;
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      expected = new Pruner(backend, options).prune(PruningPlan.of(options, network, sums, backend), network, device,
          Optional.empty(), ProgressListener.NONE, arena);
    }
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan plan = PruningPlan.of(options, network, sums, backend);
      found = prune(backend, plan, device, Elsewhere.of(backend, device, plan, sums.sums()));
    }
    assertEquals(expected.notes(), found.notes());
    assertEquals(expected.layers(), found.layers());
    for (int l = 0; l < network.layers().size(); l++) {
      assertArrayEquals(expected.network().layers().get(l).weights().toArray(),
          found.network().layers().get(l).weights().toArray());
      assertArrayEquals(expected.network().layers().get(l).bias().orElseThrow().toArray(),
          found.network().layers().get(l).bias().orElseThrow().toArray());
    }
  }

  @ParameterizedTest
  @CsvSource({"ec, global, 0.6, 1", "ec, global, 0.97, 9", "ec, global, 0, 1", "ec, global, 1, 0", "ec, layer, 0.5, 1",
      "ec, row, 0.5, 1", "magnitude, global, 0.3, 1", "magnitude, layer, 0.3, 1", "random, global, 0.4, 1",
      "wanda, global, 0.7, 1"})
  void bitsAreTheSame(String criterion, String scope, double sparsity, long minPerLayer) throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(Criterion.parse(criterion))
        .compensation(Compensation.parse("bias")).target(new Target.Fraction(sparsity, Scope.parse(scope)))
        .minPerLayer(minPerLayer).histogramBins(5).build();
    try (Backend cpu = new CpuBackend(); Backend reference = new ReferenceBackend()) {
      assertSame(cpu, options, data(0));
      assertSame(reference, options, data(0));
    }
  }

  @Test
  void patternsMasksAndSparsitiesOfLayersAreTheSame() throws IOException {
    PruningOptions.Builder builder = PruningOptions.builder().exclude("layer1")
        .sensitivity(Sensitivity.parse("probes:2"));
    try (Backend backend = new CpuBackend()) {
      assertSame(backend, builder.target(Target.parse("2:4")).build(), data(0));
      assertSame(backend, builder.target(new Target.Fraction(0.5, new Scope.Global()))
          .layerSparsities(List.of(LayerSparsity.parse("layer2=0.2"))).build(), data(0));
      MatrixView mask = MatrixView.allocate(arena, 4, 8);
      mask.set(1, 3, 1);
      assertSame(backend, PruningOptions.builder().target(new Target.Mask(Map.of("layer2", mask))).build(), data(0));
    }
  }

  /// What one layer's rounding matters to depends on the others.
  @ParameterizedTest
  @CsvSource({"1e4, jacobian", "1e7, jacobian"})
  void variancesThatHaveCancelledAreTheSame(float unevenness, String sensitivity) throws IOException {
    try (Backend backend = new CpuBackend()) {
      PruningOptions options = PruningOptions.builder().sparsity(0.3).sensitivity(Sensitivity.parse(sensitivity))
          .build();
      assertTrue(gather(backend, options, data(unevenness)).sums().layers().get("layer0").stream()
          .anyMatch(sums -> sums.statistic() instanceof Statistic.Variances));
      assertSame(backend, options, data(unevenness));
    }
  }

  @Test
  void refusesNeurons() throws IOException {
    try (Backend backend = new CpuBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningOptions options = PruningOptions.builder().target(new Target.Neurons(0.5, new Scope.Global())).build();
      GatheredSums sums = gather(backend, options, data(0));
      PruningPlan plan = PruningPlan.of(options, network, sums, backend);
      Elsewhere scores = Elsewhere.of(backend, device, plan, sums.sums());
      assertEquals("neurons are selected by sums over layers: their scores must be in one memory",
          assertThrows(MismatchException.class, () -> prune(backend, plan, device, scores)).getMessage());
    }
  }

  /// A cut of other scores, such as those of another kind of machine.
  @Test
  void refusesCutsOfOtherScores() throws IOException {
    try (Backend backend = new CpuBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningOptions options = PruningOptions.builder().build();
      GatheredSums sums = gather(backend, options, data(0));
      PruningPlan plan = PruningPlan.of(options, network, sums, backend);
      Elsewhere elsewhere = Elsewhere.of(backend, device, plan, sums.sums());
      try (Scores scores = elsewhere.fetch(1)) {
        scores.rank(device);
        for (long count : new long[]{0, 1, 10, 40, 80}) {
          Cut.Below right = elsewhere.cuts(List.of(1), count).getFirst();
          scores.requireSelected(right);
          if (count > 0) {
            for (Cut.Below wrong : List.of(
                new Cut.Below(Math.nextDown(right.threshold()), right.below(), right.ties(), right.equal()),
                new Cut.Below(Math.nextUp(right.threshold()), right.below(), right.ties(), right.equal()),
                new Cut.Below(right.threshold(), right.below() + 1, right.ties(), right.equal()),
                new Cut.Below(right.threshold(), right.below(), right.ties(), right.equal() + 1))) {
              assertEquals(
                  "layer layer1 has other scores here than where its weights were selected: run both on machines of "
                      + "one kind",
                  assertThrows(MismatchException.class, () -> scores.requireSelected(wrong)).getMessage());
            }
          }
        }
      }
    }
  }
}
