package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.file;
import static dev.espalier.engine.io.TestFiles.read;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.SourceNote;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// CSV files in the forms in which programs write them.
class CsvFormsTest {
  @TempDir
  private Path folder;

  private Path write(String name, String content) throws IOException {
    return file(folder, name, content.replace("|", "\n").replace("_", "\t").getBytes(StandardCharsets.UTF_8));
  }

  private static String notes(SampleSource source) {
    return String.join("; ", source.notes().stream().map(SourceNote::text).toList());
  }

  private static SampleReading reading(Character separator, Character decimal, Boolean header) {
    return new SampleReading(
        new CsvOptions(Optional.ofNullable(separator), Optional.ofNullable(decimal), Optional.ofNullable(header)),
        Optional.empty());
  }

  /// Each of the same two rows; lines end at |, and tabs are _.
  @ParameterizedTest
  @CsvSource(delimiter = '~',
      textBlock = """
          0.5,20,-3|4,5.25,60|           ~ ''
          0.5;20;-3|4;5.25;60|           ~ fields are separated by semicolons
          0,5;20;-3|4;5,25;60|           ~ fields are separated by semicolons, numbers have decimal commas
          a;b;c|0,5;2,0e1;-3|4;5,25;60|  ~ fields are separated by semicolons, numbers have decimal commas, the first record is a header (a, b, c)
          0.5_20_-3|4_5.25_60|           ~ fields are separated by tabs
          0,5_20_-3|4_5,25_60|           ~ fields are separated by tabs, numbers have decimal commas
          0.5 20  -3| 4 5.25 60|         ~ fields are separated by spaces
          a,b,c|0.5,20,-3|4,5.25,60|     ~ the first record is a header (a, b, c)
          0,1,2|0.5,20,-3|4,5.25,60|     ~ the first record is a header (0, 1, 2)
          x;m,y;m,z;m|0.5,20,-3|4,5.25,60| ~ the first record is a header (x;m, y;m, z;m)
          "0,5","20","-3"|"4","5,25","60"| ~ numbers have decimal commas
          """)
  void findsOutHowNumbersAreWritten(String content, String note) throws IOException {
    Path path = write("x.csv", content);
    SampleSource source = SampleFiles.samples(path);
    assertEquals(2, source.samples());
    assertArrayEquals(new float[][]{{0.5f, 20, -3}, {4, 5.25f, 60}}, read(source, 5));
    assertArrayEquals(new float[][]{{0.5f, 20, -3}, {4, 5.25f, 60}}, read(source, 1));
    assertEquals(note.isEmpty() ? "" : path + ": " + note, notes(source));
  }

  @Test
  void optionsDecide() throws IOException {
    Path path = write("x.csv", "0,1|2,3|");
    assertArrayEquals(new float[][]{{2, 3}}, read(SampleFiles.samples(path, reading(null, null, true)), 3));
    assertArrayEquals(new float[][]{{0, 1}, {2, 3}}, read(SampleFiles.samples(path, reading(null, null, false)), 3));
    SampleSource decimals = SampleFiles.samples(path, reading(';', ',', false));
    assertArrayEquals(new float[][]{{0.1f}, {2.3f}}, read(decimals, 3));
    assertEquals("", notes(decimals));
    assertArrayEquals(new float[][]{{1, 2}},
        read(SampleFiles.samples(write("x.csv", "1:2|"), reading(':', null, null)), 3));
    assertThrows(FormatException.class, () -> SampleFiles.samples(path, reading(';', '.', null)));
    assertArrayEquals(new float[][]{{5, 6}},
        read(SampleFiles.samples(write("x.csv", "1st,2|5,6|"), reading(null, null, true)), 3));
    assertThrows(IllegalArgumentException.class, () -> reading(',', ',', null));
    assertThrows(IllegalArgumentException.class, () -> reading(null, ';', null));
    assertThrows(IllegalArgumentException.class, () -> reading('.', null, null));
  }

  /// One-hot rows begin with 0,1 as often as not; eight numbers from 0 on are no sample.
  @Test
  void aCountOfTheColumnsIsAHeaderWhereItCannotBeASample() throws IOException {
    assertEquals(3, SampleFiles.labels(write("y.csv", "0,1|1,0|0,1|")).samples());
    assertEquals(4, SampleFiles.samples(write("x.csv", "0,1|1,0|0,0|1,1|")).samples());
    assertEquals(1, SampleFiles.samples(write("x.csv", "0,1,2,3,4,5,6,7|9,9,9,9,9,9,9,9|")).samples());
    assertEquals(2, SampleFiles.samples(write("x.csv", "1,2,3|5,6,7|")).samples());
    assertEquals(1, SampleFiles.samples(write("x.csv", "1,2,3|")).samples());
    assertThrows(CsvHeaderException.class, () -> SampleFiles.samples(write("x.csv", "0,1,2|5,6,7|")));
    assertThrows(CsvHeaderException.class, () -> SampleFiles.samples(write("x.csv", "age,2020|5,6|")));
  }

