package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Files that Spark wrote; their README tells what is in them.
final class ParquetSamplesTest {
  private static final int ROWS = 300;

  private static Path file(String name) {
    try {
      return Path.of(ParquetSamplesTest.class.getResource("parquet/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static SampleReading columns(String... names) {
    return new SampleReading(CsvOptions.NONE, Optional.empty(), List.of(names));
  }

  private static void assertRow(SampleSource source, int row, float... values) throws IOException {
    try (Batches batches = new Batches(Dataset.of(source), ROWS)) {
      assertTrue(batches.next());
      assertEquals(ROWS, batches.samples().rows());
      assertArrayEquals(values, batches.samples().slice(row, 1).toArray());
    }
  }

  @Test
  void readsColumnsInTheOrderAskedFor() throws IOException {
    assertRow(SampleFiles.samples(file("numbers.parquet")), 100, 0.5f, 1, 1, 0, 9);
    assertRow(SampleFiles.samples(file("numbers.parquet"), columns("c", "a")), 101, 1, 0.75f);
  }

  @Test
  void readsLists() throws IOException {
    assertRow(SampleFiles.samples(file("lists.parquet")), 299, 299, 2, 0.5f, -1);
    SampleReading half = new SampleReading(CsvOptions.NONE, Optional.of(Scale.parse("1/2")), List.of("x"));
    assertRow(SampleFiles.samples(file("lists.parquet"), half), 4, 2, 1, 0.25f, -0.5f);
  }

  @Test
  void takesLabelsFromAColumn() throws IOException {
    Dataset data = SampleFiles.dataset(file("numbers.parquet"), "y", SampleReading.DEFAULT);
    assertRow(data.samples(), 100, 0.5f, 1, 0, 9);
    assertRow(data.labels().orElseThrow(), 100, 1);
    assertTrue(
        assertThrows(IOException.class, () -> SampleFiles.dataset(file("numbers.parquet"), "y", columns("a", "y")))
            .getMessage().endsWith("column \"y\" cannot be a sample's and its label"));
  }

  @Test
  void readsAFolderInTheOrderOfNames(@TempDir Path folder) throws IOException {
    for (String name : List.of("b.parquet", "a.parquet", ".hidden.parquet", "_metadata.parquet")) {
      Files.copy(file("numbers.parquet"), folder.resolve(name));
    }
    Files.writeString(folder.resolve("_SUCCESS"), "");
    SampleSource source = SampleFiles.samples(folder, columns("b"));
    assertEquals(2 * ROWS, source.samples());
    try (Batches batches = new Batches(Dataset.of(source), 2 * ROWS)) {
      assertTrue(batches.next());
      assertEquals(299 % 11, batches.samples().get(299, 0));
      assertEquals(0, batches.samples().get(300, 0));
    }
  }

  @Test
  void namesWhatIsWrong() {
    assertRefused(columns("x"), "numbers.parquet", "has no column \"x\"; there are \"a\", \"b\", \"y\", \"c\", \"d\"");
    assertRefused(columns("a", "a"), "numbers.parquet", "column \"a\" is named twice");
    assertRefused(columns(), "zstd.parquet",
        "is compressed by ZSTD, which is not read; write it with compression snappy, gzip or none");
  }

  private static void assertRefused(SampleReading reading, String name, String problem) {
    assertEquals(file(name) + ": " + problem,
        assertThrows(IOException.class, () -> SampleFiles.samples(file(name), reading)).getMessage());
  }

  @Test
  void columnsOfTextHaveNamesToo(@TempDir Path folder) throws IOException {
    Path csv = Files.writeString(folder.resolve("x.csv"), "first,second,third\n1,2,3\n4,5,6\n");
    try (Batches batches = new Batches(Dataset.of(SampleFiles.samples(csv, columns("third", "first"))), 2)) {
      assertTrue(batches.next());
      assertArrayEquals(new float[]{3, 1, 6, 4}, batches.samples().toArray());
    }
    assertEquals(csv + ": has no column \"secnd\"; did you mean \"second\"?",
        assertThrows(IOException.class, () -> SampleFiles.samples(csv, columns("secnd"))).getMessage());
    Path bare = Files.writeString(folder.resolve("y.csv"), "1,2\n");
    assertEquals(bare + ": its columns have no names; choose none",
        assertThrows(IOException.class, () -> SampleFiles.samples(bare, columns("a"))).getMessage());
  }

  /// Damage is an [IOException], or it is not noticed: a page need not have a checksum.
  @Test
  void damageIsRefusedInOneLine(@TempDir Path folder) throws IOException {
    Random random = new Random(1);
    for (String name : List.of("numbers.parquet", "lists.parquet")) {
      byte[] whole = Files.readAllBytes(file(name));
      for (int i = 0; i < 150; i++) {
        byte[] damaged = i % 3 == 0 ? Arrays.copyOf(whole, 4 + random.nextInt(whole.length - 4)) : whole.clone();
        if (i % 3 != 0) {
          // Most of what the reader decides by stands at the end.
          int at = i % 3 == 1 ? 4 + random.nextInt(whole.length - 4) : whole.length - 1 - random.nextInt(700);
          damaged[at] = (byte) random.nextInt(256);
        }
        Path copy = Files.write(folder.resolve("damaged.parquet"), damaged);
        try (Batches batches = new Batches(Dataset.of(SampleFiles.samples(copy)), 64)) {
          while (batches.next()) {
            assertTrue(batches.samples().rows() > 0);
          }
        } catch (IOException e) {
          assertTrue(e.getMessage().startsWith(copy.toString()) && e.getMessage().lines().count() == 1, e.getMessage());
        }
      }
    }
  }
}
