package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.experiment.SparsitySearch;
import dev.espalier.engine.experiment.SparsitySearch.Result;
import dev.espalier.engine.experiment.SparsitySearch.Step;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Limits.Amount;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.types.DataTypes;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SparkSearchTest {
  private static final Limits LIMITS = new Limits(Optional.of(Amount.parse("15%")), OptionalDouble.of(10),
      Optional.of(Amount.parse("40%")));

  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = Fixture.network(arena);

  @AfterEach
  void close() {
    arena.close();
  }

  private static int label(int n) {
    return n * n % 3;
  }

  private static SparkSamples samples(int partitions) {
    List<Row> rows = new ArrayList<>();
    for (float[] sample : Fixture.samples()) {
      rows.add(RowFactory.create(label(rows.size()), (Object) Fixture.boxed(sample)));
    }
    return new SparkSamples(
        Fixture.spark().createDataFrame(Fixture.context().parallelize(rows, partitions),
            DataTypes.createStructType(
                List.of(DataTypes.createStructField("y", DataTypes.IntegerType, false), Fixture.ARRAYS.apply("x")))),
        SampleColumns.of(), "x", Optional.of("y"));
  }

  private static PruningOptions options(String schedule, String repair) {
    return PruningOptions.builder().schedule(Schedule.parse(schedule)).repair(Repairs.parse(repair)).build();
  }

  private Dataset.Split onOneMachine() {
    MatrixView labels = MatrixView.allocate(arena, Fixture.SAMPLES, 1);
    for (int n = 0; n < Fixture.SAMPLES; n++) {
      labels.set(n, 0, label(n));
    }
    return Dataset.of(Fixture.onOneMachine(arena), new MatrixSamples("labels", labels)).holdOut(5);
  }

  private static void assertSameBits(DenseNetwork expected, DenseNetwork found) {
    for (int l = 0; l < expected.layers().size(); l++) {
      assertArrayEquals(expected.layers().get(l).weights().toArray(), found.layers().get(l).weights().toArray());
      assertArrayEquals(expected.layers().get(l).bias().orElseThrow().toArray(),
          found.layers().get(l).bias().orElseThrow().toArray());
    }
  }

  /// The same steps and verdicts. Biases and fitted weights differ by (10 · inputs + 1) 16 u of a layer's size at most, as in
  /// [SparkPrunerTest]: 1.2e-4 of each of three layers, and so their outputs.
  @ParameterizedTest
  @CsvSource({"oneshot, none", "geometric:0.75, none", "geometric:0.75, refit", "oneshot, joint:mse:outer=1:inner=2"})
  void findsWhatOneMachineFinds(String schedule, String repair) throws IOException {
    PruningOptions options = options(schedule, repair);
    Result found = search(options, Selection.DRIVER, Optional.empty());
    Dataset.Split split = onOneMachine();
    try (Backend backend = Device.REFERENCE.open()) {
      Result expected = new SparsitySearch(backend, network, Optional.of(split.used()), split.heldOut(),
          Optional.of(new Loss.CrossEntropy()), 16, ProgressListener.NONE).run(options, LIMITS, arena);
      assertTrue(expected.found().isPresent() && expected.steps().size() > 4, expected.steps()::toString);
      assertEquals(verdicts(expected), verdicts(found));
      assertEquals(expected.found().map(Step::sparsity), found.found().map(Step::sparsity));
      assertEquals(expected.dense().evaluation().map(Evaluation::accuracy),
          found.dense().evaluation().map(Evaluation::accuracy));
      for (int i = 0; i < expected.steps().size(); i++) {
        var one = expected.steps().get(i).judged();
        var other = found.steps().get(i).judged();
        assertEquals(one.outputChange(), other.outputChange(), 1e-3 * expected.dense().outputSquare());
        assertEquals(one.evaluation().orElseThrow().loss(), other.evaluation().orElseThrow().loss(),
            1e-3 * Math.sqrt(expected.dense().outputSquare()));
      }
      for (int l = 0; l < network.layers().size(); l++) {
        assertEquals(expected.pruned().orElseThrow().network().layers().get(l).weights().zeros(),
            found.pruned().orElseThrow().network().layers().get(l).weights().zeros());
      }
      assertEquals(expected.pruned().orElseThrow().notes(), found.pruned().orElseThrow().notes());
    }
    Result again = search(options, Selection.EXECUTORS, Optional.empty());
    assertEquals(found.steps(), again.steps());
    assertSameBits(found.pruned().orElseThrow().network(), again.pruned().orElseThrow().network());
  }

  private static List<String> verdicts(Result result) {
    return result.steps().stream().map(step -> step.sparsity() + " " + step.holds()).toList();
  }

  private Result search(PruningOptions options, Selection selection, Optional<Path> folder) throws IOException {
    return SparkSearch.of(network, samples(4), options, LIMITS, Device.REFERENCE, selection).run(folder, arena);
  }

  @Test
  void goesOnFromACheckpoint(@TempDir Path folder) throws IOException {
    PruningOptions options = options("geometric:0.75", "refit");
    Result first = search(options, Selection.DRIVER, Optional.of(folder));
    Result again = search(options, Selection.DRIVER, Optional.of(folder));
    assertEquals(Optional.empty(), again.work(), "no attempt was made again");
    assertEquals(first.steps(), again.steps());
    assertSameBits(first.pruned().orElseThrow().network(), again.pruned().orElseThrow().network());
    SparkSearch other = SparkSearch.of(network, samples(4), samples(3), options, LIMITS, Device.REFERENCE,
        Selection.DRIVER);
    assertTrue(assertThrows(MismatchException.class, () -> other.run(Optional.of(folder), arena)).getMessage()
        .contains("is of another pruning: "));
  }

  /// Judged by the samples it prunes with, all of them.
  @Test
  void judgesByOtherSamples() throws IOException {
    PruningOptions options = options("oneshot", "none");
    Result found = SparkSearch.of(network, samples(4), samples(3), options, LIMITS, Device.REFERENCE, Selection.DRIVER)
        .run(Optional.empty(), arena);
    Dataset all = Dataset.of(Fixture.onOneMachine(arena));
    assertEquals(Fixture.SAMPLES, found.dense().evaluation().orElseThrow().samples());
    try (Backend backend = Device.REFERENCE.open()) {
      Limits change = new Limits(Optional.empty(), OptionalDouble.empty(), LIMITS.outputChange());
      Result expected = new SparsitySearch(backend, network, Optional.of(all), all, Optional.empty(), 16,
          ProgressListener.NONE).run(options, change, arena);
      Result unlabelled = SparkSearch
          .of(network, samples(4), samples(3), options, change, Device.REFERENCE, Selection.DRIVER)
          .run(Optional.empty(), arena);
      assertEquals(verdicts(expected), verdicts(unlabelled));
    }
  }

  @Test
  void refusesWhatItCannotJudge() {
    PruningOptions options = options("oneshot", "none");
    SparkSamples unlabelled = SparkSamples.of(Fixture.arrays(2), SampleColumns.of("x"));
    assertEquals("the limit (loss increase 15%, accuracy drop 10, output change 40%) needs labels: name their column",
        assertThrows(MismatchException.class,
            () -> SparkSearch.of(network, unlabelled, options, LIMITS, Device.CPU, Selection.AUTO)).getMessage());
    SparkSamples few = new SparkSamples(samples(1).rows().limit(4), SampleColumns.of(), "x", Optional.of("y"));
    assertEquals("1 in 5 samples of x: there are too few to hold out any, 4 samples", assertThrows(
        MismatchException.class,
        () -> SparkSearch.of(network, few, options, LIMITS, Device.CPU, Selection.AUTO).run(Optional.empty(), arena))
        .getMessage());
    SparkSamples rows = new SparkSamples(samples(2).rows().selectExpr("x", "array(0, 1, 0) as y"), SampleColumns.of(),
        "x", Optional.of("y"));
    assertEquals("labels that are no class indices need a loss by name: mse, cross-entropy or binary-cross-entropy",
        assertThrows(MismatchException.class, () -> SparkSearch
            .of(network, rows, options, LIMITS, Device.CPU, Selection.AUTO).run(Optional.empty(), arena)).getMessage());
  }
}
