package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import dev.espalier.engine.statistics.SumsTotal;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class GatheringTest {
  private static final int PARTS = 3;

  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(12, 10, 8, 4),
      List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  private final Dataset data = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 100, 12, 1, 0.5));

  @AfterEach
  void close() {
    arena.close();
  }

  private Path gather(Backend backend, PruningOptions options, int part, int parts) throws IOException {
    Path file = folder.resolve("%s-%d-of-%d".formatted(options.criterion(), part, parts));
    PruningPlan plan = PruningPlan.of(options, network, Optional.of(data), backend);
    Gathering.gather(backend, network, plan, data, part, parts, Map.of(), ProgressListener.NONE, arena).write(file,
        true);
    return file;
  }

  private GatheredSums merged(Backend backend, PruningOptions options) throws IOException {
    List<Path> files = new ArrayList<>();
    for (int part = 1; part <= PARTS; part++) {
      files.add(gather(backend, options, part, PARTS));
    }
    return GatheredSums.merge(files, arena);
  }

  /// P parts, each rounded to float32, and P − 1 merges that round again, put M0, M1 and M2 off by (2P + 1)·u·S at
  /// most, with u = 2⁻²⁴ and S = (√M2 + D √M0)², which bounds M2 around any of the pilot means, D apart; M1 by √(M0 S).
  /// An importance W² (M2 − M1²/M0) / N is off by four times that, and so may be the one of all samples at once.
  @ParameterizedTest
  @ValueSource(strings = {"jacobian", "probes:3", "fisher:2", "jacobian:smooth=0.3"})
  void scoresOfPartsAreThoseOfTheWholeToRounding(String sensitivity) throws IOException {
    PruningOptions options = PruningOptions.builder().sensitivity(Sensitivity.parse(sensitivity)).seed(3).batchSize(7)
        .build();
    try (Backend backend = new ReferenceBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan whole = PruningPlan.of(options, network, Optional.of(data), backend);
      GatheredSums merged = merged(backend, options);
      GatheredSums one = GatheredSums.read(gather(backend, options, 1, 1), arena);
      assertEquals(100, merged.sums().samples());
      assertEquals(List.of(), merged.provenance().missing());
      try (Scores expected = Scorer.score(backend, device, whole.scoring(), Optional.of(data), ProgressListener.NONE);
          Scores found = Scorer.score(backend, device, whole.scoring(), merged.sums())) {
        for (int l = 0; l < 3; l++) {
          MatrixView weights = network.layers().get(l).weights();
          double[] right = TestNetworks.values(backend, expected.importance(l));
          double[] values = TestNetworks.values(backend, found.importance(l));
          Sums sums = moments(one, l);
          double apart = 0;
          for (int part = 1; part <= PARTS; part++) {
            apart = Math.max(apart,
                apart(sums, moments(GatheredSums.read(gather(backend, options, part, PARTS), arena), l)));
          }
          for (int i = 0; i < weights.rows(); i++) {
            for (int j = 0; j < weights.columns(); j++) {
              double root = Math.sqrt(sums.array("m2").get(i, j)) + apart * Math.sqrt(sums.array("m0").get(0, i));
              double bound = 8 * (2 * PARTS + 1) * 0x1p-24 * root * root * Math.pow(weights.get(i, j), 2) / 100;
              int at = i * weights.columns() + j;
              assertEquals(right[at], values[at], bound, "layer %d at [%d, %d]".formatted(l, i, j));
            }
          }
        }
      }
    }
  }

  private static Sums moments(GatheredSums gathered, int layer) {
    return gathered.sums().layers().get("layer" + layer).stream()
        .filter(sums -> sums.statistic() instanceof Statistic.WeightedMoments).findFirst().orElseThrow();
  }

  /// The largest distance of pilot means.
  private static double apart(Sums a, Sums b) {
    double largest = 0;
    for (int j = 0; j < a.inputs(); j++) {
      largest = Math.max(largest, Math.abs(a.array("pilot_mean").get(0, j) - b.array("pilot_mean").get(0, j)));
    }
    return largest;
  }

  @Test
  void aPartIsTheSameBytesEachTimeAndPrunesExactly() throws IOException {
    for (Criterion criterion : List.of(new Criterion.EliminationCompensation(), new Criterion.Wanda())) {
      PruningOptions options = PruningOptions.builder().criterion(criterion).sparsity(0.7).build();
      try (Backend cpu = new CpuBackend()) {
        byte[] first = Files.readAllBytes(gather(cpu, options, 2, PARTS));
        assertArrayEquals(first, Files.readAllBytes(gather(cpu, options, 2, PARTS)));
        PruningPlan plan = PruningPlan.of(options, network, merged(cpu, options), cpu);
        PruningResult result;
        try (DeviceNetwork device = DeviceNetwork.copyOf(cpu, network)) {
          result = new Pruner(cpu, options).prune(plan, network, device, Optional.empty(), ProgressListener.NONE,
              arena);
        }
        PruningResult whole = new Pruner(cpu, options).prune(network, data, arena);
        assertEquals(Math.round(0.7 * 232), result.removed());
        for (int l = 0; l < 3; l++) {
          assertEquals(whole.layers().get(l).removed(), result.layers().get(l).removed());
        }
        assertTrue(result.measuredChange().isEmpty());
      }
    }
  }

  @Test
  void refusesWhatTheStatisticsDoNotTell() throws IOException {
    PruningOptions options = PruningOptions.builder().exclude("layer2").build();
    try (Backend backend = new ReferenceBackend()) {
      GatheredSums sums = merged(backend, options);
      refused("the statistics lack layer layer2", PruningOptions.builder(), sums, backend);
      PruningOptions.Builder some = PruningOptions.builder().exclude("layer2");
      refused("the statistics are of other options: new-bias is false, not true",
          PruningOptions.builder().exclude("layer2").newBias(true), sums, backend);
      refused("the statistics are of other options: sensitivity is jacobian, not probes:2",
          PruningOptions.builder().exclude("layer2").sensitivity(new Sensitivity.Probes(2)), sums, backend);
      refused("schedule linear:2 scores the network again in each round, which needs samples: use oneshot",
          PruningOptions.builder().exclude("layer2").schedule(new Schedule.Linear(2)), sums, backend);
      PruningOptions nonlinear = PruningOptions.builder().criterion(new Criterion.NonlinearEliminationCompensation())
          .build();
      assertEquals("criterion ec-nonlinear needs calibration samples",
          assertThrows(MissingDataException.class, () -> PruningPlan.of(nonlinear, network, sums, backend))
              .getMessage());
      assertEquals("criterion ec-nonlinear does not follow from statistics: it needs the samples themselves",
          assertThrows(MismatchException.class, () -> gather(backend, nonlinear, 1, 1)).getMessage());
      assertEquals("repair refit needs calibration samples", assertThrows(MissingDataException.class,
          () -> PruningPlan.of(some.repair(new Repair.Refit()).build(), network, sums, backend)).getMessage());
    }
  }

  private void refused(String message, PruningOptions.Builder options, GatheredSums sums, Backend backend) {
    assertEquals(message,
        assertThrows(MismatchException.class, () -> PruningPlan.of(options.build(), network, sums, backend))
            .getMessage());
  }

  /// One pilot mean for an input of two clusters far apart, which two neurons look at.
  private Dataset twoClusters() {
    MatrixView samples = MatrixView.allocate(arena, 100, 12);
    for (int n = 0; n < 100; n++) {
      for (int j = 0; j < 12; j++) {
        samples.set(n, j, (float) (Math.sin(n * 12 + j) + (j == 3 && n % 10 == 0 ? 1e7 : 0)));
      }
    }
    return TestNetworks.source(samples);
  }

  /// Two samples, which give the pilot mean, and many others far from them.
  private Dataset farFromPilot() {
    MatrixView samples = MatrixView.allocate(arena, 4000, 12);
    for (int n = 0; n < 4000; n++) {
      for (int j = 0; j < 12; j++) {
        samples.set(n, j, (float) (Math.sin(n * 12 + j) + (j == 3 && n > 1 ? 1e7 : 0)));
      }
    }
    return TestNetworks.source(samples);
  }

  /// The variances of the inputs that have cancelled, of parts, are those of all samples; scores follow from them.
  @ParameterizedTest
  @ValueSource(strings = {"jacobian", "jacobian:smooth=0.3"})
  void variancesOfPartsMendSums(String sensitivity) throws IOException {
    Dataset far = sensitivity.equals("jacobian") ? twoClusters() : farFromPilot();
    try (Backend backend = new ReferenceBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan plan = PruningPlan.of(
          PruningOptions.builder().sensitivity(Sensitivity.parse(sensitivity)).batchSize(2).build(), network,
          Optional.of(far), backend);
      NetworkSums sums = Gathering.gather(backend, network, plan, far, 1, 1, Map.of(), ProgressListener.NONE, arena)
          .sums();
      Map<String, CancelledInputs> inputs = Scorer.cancelled(backend, device, plan.scoring(), sums);
      assertTrue(inputs.size() > 0, "variances have cancelled");
      Map<String, List<Sums>> mended = new LinkedHashMap<>(sums.layers());
      for (String layer : inputs.keySet()) {
        Sums expected = variances(backend, device, plan, far, inputs).layers().get(layer).getFirst();
        SumsTotal total = new SumsTotal(
            variances(backend, device, plan, far.part(1, 3), inputs).layers().get(layer).getFirst());
        for (int part = 2; part <= 3; part++) {
          total.add(variances(backend, device, plan, far.part(part, 3), inputs).layers().get(layer).getFirst());
        }
        Sums found = total.sums(arena);
        float[] right = expected.array("variance").toArray();
        float[] means = expected.array("mean").toArray();
        for (int at = 0; at < right.length; at++) {
          // Positive terms of three parts are rounded to float32, and their total.
          assertEquals(right[at], found.array("variance").toArray()[at], 8 * 0x1p-24 * right[at]);
          assertEquals(means[at], found.array("mean").toArray()[at], 8 * 0x1p-24 * Math.abs(means[at]));
        }
        mended.put(layer, Stream.concat(sums.layers().get(layer).stream(), Stream.of(found)).toList());
      }
      Scorer.score(backend, device, plan.scoring(), new NetworkSums(far.samples().samples(), mended)).close();
    }
  }

  private NetworkSums variances(Backend backend, DeviceNetwork device, PruningPlan plan, Dataset data,
      Map<String, CancelledInputs> inputs) throws IOException {
    return Scorer.variances(backend, device, plan.scoring(), data, inputs, ProgressListener.NONE, arena);
  }

  @Test
  void refusesSumsInWhichVariancesHaveCancelled() throws IOException {
    Dataset far = twoClusters();
    PruningOptions options = PruningOptions.builder().build();
    try (Backend backend = new ReferenceBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(far), backend);
      GatheredSums sums = Gathering.gather(backend, network, plan, far, 1, 1, Map.of(), ProgressListener.NONE, arena);
      String message = assertThrows(MismatchException.class,
          () -> Scorer.score(backend, device, plan.scoring(), sums.sums()).close()).getMessage();
      assertTrue(message.startsWith("layer layer") && message.contains("have cancelled in the statistics"), message);
    }
  }
}
