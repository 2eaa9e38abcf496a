package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.training.RandomNetwork;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.apache.spark.FetchFailed;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.sql.Row;
import org.apache.spark.util.LongAccumulator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class SparkPrunerTest {
  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = Fixture.network(arena);

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void prunesAsOneMachine() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6).build();
    PruningResult found = new SparkPruner(options, Device.CPU).prune(network,
        SparkSamples.of(Fixture.arrays(4), SampleColumns.of("x")), arena);
    try (Backend backend = Device.CPU.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network, Dataset.of(Fixture.onOneMachine(arena)),
          arena);
      assertEquals(expected.removed(), found.removed());
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer one = expected.network().layers().get(l);
        DenseLayer other = found.network().layers().get(l);
        assertArrayEquals(one.weights().toArray(), other.weights().toArray(), one.name());
        assertBiases(one, other, Fixture.largestInputs(network, l));
      }
    }
  }

  /// Both select among the same scores, and remove by the same sums. Tiles of four neurons and inputs, so that layers have
  /// several.
  @ParameterizedTest
  @CsvSource({"0.6, ec, global", "0.97, ec, global", "0.5, wanda, layer", "0.5, random, row", "0, ec, 2:4"})
  void executorsSelectTheSameBits(double sparsity, String criterion, String scope) throws IOException {
    Target target = scope.contains(":") ? Target.parse(scope) : new Target.Fraction(sparsity, Scope.parse(scope));
    PruningOptions options = PruningOptions.builder().criterion(Criterion.parse(criterion))
        .compensation(Compensation.parse("bias")).target(target).minPerLayer(7).exclude("layer2").build();
    assertExecutorsSelect(options, Fixture.samples());
  }

  private void assertExecutorsSelect(PruningOptions options, float[]... rows) throws IOException {
    SparkSamples samples = SparkSamples.of(Fixture.arrays(3, rows), SampleColumns.of("x"));
    for (Device on : List.of(Device.CPU, Device.REFERENCE)) {
      SparkScorer scorer = SparkScorer.of(network, samples, options, on, 4);
      PruningResult expected = new SparkPruner(options, on, Selection.DRIVER).prune(network, scorer, arena);
      SparkPruner pruner = new SparkPruner(options, on, Selection.EXECUTORS);
      PruningResult found = pruner.prune(network, scorer, arena);
      assertEquals(expected.layers(), found.layers());
      assertEquals(expected.notes(), found.notes());
      for (int l = 0; l < network.layers().size(); l++) {
        assertArrayEquals(expected.network().layers().get(l).weights().toArray(),
            found.network().layers().get(l).weights().toArray());
        assertArrayEquals(expected.network().layers().get(l).bias().orElseThrow().toArray(),
            found.network().layers().get(l).bias().orElseThrow().toArray());
      }
      assertTrue(Fixture.spark().sparkContext().getPersistentRDDs().isEmpty(), "nothing stays on the executors");
    }
  }

  /// As when executors die that kept them: all is computed again, from what was shuffled.
  @Test
  void lostScoresComeBack() throws IOException {
    PruningOptions options = PruningOptions.builder().build();
    SparkScorer scorer = SparkScorer.of(network, SparkSamples.of(Fixture.arrays(3), SampleColumns.of("x")), options,
        Device.CPU, 4);
    try (Backend backend = Device.CPU.open();
        DeviceNetwork working = DeviceNetwork.copyOf(backend, network);
        ScoresOnExecutors scores = scorer.scoreOnExecutors(backend, working)) {
      List<Cut.Below> expected = scores.cuts(List.of(0, 1, 2), 100);
      Fixture.context().getPersistentRDDs().values().forEach(kept -> kept.unpersist(true));
      assertEquals(expected, scores.cuts(List.of(0, 1, 2), 100));
      for (int i = 0; i < 3; i++) {
        try (Scores layer = scores.fetch(i)) {
          layer.rank(working);
          layer.requireSelected(expected.get(i));
        }
      }
    }
  }

  /// As when the disks of an executor fail between two stages: a task that reads says so, and the sums are sent again.
  @Test
  void lostShuffleFilesComeBack() throws Exception {
    PruningOptions options = PruningOptions.builder().build();
    SparkScorer scorer = SparkScorer.of(network, SparkSamples.of(Fixture.arrays(3), SampleColumns.of("x")), options,
        Device.CPU, 4);
    AtomicInteger failures = new AtomicInteger();
    SparkListener listener = new SparkListener() {
      @Override
      public void onTaskEnd(SparkListenerTaskEnd end) {
        failures.addAndGet(end.reason() instanceof FetchFailed ? 1 : 0);
      }
    };
    Fixture.spark().sparkContext().addSparkListener(listener);
    try (Backend backend = Device.CPU.open();
        DeviceNetwork working = DeviceNetwork.copyOf(backend, network);
        ScoresOnExecutors scores = scorer.scoreOnExecutors(backend, working)) {
      List<Cut.Below> expected = scores.cuts(List.of(0, 1, 2), 100);
      Fixture.context().getPersistentRDDs().values().forEach(kept -> kept.unpersist(true));
      assertTrue(deleteShuffleFiles() > 0);
      assertEquals(expected, scores.cuts(List.of(0, 1, 2), 100));
      Fixture.spark().sparkContext().listenerBus().waitUntilEmpty();
      assertTrue(failures.get() > 0, "a task has missed the files");
    } finally {
      Fixture.spark().sparkContext().removeSparkListener(listener);
    }
  }

  private static int deleteShuffleFiles() throws IOException {
    int deleted = 0;
    for (File folder : SparkEnv.get().blockManager().diskBlockManager().localDirs()) {
      try (Stream<Path> all = Files.walk(folder.toPath())) {
        for (Path file : all.filter(each -> each.getFileName().toString().matches("shuffle_.*\\.data")).toList()) {
          Files.delete(file);
          deleted++;
        }
      }
    }
    return deleted;
  }

  /// One more reads the first samples, of the first partition alone.
  @ParameterizedTest
  @CsvSource({"oneshot, none, 2", "linear:2, refit, 9"})
  void theDataAreReadAsOftenAsPlanned(String schedule, String repair, int passes) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6).schedule(Schedule.parse(schedule))
        .repair(Repairs.parse(repair)).build();
    LongAccumulator read = Fixture.spark().sparkContext().longAccumulator();
    JavaRDD<Row> rows = Fixture.arrayRows(3).mapPartitionsWithIndex((partition, all) -> {
      read.add(partition == 2 ? 1 : 0);
      return all;
    }, false);
    SparkScorer scorer = SparkScorer.of(network,
        SparkSamples.of(Fixture.spark().createDataFrame(rows, Fixture.ARRAYS), SampleColumns.of("x")), options,
        Device.CPU);
    SparkPruner pruner = new SparkPruner(options, Device.CPU, Selection.DRIVER);
    pruner.prune(network, scorer, arena);
    assertEquals(passes, read.value());
    String plan = pruner.plan(scorer);
    assertTrue(passes == scorer.plan().passes()
        ? !plan.contains("passes")
        : plan.endsWith("; %d passes over the data in all".formatted(passes)), plan);
  }

  @Test
  void executorsSelectWhereTheScoresDoNotFit() {
    PruningOptions options = PruningOptions.builder().build();
    SparkScorer scorer = SparkScorer.of(network, SparkSamples.of(Fixture.arrays(2), SampleColumns.of("x")), options,
        Device.CPU);
    assertEquals(Selection.DRIVER, new SparkPruner(options, Device.CPU).selection(scorer));
    assertTrue(SparkPruner.fits(1000, 2000));
    assertFalse(SparkPruner.fits(1001, 2000));
  }

  /// A bias moves by wᵢⱼ times a weighted mean of aⱼ for each weight that is removed. A sum of n terms rounds n times,
  /// with n u of their sizes at most: that is n u |aⱼ| of a mean, for each of M0 and M1, on each of the two machines.
  private static void assertBiases(DenseLayer one, DenseLayer other, double... largest) {
    for (int i = 0; i < one.outputs(); i++) {
      double tolerance = 0;
      for (int j = 0; j < one.inputs(); j++) {
        tolerance += 4 * Fixture.SAMPLES * 0x1p-24 * largest[j];
      }
      assertEquals(one.bias().orElseThrow().get(0, i), other.bias().orElseThrow().get(0, i), tolerance);
    }
  }

  /// Conjugate gradients solve (H + λ h I) D = C, where h is the mean of H's diagonal, and λ = 0.1 for so few samples: the
  /// largest eigenvalue of H is at most its trace, so the condition number is at most 10 · inputs + 1. H and C are rounded
  /// by some units, as the products of each iteration are.
  @Test
  void refitsInRoundsAsOneMachine() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6)
        .layerSparsities(List.of(LayerSparsity.parse("layer1=0.2"))).schedule(Schedule.parse("linear:3"))
        .repair(new Repair.Refit()).build();
    PruningResult found = new SparkPruner(options, Device.REFERENCE).prune(network,
        SparkSamples.of(Fixture.arrays(4), SampleColumns.of("x")), arena);
    try (Backend backend = Device.REFERENCE.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network, Dataset.of(Fixture.onOneMachine(arena)),
          arena);
      assertEquals(expected.removed(), found.removed());
      assertEquals(expected.notes(), found.notes());
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer one = expected.network().layers().get(l);
        DenseLayer other = found.network().layers().get(l);
        double size = Math.sqrt(one.weights().squaredNorm());
        double tolerance = (10.0 * one.inputs() + 1) * 16 * 0x1p-24 * size;
        assertArrayEquals(one.weights().toArray(), other.weights().toArray(), (float) tolerance, one.name());
        assertEquals(one.weights().zeros(), other.weights().zeros());
        assertTrue(one.weights().squaredDistance(network.layers().get(l).weights()) > 0, "the layer was refitted");
      }
    }
  }

  /// One pilot mean for an input of two clusters far apart: a second pass sums the variances that cancel.
  @Test
  void carriesCancelledVariances() throws IOException {
    float[][] rows = Fixture.samples();
    for (int n = 0; n < rows.length; n++) {
      rows[n][3] += n % 10 == 0 ? 1e7f : 0;
    }
    PruningOptions options = PruningOptions.builder().sparsity(0.3).build();
    assertExecutorsSelect(options, rows);
    SparkSamples samples = SparkSamples.of(Fixture.arrays(3, rows), SampleColumns.of("x"));
    PruningResult found = new SparkPruner(options, Device.REFERENCE).prune(network, samples, arena);
    try (Backend backend = Device.REFERENCE.open(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      GatheredSums sums = SparkScorer.of(network, samples, options, Device.REFERENCE).gather(arena);
      PruningPlan plan = PruningPlan.of(options, network, sums, backend);
      assertFalse(Scorer.cancelled(backend, device, plan.scoring(), sums.sums()).isEmpty());
      PruningResult expected = new Pruner(backend, options).prune(network,
          Dataset.of(Fixture.onOneMachine(arena, rows)), arena);
      for (int l = 0; l < network.layers().size(); l++) {
        assertArrayEquals(expected.network().layers().get(l).weights().toArray(),
            found.network().layers().get(l).weights().toArray());
        float[] biases = expected.network().layers().get(l).bias().orElseThrow().toArray();
        for (int i = 0; i < biases.length; i++) {
          assertEquals(biases[i], found.network().layers().get(l).bias().orElseThrow().get(0, i),
              1e-5 * Math.abs(biases[i]) + 1e-4);
        }
      }
    }
  }

  @Test
  void refitsToTheSameBits() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.5).repair(new Repair.Refit()).build();
    SparkSamples samples = SparkSamples.of(Fixture.arrays(3), SampleColumns.of("x"));
    PruningResult first = new SparkPruner(options, Device.CPU).prune(network, samples, arena);
    PruningResult second = new SparkPruner(options, Device.CPU).prune(network, samples, arena);
    for (int l = 0; l < network.layers().size(); l++) {
      assertArrayEquals(first.network().layers().get(l).weights().toArray(),
          second.network().layers().get(l).weights().toArray());
      assertArrayEquals(first.network().layers().get(l).bias().orElseThrow().toArray(),
          second.network().layers().get(l).bias().orElseThrow().toArray());
    }
  }

  /// Gauss-Newton steps by the same passes in other parts: what they achieve is the same to rounding, and repeats its bits.
  @ParameterizedTest
  @ValueSource(strings = {"joint:mse:outer=2:inner=3", "refit+joint:kl:4:outer=1:inner=3"})
  void repairsJointlyAsOneMachine(Repairs repair) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6).repair(repair).exclude("layer2").build();
    SparkSamples samples = SparkSamples.of(Fixture.arrays(4), SampleColumns.of("x"));
    SparkPruner pruner = new SparkPruner(options, Device.REFERENCE);
    DenseNetwork found = pruner.prune(network, samples, arena).network();
    DenseNetwork again = pruner.prune(network, samples, arena).network();
    try (Backend backend = Device.REFERENCE.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network, Dataset.of(Fixture.onOneMachine(arena)),
          arena);
      DenseNetwork unrepaired = new Pruner(backend, PruningOptions.builder().sparsity(0.6).exclude("layer2").build())
          .prune(network, Dataset.of(Fixture.onOneMachine(arena)), arena).network();
      for (int l = 0; l < network.layers().size(); l++) {
        float[] one = expected.network().layers().get(l).weights().toArray();
        float[] other = found.layers().get(l).weights().toArray();
        double size = Math.sqrt(expected.network().layers().get(l).weights().squaredNorm());
        // Products are rounded to float32 on the way, and each step multiplies that by its condition, of about 1/λ = 100.
        assertArrayEquals(one, other, (float) (1000 * 0x1p-24 * size), network.layers().get(l).name());
        assertEquals(expected.network().layers().get(l).weights().zeros(), found.layers().get(l).weights().zeros());
        assertArrayEquals(other, again.layers().get(l).weights().toArray());
        assertArrayEquals(found.layers().get(l).bias().orElseThrow().toArray(),
            again.layers().get(l).bias().orElseThrow().toArray());
      }
      assertTrue(unrepaired.layers().getFirst().weights().squaredDistance(found.layers().getFirst().weights()) > 0,
          "the joint repair has moved weights");
    }
  }

  /// Scores and repairs of a layer that two nodes use, as on one machine.
  @ParameterizedTest
  @ValueSource(strings = {"joint:mse:outer=1:inner=2", "refit"})
  void prunesTiedLayersAsOneMachine(Repairs repair) throws IOException {
    Graph.Builder builder = new Graph.Builder(Fixture.INPUTS);
    int first = builder.activate(builder.dense("a", 0, 5), Activation.TANH);
    int step = builder.activate(builder.dense("step", first, 5), Activation.TANH);
    builder.dense("b", builder.activate(builder.again(step - 1, step), Activation.TANH), 3);
    DenseNetwork tied = RandomNetwork.of(builder.build(), 4, arena);
    PruningOptions options = PruningOptions.builder().sparsity(0.5).repair(repair).build();
    SparkSamples samples = SparkSamples.of(Fixture.arrays(3), SampleColumns.of("x"));
    DenseNetwork found = new SparkPruner(options, Device.REFERENCE).prune(tied, samples, arena).network();
    try (Backend backend = Device.REFERENCE.open()) {
      DenseNetwork expected = new Pruner(backend, options).prune(tied, Dataset.of(Fixture.onOneMachine(arena)), arena)
          .network();
      for (int l = 0; l < 3; l++) {
        assertArrayEquals(expected.layers().get(l).weights().toArray(), found.layers().get(l).weights().toArray(),
            1e-3f);
        assertEquals(expected.layers().get(l).weights().zeros(), found.layers().get(l).weights().zeros());
      }
    }
    SparkPruner onExecutors = new SparkPruner(PruningOptions.builder().build(), Device.REFERENCE, Selection.EXECUTORS);
    assertEquals(
        "layers that several nodes use are selected on the driver, and this network has step (2 times): use the "
            + "selection driver or auto",
        assertThrows(MismatchException.class, () -> onExecutors.prune(tied, samples, arena)).getMessage());
  }

  @Test
  void whatIsNotDoneIsRefused() {
    assertEquals("repair distill trains, which Spark does not: use refit, joint, refit+joint or none",
        assertThrows(MismatchException.class,
            () -> new SparkPruner(PruningOptions.builder().repair(Repairs.parse("distill")).build(), Device.CPU))
            .getMessage());
  }
}
