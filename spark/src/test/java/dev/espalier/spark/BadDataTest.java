package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.pruning.PruningOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What is refused, and by what words.
final class BadDataTest {
  private static <E extends Exception> String refused(Class<E> kind, Dataset<Row> rows, PruningOptions options,
      Device device, String... columns) {
    try (Arena arena = Arena.ofShared()) {
      return assertThrows(kind, () -> SparkScorer
          .of(Fixture.network(arena), SparkSamples.of(rows, SampleColumns.of(columns)), options, device).gather(arena))
          .getMessage();
    }
  }

  private static PruningOptions defaults() {
    return PruningOptions.builder().build();
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      x,b,c,d,e       | the data have no column x; there are "a", "b", "c", "d", "e", "id"
      a,b,c,d,ID      | the data have no column ID; did you mean "id"?
      a,b,c,d,id      | column id holds string, not numbers: leave it out, or cast it to float
      a,b,c           | the data has 3 numbers a sample, the network takes 5
      """)
  void columns(String columns, String message) {
    assertEquals(message,
        refused(MismatchException.class, Fixture.columns(2), defaults(), Device.CPU, columns.split(",")));
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      array(a, b)                      | an array of 2 numbers, and the network takes 5
      if(a > -9, null, array(a))       | null: fill such rows, or drop them
      """)
  void arrays(String expression, String problem) {
    assertEquals("sample 1: column y is " + problem, refused(IOException.class,
        Fixture.columns(2).selectExpr(expression + " as y").repartition(1), defaults(), Device.CPU, "y"));
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      cast('NaN' as double)      | NaN: fill such rows, or drop them
      cast('Infinity' as float)  | infinite: fill such rows, or drop them
      1e300D                     | beyond float32's range: scale the column
      cast(null as int)          | null: fill such rows, or drop them
      """)
  void numbers(String expression, String problem) {
    Dataset<Row> rows = Fixture.columns(2).selectExpr("a", "b", "c", "d", expression + " as e");
    assertEquals("sample 1: column e is " + problem,
        refused(IOException.class, rows.coalesce(1), defaults(), Device.CPU, "a", "b", "c", "d", "e"));
    assertEquals("sample 1: element 4 of column y is " + problem, refused(IOException.class,
        rows.selectExpr("array(a, b, c, d, cast(e as double)) as y").coalesce(1), defaults(), Device.CPU, "y"));
  }

  @Test
  void arraysBesideOthers() {
    assertEquals("column y holds arrays, each of which is a whole sample: name it alone, not with a",
        refused(MismatchException.class, Fixture.columns(2).selectExpr("a", "array(a) as y"), defaults(), Device.CPU,
            "a", "y"));
    assertEquals("column y holds arrays of string, not numbers: leave it out, or cast it to array<float>",
        refused(MismatchException.class, Fixture.columns(2).selectExpr("array(id) as y"), defaults(), Device.CPU));
  }

  @Test
  void noRows() {
    assertEquals("the data: there are no rows",
        refused(MismatchException.class, Fixture.arrays(2).limit(0), defaults(), Device.CPU));
  }

  /// A filter that lets other rows through each time.
  @Test
  void rowsThatChange() {
    var changing = Fixture.arrayRows(1).mapPartitions(rows -> {
      if (Calls.COUNT.getAndIncrement() > 0) {
        rows.next();
      }
      return rows;
    });
    assertEquals(
        "the data: a partition has not the 300 rows that were counted in it; cache the data, or write them to files "
            + "first, so that each of its computations gives the same rows",
        refused(IOException.class, Fixture.spark().createDataFrame(changing, Fixture.ARRAYS), defaults(), Device.CPU));
  }

  private static final class Calls {
    static final java.util.concurrent.atomic.AtomicInteger COUNT = new java.util.concurrent.atomic.AtomicInteger();
  }

  @Test
  void whatSparkDoesNotGather() {
    assertEquals("criterion gradient needs labels, which Spark does not gather: use another one",
        refused(MismatchException.class, Fixture.arrays(2),
            PruningOptions.builder().criterion(new Criterion.Gradient()).build(), Device.CPU));
    assertEquals("criterion ec-nonlinear does not follow from statistics: it needs the samples themselves",
        refused(MismatchException.class, Fixture.arrays(2),
            PruningOptions.builder().criterion(new Criterion.NonlinearEliminationCompensation()).build(), Device.CPU));
    assertEquals("criterion magnitude with compensation none needs no samples: prune without Spark",
        refused(MismatchException.class, Fixture.arrays(2),
            PruningOptions.builder().criterion(new Criterion.Magnitude()).build(), Device.CPU));
  }

  @Test
  void gpus() {
    assertEquals(
        "Spark gives tasks no GPU: set spark.executor.resource.gpu.amount and spark.task.resource.gpu.amount, or use "
            + "the device cpu",
        refused(MismatchException.class, Fixture.arrays(2), defaults(), Device.CUDA));
    assertEquals(Device.parse("cuda:3"), ExecutorBackends.device(Device.AUTO, Optional.of("3")));
    assertEquals(Device.parse("cuda:0,2"), ExecutorBackends.device(Device.CUDA, Optional.of("0,2")));
    assertEquals(Device.CPU, ExecutorBackends.device(Device.AUTO, Optional.empty()));
    assertEquals(Device.CPU, ExecutorBackends.device(Device.CPU, Optional.of("3")));
    assertEquals("Spark gives a task the GPU 'GPU-4f', and a number is needed, as nvidia-smi lists them",
        assertThrows(MismatchException.class, () -> ExecutorBackends.device(Device.AUTO, Optional.of("GPU-4f")))
            .getMessage());
  }
}
