package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.apache.spark.TaskContext;
import org.apache.spark.ml.linalg.DenseVector;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SparkScorerTest {
  private static final double UNIT_ROUNDOFF = 0x1p-24;
  private static final int PARTITIONS = 5;
  private static final int ROWS = Fixture.SAMPLES / PARTITIONS;
  private static final SampleColumns X = SampleColumns.of("x");

  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = Fixture.network(arena);

  @AfterEach
  void close() {
    arena.close();
  }

  private static PruningOptions.Builder options() {
    return PruningOptions.builder().batchSize(ROWS);
  }

  private GatheredSums gather(SparkSamples samples, PruningOptions options, Device device, int side)
      throws IOException {
    return SparkScorer.of(network, samples, options, device, side).gather(arena);
  }

  private GatheredSums gather(org.apache.spark.sql.Dataset<Row> rows) throws IOException {
    return gather(SparkSamples.of(rows, X), options().build(), Device.CPU, Tiles.SIDE);
  }

  private GatheredSums onOneMachine(PruningOptions options, int part, int parts) throws IOException {
    Dataset data = Dataset.of(Fixture.onOneMachine(arena));
    try (Backend backend = Device.REFERENCE.open()) {
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(data), backend);
      return Gathering.gather(backend, network, plan, data, part, parts, Map.of(), ProgressListener.NONE, arena);
    }
  }

  /// The first batch is the first partition, so both are taken around the same pilot mean c. Each partition's sums are
  /// rounded to float32 once, around a pilot mean c′ of its own, which is rounded too, the total once more, and groups
  /// of more than 32 partitions once in between; d = c′ − c.
  @ParameterizedTest
  @CsvSource({Tiles.SIDE + ", 5, 3", "4, 5, 3", "4, 60, 4"})
  void sumsAreThoseOfOneMachineWithinRounding(int side, int partitions, int roundings) throws IOException {
    double unit = roundings * UNIT_ROUNDOFF;
    PruningOptions options = options().batchSize(Fixture.SAMPLES / partitions).build();
    NetworkSums found = gather(SparkSamples.of(Fixture.arrays(partitions), X), options, Device.REFERENCE, side).sums();
    NetworkSums expected = onOneMachine(options, 1, 1).sums();
    assertEquals(expected.layers().keySet(), found.layers().keySet());
    assertEquals(Fixture.SAMPLES, found.samples());
    List<NetworkSums> parts = new ArrayList<>();
    for (int p = 1; p <= partitions; p++) {
      parts.add(onOneMachine(options, p, partitions).sums());
    }
    for (String layer : expected.layers().keySet()) {
      Sums exact = expected.layers().get(layer).getFirst();
      Sums total = found.layers().get(layer).getFirst();
      List<Sums> own = parts.stream().map(part -> part.layers().get(layer).getFirst()).toList();
      assertArrayEquals(exact.array("pilot_mean").toArray(), total.array("pilot_mean").toArray());
      for (int i = 0; i < exact.outputs(); i++) {
        double m0 = exact.array("m0").get(0, i);
        assertEquals(m0, total.array("m0").get(0, i), unit * m0);
        for (int j = 0; j < exact.inputs(); j++) {
          double firsts = 0;
          double seconds = 0;
          for (Sums part : own) {
            double c = Math.abs(part.array("pilot_mean").get(0, j));
            double d = Math.abs((double) part.array("pilot_mean").get(0, j) - exact.array("pilot_mean").get(0, j));
            double own0 = part.array("m0").get(0, i);
            double own1 = Math.abs(part.array("m1").get(i, j));
            firsts += own1 + (d + 2 * c) * own0;
            seconds += part.array("m2").get(i, j) + 2 * (d + 2 * c) * (own1 + d * own0) + d * d * own0;
          }
          assertEquals(exact.array("m1").get(i, j), total.array("m1").get(i, j), unit * firsts);
          assertEquals(exact.array("m2").get(i, j), total.array("m2").get(i, j), unit * seconds);
        }
      }
    }
  }

  @Test
  void tilesChangeNoBit() throws IOException {
    SparkSamples samples = SparkSamples.of(Fixture.arrays(PARTITIONS), X);
    assertSameBits(gather(samples, options().build(), Device.CPU, Tiles.SIDE).sums(),
        gather(samples, options().build(), Device.CPU, 2).sums());
  }

  @Test
  void columnsOfNumbersAreAsArrays() throws IOException {
    SparkSamples columns = SparkSamples.of(Fixture.columns(PARTITIONS), SampleColumns.of("a", "b", "c", "d", "e"));
    assertSameBits(gather(Fixture.arrays(PARTITIONS)).sums(),
        gather(columns, options().build(), Device.CPU, Tiles.SIDE).sums());
  }

  /// Dense and sparse ones of Spark ML.
  @Test
  void vectorsAreAsArrays() throws IOException {
    List<Row> rows = new ArrayList<>();
    float[][] samples = Fixture.samples();
    for (int n = 0; n < samples.length; n++) {
      samples[n][2] = n % 2 == 0 ? samples[n][2] : 0;
      DenseVector dense = new DenseVector(
          IntStream.range(0, Fixture.INPUTS).mapToDouble(doubles(samples[n])).toArray());
      rows.add(RowFactory.create(n % 2 == 0 ? dense : dense.toSparse()));
    }
    StructType schema = new StructType().add("x", SQLDataTypes.VectorType());
    assertSameBits(gather(Fixture.arrays(PARTITIONS, samples)).sums(),
        gather(Fixture.spark().createDataFrame(Fixture.context().parallelize(rows, PARTITIONS), schema)).sums());
  }

  private static IntToDoubleFunction doubles(float... values) {
    return i -> values[i];
  }

  @Test
  void parquetIsReadAsItWasWritten(@TempDir Path folder) throws IOException {
    String file = folder.resolve("x.parquet").toString();
    Fixture.arrays(1).write().parquet(file);
    assertSameBits(gather(Fixture.arrays(1)).sums(), gather(Fixture.spark().read().parquet(file)).sums());
  }

  /// Probes depend on the position of a sample among all.
  @Test
  void probesAreThoseOfOneMachine() throws IOException {
    PruningOptions options = options().sensitivity(new Sensitivity.Probes(2)).seed(3).build();
    Sums found = gather(SparkSamples.of(Fixture.arrays(PARTITIONS), X), options, Device.REFERENCE, Tiles.SIDE).sums()
        .layers().get("layer1").getFirst();
    Sums expected = onOneMachine(options, 1, 1).sums().layers().get("layer1").getFirst();
    for (int i = 0; i < expected.outputs(); i++) {
      double m0 = expected.array("m0").get(0, i);
      assertEquals(m0, found.array("m0").get(0, i), 3 * UNIT_ROUNDOFF * m0);
    }
  }

  @Test
  void wandaAndScalesAreGathered() throws IOException {
    PruningOptions options = options().criterion(new Criterion.Wanda()).build();
    SampleColumns halves = new SampleColumns(List.of("x"), Optional.of(new Scale(1, 2)));
    GatheredSums found = gather(SparkSamples.of(Fixture.arrays(PARTITIONS), halves), options, Device.REFERENCE, 2);
    Sums squares = found.sums().layers().get("layer1").getFirst();
    Sums expected = onOneMachine(options, 1, 1).sums().layers().get("layer1").getFirst();
    for (int j = 0; j < Fixture.INPUTS; j++) {
      double quarter = expected.array("squares").get(0, j) / 4;
      assertEquals(quarter, squares.array("squares").get(0, j), 3 * UNIT_ROUNDOFF * quarter);
    }
    assertEquals("1.0/2.0", found.provenance().options().get("scale"));
  }

  /// So files of Spark's sums merge with those of `score --part`, and a pruning takes them.
  @Test
  void provenanceIsThatOfOneMachine() throws IOException {
    GatheredSums found = gather(Fixture.arrays(PARTITIONS));
    GatheredSums expected = onOneMachine(options().build(), 1, 1);
    assertEquals(expected.provenance().model(), found.provenance().model());
    assertEquals(expected.provenance().options(), found.provenance().options());
    assertEquals(expected.provenance().ranges().getFirst().data(), found.provenance().ranges().getFirst().data());
    assertEquals(Fixture.SAMPLES, found.provenance().ranges().getFirst().total());
  }

  @Test
  void partitionsWithoutRowsSendNothing() throws IOException {
    org.apache.spark.sql.Dataset<Row> rows = Fixture.arrays(3);
    org.apache.spark.sql.Dataset<Row> none = rows.limit(0);
    assertSameBits(gather(rows).sums(), gather(none.union(rows).union(none)).sums());
  }

  @Test
  void failedAttemptsChangeNoBit() throws IOException {
    NetworkSums expected = gather(Fixture.arrays(PARTITIONS)).sums();
    assertSameBits(expected, gather(Fixture.arrays(PARTITIONS)).sums());
    var failing = Fixture.arrayRows(PARTITIONS).mapPartitionsWithIndex((partition, rows) -> {
      List<Row> half = new ArrayList<>();
      for (int i = 0; i < ROWS / 2; i++) {
        half.add(rows.next());
      }
      if (partition % 2 == 0 && TaskContext.get().attemptNumber() == 0) {
        throw new IllegalStateException("a first attempt fails");
      }
      rows.forEachRemaining(half::add);
      return half.iterator();
    }, false);
    assertSameBits(expected, gather(Fixture.spark().createDataFrame(failing, Fixture.ARRAYS)).sums());
  }

  /// Compression is off in these tests.
  @Test
  void whatIsShuffledIsWhatWasPlanned() throws Exception {
    SparkScorer scorer = SparkScorer.of(network, SparkSamples.of(Fixture.arrays(PARTITIONS), X), options().build(),
        Device.CPU, 4);
    AtomicLong written = new AtomicLong();
    SparkListener listener = new SparkListener() {
      @Override
      public void onTaskEnd(SparkListenerTaskEnd end) {
        written.addAndGet(end.taskMetrics().shuffleWriteMetrics().bytesWritten());
      }
    };
    Fixture.spark().sparkContext().addSparkListener(listener);
    try {
      scorer.gather(arena);
      Fixture.spark().sparkContext().listenerBus().waitUntilEmpty();
    } finally {
      Fixture.spark().sparkContext().removeSparkListener(listener);
    }
    GatheringPlan plan = scorer.plan();
    assertEquals(PARTITIONS, plan.partitions());
    assertEquals(3 * 2 + 3 * 3 + 1 * 3, plan.tiles());
    long values = PARTITIONS * Float.BYTES
        * (2L * (12 * 5 + 9 * 12 + 3 * 9) + (2 * 12 + 3 * 9 + 3 * 3) + (3 * 5 + 3 * 12 + 9));
    assertTrue(written.get() > values && written.get() <= plan.shuffled(), written + " of " + plan);
  }

  /// The driver has no GPU: it decides by the device that is asked for, and by what Spark is told to give tasks.
  @Test
  void batchesAreThoseOfGpusWhereTasksHaveSome() throws IOException {
    GatheringPlan onCpus = plan(Device.AUTO, options().build());
    assertEquals(ROWS, onCpus.batchSize());
    assertEquals(512, plan(Device.AUTO, PruningOptions.builder().build()).batchSize());
    assertEquals(0, onCpus.gpuMemory());
    GatheringPlan onGpus = plan(Device.CUDA, PruningOptions.builder().build());
    assertEquals(8192, onGpus.batchSize());
    long batches = 2L * Float.BYTES * 8192 * Fixture.INPUTS;
    assertTrue(onGpus.taskMemory() > batches && onGpus.gpuMemory() > batches + 8192L * Float.BYTES * 2 * (12 + 9 + 3),
        onGpus::toString);
    assertTrue(onGpus.toString().contains(" beside what CUDA does, about 5.9 MiB of a GPU, and "), onGpus::toString);
    assertEquals(ROWS, plan(Device.CUDA, options().build()).batchSize());
    Fixture.spark().stop();
    try (SparkSession _ = SparkSession.builder().master("local[1]").config("spark.ui.enabled", false)
        .config("spark.executor.resource.gpu.amount", 1).config("spark.task.resource.gpu.amount", 0.5).getOrCreate()) {
      assertEquals(8192, plan(Device.AUTO, PruningOptions.builder().build()).batchSize());
      assertEquals(512, plan(Device.CPU, PruningOptions.builder().build()).batchSize());
    }
  }

  private GatheringPlan plan(Device device, PruningOptions options) {
    return SparkScorer.of(network, SparkSamples.of(Fixture.arrays(1), X), options, device).plan();
  }

  private static void assertSameBits(NetworkSums expected, NetworkSums found) {
    assertEquals(expected.layers().keySet(), found.layers().keySet());
    expected.layers().forEach((layer, all) -> {
      for (int s = 0; s < all.size(); s++) {
        Sums own = found.layers().get(layer).get(s);
        all.get(s).arrays().forEach(
            (name, values) -> assertArrayEquals(values.toArray(), own.array(name).toArray(), layer + " " + name));
      }
    });
  }
}
