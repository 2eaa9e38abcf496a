package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.CsvOptions;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.io.SampleReading;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.spark.sql.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The engine reads what Spark writes.
final class ParquetTest {
  private static final int ROWS = 1000;

  @TempDir
  private Path folder;

  private static org.apache.spark.sql.Dataset<Row> rows(String... expressions) {
    return Fixture.spark().range(0, ROWS, 1, 1).selectExpr(expressions);
  }

  private Path write(org.apache.spark.sql.Dataset<Row> rows, String codec) {
    Path path = folder.resolve(codec);
    rows.write().option("compression", codec).parquet(path.toString());
    return path;
  }

  private static SampleReading columns(String... names) {
    return new SampleReading(CsvOptions.NONE, Optional.empty(), List.of(names));
  }

  private static List<float[]> read(SampleSource source) throws IOException {
    List<float[]> rows = new ArrayList<>();
    try (Batches batches = new Batches(Dataset.of(source), 37)) {
      while (batches.next()) {
        for (int i = 0; i < batches.samples().rows(); i++) {
          rows.add(batches.samples().slice(i, 1).toArray());
        }
      }
    }
    return rows;
  }

  @ParameterizedTest
  @CsvSource({"snappy", "gzip", "zstd", "lz4_raw", "none"})
  void numbersOfAllTypes(String codec) throws IOException {
    Path path = write(rows("cast(id as float) / 7f as a", "cast(id as double) * 0.5D as b",
        "cast(id - 150 as int) as c", "id * 3 as d", "cast(id % 100 as byte) as e", "'text' as t"), codec);
    SampleSource source = SampleFiles.samples(path, columns("d", "a", "b", "c", "e"));
    assertEquals(ROWS, source.samples());
    assertEquals(5, source.width());
    for (int pass = 0; pass < 2; pass++) {
      List<float[]> found = read(source);
      assertEquals(ROWS, found.size());
      for (int i = 0; i < ROWS; i++) {
        org.junit.jupiter.api.Assertions.assertArrayEquals(new float[]{3 * i, i / 7f, i * 0.5f, i - 150, i % 100},
            found.get(i), "row " + i);
      }
    }
  }

  @Test
  void listsInSeveralFilesAndRowGroups() throws IOException {
    Path path = folder.resolve("lists");
    org.apache.spark.sql.Dataset<Row> rows = rows("array(cast(id as float), cast(id * 2 as float), 7f) as x", "id");
    rows.repartitionByRange(3, rows.col("id")).sortWithinPartitions("id").select("x").write()
        .option("parquet.block.size", 1 << 12).parquet(path.toString());
    List<float[]> found = read(SampleFiles.samples(path));
    assertEquals(ROWS, found.size());
    for (int i = 0; i < ROWS; i++) {
      org.junit.jupiter.api.Assertions.assertArrayEquals(new float[]{i, 2 * i, 7}, found.get(i), "row " + i);
    }
  }

  @Test
  void labelsAreAColumn() throws IOException {
    Path path = write(rows("id as a", "id % 3 as y", "id + 1 as b"), "snappy");
    Dataset data = SampleFiles.dataset(path, "y", SampleReading.DEFAULT);
    assertEquals(2, data.samples().width());
    assertEquals(1, data.labels().orElseThrow().width());
    try (Batches batches = new Batches(data, 10)) {
      assertTrue(batches.next());
      assertEquals(4, batches.samples().get(3, 1));
      assertEquals(2, batches.labels().get(5, 0));
    }
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      a  | array(1f, 2f)               | column "a" holds lists, each of which is a whole sample; choose it alone
      a  | cast(id as string)          | column "a" holds
      a  | current_date()              | column "a" holds
      a  | named_struct('x', 1)        | column "a" holds a nested type, not numbers or lists of them
      ab | 1                           | has no column "ab"; did you mean "a"?
      b,b | 1                          | column "b" is named twice
      a  | if(id = 5, null, id)        | column "a" of row 6 is null; fill such rows, or drop them
      a  | if(id = 5, 1e300D, 1D)      | column "a" of row 6 is beyond float32's range
      """)
  void refuses(String columns, String expression, String problem) {
    Path path = write(rows(expression + " as a", "id as b"), "snappy");
    String[] names = (columns.contains("a") && !columns.equals("ab") ? "a,b" : columns).split(",");
    String message = assertThrows(IOException.class, () -> read(SampleFiles.samples(path, columns(names))))
        .getMessage();
    assertTrue(message.contains(problem), message);
    assertFalse(message.contains("\n"), message);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      if(id = 5, null, array(1f, 2f))        | column "x" of row 6 is null
      if(id = 5, array(1f), array(1f, 2f))   | column "x" of row 6 is a list of 1 number, and that of row 1 has 2
      array(1f, if(id = 5, null, 2f))        | column "x" of row 6 is null
      array_repeat(1f, 0)                    | the list in row 1 of column "x" is empty
      """)
  void refusesLists(String expression, String problem) {
    Path path = write(rows(expression + " as x"), "snappy");
    String message = assertThrows(IOException.class, () -> read(SampleFiles.samples(path, columns("x")))).getMessage();
    assertTrue(message.contains(problem), message);
  }

  @Test
  void refusesFoldersWithoutRows() {
    Path path = write(rows("id as a").limit(0), "snappy");
    assertTrue(assertThrows(IOException.class, () -> SampleFiles.samples(path)).getMessage().endsWith("has no rows"));
  }
}