  /// pandas calls the only column of labels 0, which is a label too.
  @Test
  void aZeroBeforeTheLabelsIsAHeaderIfThereIsOneTooMany() throws IOException {
    Path x = write("x.csv", "a,b|1,2|3,4|");
    Dataset dataset = SampleFiles.dataset(x, write("y.csv", "0|2|1|"), SampleReading.DEFAULT);
    assertArrayEquals(new float[][]{{2}, {1}}, read(dataset.labels().orElseThrow(), 5));
    assertTrue(notes(dataset.labels().orElseThrow()).endsWith("the first record is a header (0)"));
    assertArrayEquals(new float[][]{{0}, {1}},
        read(SampleFiles.dataset(x, write("y.csv", "0|1|"), SampleReading.DEFAULT).labels().orElseThrow(), 5));
    assertThrows(MismatchException.class,
        () -> SampleFiles.dataset(x, write("y.csv", "1|2|1|"), SampleReading.DEFAULT));
    assertThrows(MismatchException.class,
        () -> SampleFiles.dataset(write("x.csv", "1,2|3,4|"), write("y.csv", "0|2|1|"), reading(null, null, false)));
  }

  @ParameterizedTest
  @CsvSource({"class", "2"})
  void aColumnHoldsTheLabels(String column) throws IOException {
    Path path = write("x.csv", "a,class,b|1,0,2|3,1,4|");
    Dataset dataset = SampleFiles.dataset(path, column,
        new SampleReading(CsvOptions.NONE, Optional.of(Scale.parse("1/2"))));
    assertArrayEquals(new float[][]{{0.5f, 1}, {1.5f, 2}}, read(dataset.samples(), 5));
    assertArrayEquals(new float[][]{{0}, {1}}, read(dataset.labels().orElseThrow(), 1));
    assertEquals("column 2 of " + path, dataset.labels().orElseThrow().name());
  }

  @Test
  void labelColumnsThatAreNotThereAreRefused() throws IOException {
    for (String content : List.of("a,b|1,2|3,4|", "a,a|1,2|", "5|6|")) {
      Path path = write("x.csv", content);
      for (String column : List.of("c", "3", "0", "a")) {
        if (!content.startsWith("a,b") || !column.equals("a")) {
          String message = assertThrows(FormatException.class,
              () -> SampleFiles.dataset(path, column, SampleReading.DEFAULT)).getMessage();
          assertTrue(message.startsWith(path + ": has ") && message.contains("column"), message);
        }
      }
      assertThrows(FormatException.class,
          () -> SampleFiles.dataset(write("one.csv", "5|6|"), "1", SampleReading.DEFAULT));
    }
  }

  @Test
  void bytesThatAreNotScaledAreTold() throws IOException {
    byte[] bytes = {0, 1, (byte) 255, 51};
    Path npy = file(folder, "x.npy", TestFiles.npy("|u1", false, "(2, 2)", bytes));
    assertEquals(npy + ": bytes, from 0 to 255, that are not scaled", notes(SampleFiles.samples(npy)));
    assertEquals("", notes(SampleFiles.labels(npy)));
    Path idx = file(folder, "x-idx2-ubyte", TestFiles.idx(8, new int[]{2, 2}, bytes));
    assertEquals("", notes(SampleFiles.samples(idx)));
    float[][] unit = {{0, 1 / 255f}, {1, 0.2f}};
    assertArrayEquals(unit, read(SampleFiles.samples(idx), 5));
    SampleReading scaling = new SampleReading(CsvOptions.NONE, Optional.of(Scale.parse("1/255")));
    for (Path path : List.of(npy, idx)) {
      SampleSource scaled = SampleFiles.samples(path, scaling);
      assertArrayEquals(unit, read(scaled, 1));
      assertEquals("", notes(scaled));
      assertArrayEquals(new float[][]{{0, 1}, {255, 51}}, read(SampleFiles.labels(path, scaling), 5));
    }
    Path csv = write("x.csv", "1,".repeat(15) + "1|" + "0,".repeat(15) + "255|");
    assertTrue(notes(SampleFiles.samples(csv)).contains("like bytes of images, that are not scaled"));
    assertEquals("", notes(SampleFiles.samples(csv, scaling)));
  }

  @Test
  void scalesAreNumbersOrFractions() {
    assertEquals(new Scale(1, 255), Scale.parse("1/255"));
    assertEquals(new Scale(0.5, 1), Scale.parse("0.5"));
    for (String text : List.of("", "x", "1/0", "0", "1/2/3", "NaN", "Infinity")) {
      String message = assertThrows(IllegalArgumentException.class, () -> Scale.parse(text)).getMessage();
      assertTrue(message.contains("for example 1/255"), message);
    }
  }

  @Test
  void textIsReadWhateverItsNameIsCalled() throws IOException {
    for (String name : List.of("x.tsv", "x.txt", "stdin", "x.dat")) {
      assertEquals(2, SampleFiles.samples(write(name, "1_2|3_4|")).width(), name);
    }
  }
}
