package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.file;
import static dev.espalier.engine.io.TestFiles.floats;
import static dev.espalier.engine.io.TestFiles.gzip;
import static dev.espalier.engine.io.TestFiles.idx;
import static dev.espalier.engine.io.TestFiles.npy;
import static dev.espalier.engine.io.TestFiles.read;
import static dev.espalier.engine.io.TestFiles.safetensors;
import static dev.espalier.engine.io.TestFiles.zip;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.RandomCases;
import dev.espalier.engine.data.SampleRange;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.ScaledSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class SampleFilesTest {
  private static final byte[] SIX = floats(1, 2, 3, 4, 5, 6);
  private static final float[][] ROWS = {{1, 2, 3}, {4, 5, 6}};

  @TempDir
  private Path folder;

  private static byte[] text(String content) {
    return content.getBytes(StandardCharsets.UTF_8);
  }

  /// The same two rows of three in every format.
  static Stream<Arguments> twoRows() {
    byte[] npy = npy("<f4", false, "(2, 3)", SIX);
    byte[] columns = npy("<f4", true, "(2, 3)", floats(1, 4, 2, 5, 3, 6));
    String tensor = "\"%s\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[%d,%d]}";
    byte[] two = Arrays.copyOf(floats(9, 9, 9, 9, 9, 9), 48);
    System.arraycopy(SIX, 0, two, 24, 24);
    byte[] big = floats(ByteOrder.BIG_ENDIAN, 1, 2, 3, 4, 5, 6);
    return Stream.of(Arguments.of("c.npy", npy), //
        Arguments.of("fortran.npy", columns), //
        Arguments.of("big.npy", npy(">f4", false, "(2, 3)", big)),
        Arguments.of("native.npy", npy("=f4", false, "(2L, 3L)", SIX)),
        Arguments.of("deep.npy", npy("<f4", false, "(2, 1, 3, 1)", SIX)),
        Arguments.of("v2.npy", npy(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", SIX)),
        Arguments.of("v3.npy", npy(3, "{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}", SIX)),
        Arguments.of("c.npy.gz", gzip(npy)), Arguments.of("fortran.npy.gz", gzip(columns)),
        Arguments.of("no-extension", npy), Arguments.of("stored.npz", zip(ZipEntry.STORED, "x.npy", npy)),
        Arguments.of("deflated.npz", zip(ZipEntry.DEFLATED, "x.npy", npy)),
        Arguments.of("only.npz", zip(ZipEntry.DEFLATED, "images.npy", npy)),
        Arguments.of("fortran.npz", zip(ZipEntry.DEFLATED, "x.npy", columns)),
        Arguments.of("only.safetensors", safetensors("{" + tensor.formatted("a", 0, 24) + "}", SIX)),
        Arguments.of("x.safetensors",
            safetensors("{" + tensor.formatted("a", 0, 24) + "," + tensor.formatted("x", 24, 48) + "}", two)),
        Arguments.of("plain.csv", text("1,2,3\n4,5,6\n")),
        Arguments.of("header.csv", text("\ufeffa,\"b\nb\",c\r\n 1, 2.0,+3e0\r\n\r\n\"4\",5.,.6e1")),
        Arguments.of("plain.csv.gz", gzip(text("1,2,3\n4,5,6\n"))),
        Arguments.of("floats-idx2", idx(0x0d, new int[]{2, 3}, big)),
        Arguments.of("shorts.idx", idx(0x0b, new int[]{2, 3}, new byte[]{0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6})),
        Arguments.of("floats.gz", gzip(idx(0x0d, new int[]{2, 3}, big))));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("twoRows")
  void everyFormatGivesTheSameRows(String name, byte[] content) throws IOException {
    SampleSource source = SampleFiles.samples(file(folder, name, content));
    assertEquals(2, source.samples());
    assertEquals(3, source.width());
    assertTrue(source.name().startsWith(folder.resolve(name).toString()), source.name());
    for (int batch : new int[]{1, 2, 5}) {
      assertArrayEquals(ROWS, read(source, batch), "batch=" + batch);
    }
    SampleRange second = new SampleRange(source, 1, 1);
    assertArrayEquals(new float[][]{ROWS[1]}, read(second, 5));
    assertEquals(1, second.first());
    assertArrayEquals(new float[][]{{8, 10, 12}}, read(new SampleRange(new ScaledSamples(source, 2, 1), 1, 1), 5));
    try (Arena arena = Arena.ofConfined(); SampleSource.Pass pass = source.open()) {
      MatrixView narrow = MatrixView.allocate(arena, 1, 2);
      assertThrows(IllegalArgumentException.class, () -> pass.read(narrow));
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("twoRows")
  void anUnfinishedPassMayBeClosedTwice(String name, byte[] content) throws IOException {
    SampleSource.Pass pass = SampleFiles.samples(file(folder, name, content)).open();
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(1, pass.read(MatrixView.allocate(arena, 1, 3)));
    }
    pass.close();
    pass.close();
  }

  @ParameterizedTest
  @CsvSource({"f2, F16, F32", "f4, F32, F32", "f8, F64, F32", "i1, I8, ''", "i2, I16, ''", "i4, I32, ''", "i8, I64, ''",
      "u1, U8, ''", "u2, U16, ''", "u4, U32, ''", "u8, U64, ''", "b1, BOOL, ''"})
  void everyNumpyTypeIsReadInBothOrders(String code, DType dtype) throws IOException {
    for (ByteOrder order : List.of(ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN)) {
      byte[] data = new byte[6 * dtype.bytes()];
      new Random(7).nextBytes(data);
      if (dtype == DType.F64) {
        for (int i = 0; i < 6; i++) { // within the range of float32
          ByteBuffer.wrap(data).order(order).putDouble(i * Double.BYTES, Math.cbrt(i + 1) * (i - 2.5));
        }
      }
      byte[] content = npy((order == ByteOrder.LITTLE_ENDIAN ? "<" : ">") + code, false, "(3, 2)", data);
      float[][] rows = read(SampleFiles.samples(file(folder, "a.npy", content)), 2);
      for (int i = 0; i < 6; i++) {
        double value = dtype.value(MemorySegment.ofArray(data), i, order);
        assertEquals((float) value, rows[i / 2][i % 2], code + " " + order);
      }
    }
  }

  @Test
  void imagesAreScaledAndLabelsAreNot() throws IOException {
    Path images = file(folder, "train-images-idx3-ubyte", idx(8, new int[]{2, 1, 2}, new byte[]{0, 51, -1, 1}));
    assertArrayEquals(new float[][]{{0, 0.2f}, {1, 1 / 255f}}, read(SampleFiles.samples(images), 9));
    assertArrayEquals(new float[][]{{0, 51}, {255, 1}}, read(SampleFiles.labels(images), 9));
    Path labels = file(folder, "labels.gz", gzip(idx(8, new int[]{3}, new byte[]{7, 0, -1})));
    assertArrayEquals(new float[][]{{7}, {0}, {255}}, read(SampleFiles.labels(labels), 2));
    assertArrayEquals(new float[][]{{7}, {0}, {255}}, read(SampleFiles.samples(labels), 2));
    Path numpy = file(folder, "bytes.npy", npy("|u1", false, "(1, 2)", new byte[]{0, 51}));
    assertArrayEquals(new float[][]{{0, 51}}, read(SampleFiles.samples(numpy), 2));
  }

  @Test
  void arraysAreChosenByRoleOrName() throws IOException {
    String entry = "\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}";
    Path file = file(folder, "d.safetensors", safetensors(
        "{" + entry.formatted("x", 0, 1) + "," + entry.formatted("y", 1, 2) + "," + entry.formatted("a:b", 2, 3) + "}",
        new byte[]{1, 2, 3}));
    assertArrayEquals(new float[][]{{1}}, read(SampleFiles.samples(file), 1));
    assertArrayEquals(new float[][]{{2}}, read(SampleFiles.labels(file), 1));
    assertArrayEquals(new float[][]{{3}}, read(SampleFiles.samples(Path.of(file + ":a:b")), 1));
    assertArrayEquals(new float[][]{{3}}, read(SampleFiles.labels(Path.of(file + ":a:b")), 1));
    assertEquals(file + ": has no array \"z\", it has \"x\", \"y\", \"a:b\"; choose one as file:name",
        assertThrows(FormatException.class, () -> SampleFiles.samples(Path.of(file + ":z"))).getMessage());
    Path npz = file(folder, "d.npz", zip(ZipEntry.DEFLATED, "im.npy", npy("|u1", false, "(1,)", (byte) 5)));
    assertArrayEquals(new float[][]{{5}}, read(SampleFiles.samples(Path.of(npz + ":im")), 1));
    assertThrows(FormatException.class, () -> SampleFiles.samples(Path.of(npz + ":x")));
    Path colon = file(folder, "odd.npz:im", zip(ZipEntry.DEFLATED, "k.npy", npy("|u1", false, "(1,)", (byte) 6)));
    assertArrayEquals(new float[][]{{6}}, read(SampleFiles.samples(colon), 1));
  }

  @Test
  void csvKeepsNonFiniteNumbers() throws IOException {
    Path file = file(folder, "n.csv", text("nan,-NaN,inf\n-inf,Infinity,-Infinity\n-1e-99,+INF,0\n"));
    float inf = Float.POSITIVE_INFINITY;
    assertArrayEquals(new float[][]{{Float.NaN, Float.NaN, inf}, {-inf, inf, -inf}, {-0.0f, inf, 0}},
        read(SampleFiles.samples(file), 2));
  }

  static Stream<Arguments> damaged() {
    byte[] npy = npy("<f4", false, "(2, 3)", SIX);
    byte[] deflated = zip(ZipEntry.DEFLATED, "x.npy", npy);
    byte[] wrongChecksum = zip(ZipEntry.STORED, "x.npy", npy);
    wrongChecksum[new String(wrongChecksum, StandardCharsets.ISO_8859_1).indexOf("NUMPY") + npy.length - 2] ^= 1;
    byte[] images = idx(8, new int[]{2, 2}, new byte[4]);
    return Stream.of(Arguments.of("empty.npy", new byte[0], "the file is empty"),
        Arguments.of("text.npy", text("hello"), "begins like no .npy"),
        Arguments.of("data.bin", new byte[100], "begins like no .npy"),
        Arguments.of("cut.npy", Arrays.copyOf(npy, 7), "does not begin as a .npy file does"),
        Arguments.of("cut.npy", Arrays.copyOf(npy, 40), "ends within its header"),
        Arguments.of("cut.npy", Arrays.copyOf(npy, npy.length - 1), "but there are only"),
        Arguments.of("long.npy", Arrays.copyOf(npy, npy.length + 1), "has 1 byte behind the last of 2 samples"),
        Arguments.of("v9.npy", npy(9, "{}"), "version 9"),
        Arguments.of("a.npy", npy(2, " ".repeat(1 << 21)), "is too long"),
        Arguments.of("a.npy", npy(1, "{'descr': '<f4'}"), "its header is not that"),
        Arguments.of("a.npy", npy(1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}"), "its header is not"),
        Arguments.of("a.npy", npy("<f4", false, "(2, 3) junk", SIX), "its header is not that"),
        Arguments.of("a.npy", npy("<f4", false, "(2, -3)", SIX), "its header is not that"),
        Arguments.of("a.npy", npy("<f4", false, "(2 3)", SIX), "its header is not that"),
        Arguments.of("a.npy", npy("|O", false, "(2, 3)", SIX), "dtype \"|O\" is not one of real numbers"),
        Arguments.of("a.npy", npy("<c8", false, "(1, 3)", SIX), "dtype \"<c8\""),
        Arguments.of("a.npy", npy("", false, "(1, 3)", SIX), "dtype \"\""),
        Arguments.of("a.npy", npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"),
            "dtype \"a structure\""),
        Arguments.of("a.npy", npy("<f4", false, "()", floats(1)), "holds no rows of numbers"),
        Arguments.of("a.npy", npy("<f4", false, "(0, 3)"), "holds no rows of numbers"),
        Arguments.of("a.npy", npy("<f4", false, "(9999999999999999999,)"), "is too large"),
        Arguments.of("a.npy", npy("<f4", false, "(4611686018427387904, 4)"), "is too large"),
        Arguments.of("a.npy", npy("<f4", false, "(1, 4294967296)"), "is too large"),
        Arguments.of("a.npy", npy("<f4", false, "(1000000, 1000000)"), "but there are only"),
        Arguments.of("a.npy", npy("<f4", true, "(1, 2, 3)", SIX), "Fortran order"),
        Arguments.of("a.npy", npy("<f4", false, "(" + "1,".repeat(30_000) + ")", SIX), "its header is not that"),
        Arguments.of("a.npy.gz", gzip(npy("<f4", false, "(1000000, 1000000)")), "but there are only"),
        Arguments.of("a.npy.gz", gzip(Arrays.copyOf(npy, npy.length - 1)), "but there are only"),
        Arguments.of("a.npy.gz", gzip(Arrays.copyOf(npy, npy.length + 1)), "follow the last of 2 samples"),
        Arguments.of("a.npy.gz", Arrays.copyOf(gzip(npy), 60), "ends too early"),
        Arguments.of("a.npy.gz", corrupted(gzip(npy)), "is damaged"),
        Arguments.of("a.npy.gz", gzip(npy("<f4", true, "(2, 3)", new byte[23])), "but there are only"),
        Arguments.of("a.npy.gz", gzip(npy("<f4", true, "(2, 3)", new byte[25])), "follow the last"),
        Arguments.of("a.npz", Arrays.copyOf(deflated, deflated.length - 5), "is damaged"),
        Arguments.of("a.npz", wrongChecksum, "wrong checksum"),
        Arguments.of("a.npz", zip(ZipEntry.DEFLATED, "readme.txt", npy), "has no array \"x\", it has none"),
        Arguments.of("a.npz", zip(ZipEntry.DEFLATED, "x.npy", text("no")), "does not begin as a .npy file does"),
        Arguments.of("a.npz", zip(ZipEntry.DEFLATED, "x.npy", npy("<f4", false, "(1000, 1000)", SIX)),
            "but there are only"),
        Arguments.of("bomb.npz", zip(ZipEntry.DEFLATED, "x.npy", npy("<f4", false, "(2, 3)", new byte[1 << 22])),
            "bytes behind the last of 2 samples"),
        Arguments.of("a.npz.gz", gzip(deflated), "compressed archives are not read"),
        Arguments.of("a.safetensors", text("{}"), "too few for a safetensors file"),
        Arguments.of("a.safetensors", safetensors("{}"), "has no array \"x\", it has none"),
        Arguments.of("a.safetensors",
            safetensors("{\"x\":{\"dtype\":\"F8_E8M0\",\"shape\":[1],\"data_offsets\":[0,1]}}", new byte[1]),
            "F8_E8M0 is not read"),
        Arguments.of("a.safetensors",
            safetensors("{\"x\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", new byte[4]),
            "holds no rows of numbers"),
        Arguments.of("cut.idx", Arrays.copyOf(images, 10), "ends within its header"),
        Arguments.of("cut.idx", Arrays.copyOf(images, 15), "but there are only"),
        Arguments.of("long.idx", Arrays.copyOf(images, 17), "has 1 byte behind"),
        Arguments.of("none.idx", idx(8, new int[]{0, 2}), "holds no rows"),
        Arguments.of("huge.gz", gzip(idx(8, new int[]{-1, -1, -1})), "is too large"),
        Arguments.of("cut.gz", gzip(Arrays.copyOf(images, 15)), "but there are only"),
        Arguments.of("a.csv", text("\n\n"), "holds no numbers"),
        Arguments.of("a.csv", text("a,b\n"), "holds no numbers"),
        Arguments.of("a.csv", text("1,2\n3\n"), "line 2 has 1 column, the lines before have 2"),
        Arguments.of("a.csv", text("h,h\n1,2\n\n3,4,5\n"), "line 4 has 3 columns, the lines before have 2"),
        Arguments.of("a.csv", text("a,b\n1,2\n3,x\n"), "line 3, column 2: \"x\" is not a number"),
        Arguments.of("a.csv", text("1,b\n1,2\n"), "line 1, column 2: \"b\" is not a number"),
        Arguments.of("a.csv", text("1,\n"), "line 1, column 2: \"\" is not a number"),
        Arguments.of("a.csv", text("1,0x10\n"), "\"0x10\" is not a number"),
        Arguments.of("a.csv", text("1,2f\n"), "\"2f\" is not a number"),
        Arguments.of("a.csv", text("NA,?\n1,2\n"), "line 1, column 1: \"NA\" is not a number"),
        Arguments.of("a.csv", text("1.5;2\n3,5;4\n"), "line 2, column 1: \"3,5\" is not a number"),
        Arguments.of("a.csv", text("1,5;2\n3.5;4\n"), "line 2, column 1: \"3.5\" is not a number with a decimal comma"),
        Arguments.of("a.csv", text("1;1,234.5\n3;4\n"), "line 1, column 2: \"1,234.5\" is not a number"),
        Arguments.of("a.csv", text("0,1,2\n3,4,5\n"), "the first record is 0, 1, 2: a header or a sample"),
        Arguments.of("a.csv", text("0,1\n0.5,1\n"), "the first record is 0, 1: a header or a sample"),
        Arguments.of("a.csv", text("1,2,3\n.5,1,1\n"), "the first record is 1, 2, 3: a header or a sample"),
        Arguments.of("a.csv", text("2020,2021,2022\n.5,1,1\n"), "the first record is 2020, 2021, 2022: a header"),
        Arguments.of("a.csv", text("1 2\n3 4\n  \n"), "has 1 column,"),
        Arguments.of("a.csv", text(",0,1\n0,.5,1\n1,.5,2\n"), "column 1 has no name and counts the records"),
        Arguments.of("a.csv", text(",a\n0,.5\n1,.5\n"), "column 1 has no name and counts the records"),
        Arguments.of("a.csv.gz", Arrays.copyOf(gzip(text("1,2\n".repeat(1000))), 30), "ends too early"));
  }

  private static byte[] corrupted(byte[] gzip) {
    gzip[gzip.length - 6] ^= 1; // in the checksum
    return gzip;
  }

  @ParameterizedTest(name = "{0}: {2}")
  @MethodSource("damaged")
  void damagedDataAreRefusedInOneLine(String name, byte[] content, String expected) throws IOException {
    Path file = file(folder, name, content);
    var e = assertThrows(FormatException.class, () -> read(SampleFiles.samples(file), 2));
    assertTrue(e.getMessage().contains(expected), e.getMessage());
    assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
  }

  @Test
  void otherRefusals() throws IOException {
    Path missing = folder.resolve("missing.npy");
    assertEquals(missing + ": no such file; check the path",
        assertThrows(IOException.class, () -> SampleFiles.samples(missing)).getMessage());
    assertEquals(folder + ": not a regular file; give the path of a file",
        assertThrows(IOException.class, () -> SampleFiles.samples(folder)).getMessage());
    Path misnamed = file(folder, "a.npz", npy("<f4", false, "(2, 3)", SIX));
    assertEquals(misnamed + ": its array has no name; leave out \":x\"",
        assertThrows(FormatException.class, () -> SampleFiles.samples(Path.of(misnamed + ":x"))).getMessage());
  }

  @Test
  void integerLabelsBeyondFloat32AreRefused() throws IOException {
    byte[] data = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(1 << 24).putLong((1 << 24) + 1)
        .array();
    Path file = file(folder, "l.npy", npy("<i8", false, "(2,)", data));
    var e = assertThrows(FormatException.class, () -> read(SampleFiles.labels(file), 2));
    assertEquals(file + ": the label of sample 1 is 16777217, beyond 2²⁴; use smaller class indices", e.getMessage());
    assertArrayEquals(new float[][]{{0x1p24f}, {0x1p24f}}, read(SampleFiles.samples(file), 2));
    Path csv = file(folder, "l.csv", text("16777216\n-16777217\n"));
    e = assertThrows(FormatException.class, () -> SampleFiles.labels(csv));
    assertEquals(csv + ": line 2, column 1: the label \"-16777217\" is beyond 2²⁴; use smaller class indices",
        e.getMessage());
    assertEquals(2, SampleFiles.samples(csv).samples());
  }

  @Test
  void numbersBeyondFloat32AreCalledSo() throws IOException {
    byte[] doubles = ByteBuffer.allocate(32).order(ByteOrder.LITTLE_ENDIAN).putDouble(1).putDouble(2).putDouble(3)
        .putDouble(-1e39).array();
    for (boolean fortran : new boolean[]{false, true}) {
      SampleSource source = SampleFiles.samples(file(folder, "x.npy", npy("<f8", fortran, "(2, 2)", doubles)));
      assertEquals(source.name() + ": -1.0E39 at [1, 1] (sample, column) is beyond float32's range; scale the numbers",
          assertThrows(FormatException.class, () -> read(source, 2)).getMessage());
    }
    for (String number : List.of("1e39", "-1e400")) {
      Path csv = file(folder, "x.csv", text("1,2\n3,%s\n".formatted(number)));
      assertEquals(csv + ": line 2, column 2: \"%s\" is beyond float32's range; scale the numbers".formatted(number),
          assertThrows(FormatException.class, () -> SampleFiles.samples(csv)).getMessage());
    }
    Path npy = file(folder, "x.npy", npy("<f4", false, "(1, 2)", floats(1e38f, 1)));
    SampleSource scaled = SampleFiles.samples(npy, new SampleReading(CsvOptions.NONE, Optional.of(Scale.parse("10"))));
    assertEquals(npy + ": 9.999999680285692E37 is beyond float32's range once it is scaled",
        assertThrows(IOException.class, () -> read(scaled, 1)).getMessage());
  }

  @Test
  void aFileThatShrinksBetweenPassesIsNoticed() throws IOException {
    Path file = file(folder, "a.npy", npy("<f4", false, "(2, 3)", SIX));
    SampleSource source = SampleFiles.samples(file);
    Files.write(file, new byte[10]);
    assertTrue(assertThrows(FormatException.class, source::open).getMessage().contains("has become shorter"));
  }

  /// Rows longer than the buffer, and several passes at once in threads other than the one that opened them.
  @ParameterizedTest
  @CsvSource({"a.npy", "a.npy.gz", "f.npy", "f.npy.gz", "a.csv"})
  void passesAreIndependent(String name) throws Exception {
    int rows = 5;
    int width = 30_011;
    float[] values = new float[rows * width];
    boolean fortran = name.startsWith("f");
    float[] stored = new float[rows * width];
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
      stored[i] = fortran ? (i % rows) * width + i / rows : i;
    }
    byte[] content = npy("<f4", fortran, "(%d, %d)".formatted(rows, width), floats(stored));
    if (name.endsWith(".csv")) {
      var lines = new ByteArrayOutputStream();
      for (int row = 0; row < rows; row++) {
        float[] line = Arrays.copyOfRange(values, row * width, (row + 1) * width);
        lines.writeBytes(text(Arrays.toString(line).replaceAll("[\\[\\]]", "") + "\n"));
      }
      content = lines.toByteArray();
    }
    SampleSource source = SampleFiles.samples(file(folder, name, name.endsWith(".gz") ? gzip(content) : content));
    float[][] expected = new float[rows][];
    Arrays.setAll(expected, row -> Arrays.copyOfRange(values, row * width, (row + 1) * width));
    try (var threads = Executors.newFixedThreadPool(4)) {
      List<Callable<float[][]>> passes = List.of(() -> read(source, 1), () -> read(source, 2), () -> read(source, 3),
          () -> read(source, 10));
      for (Future<float[][]> pass : threads.invokeAll(passes)) {
        assertArrayEquals(expected, pass.get());
      }
      try (SampleSource.Pass pass = source.open(); Arena arena = Arena.ofShared()) {
        MatrixView target = MatrixView.allocate(arena, 1, width);
        assertEquals(1, threads.submit(() -> pass.read(target)).get());
        assertArrayEquals(expected[0], target.toArray());
      }
    }
  }

  static Stream<Arguments> seeds() {
    return RandomCases.of(100, RandomCases.longs());
  }

  /// Any damage is read or refused, never another exception.
  @ParameterizedTest
  @MethodSource("seeds")
  void mutatedFilesAreReadOrRefused(long seed) throws IOException {
    Random random = new Random(seed);
    for (int n = 0; n < 15; n++) {
      mutatedFileIsReadOrRefused(random);
    }
  }

  private static void mutatedFileIsReadOrRefused(Random random) throws IOException {
    List<Object[]> all = twoRows().map(Arguments::get).toList();
    Object[] chosen = all.get(random.nextInt(all.size()));
    byte[] content = ((byte[]) chosen[1]).clone();
    for (int change = random.nextInt(1, 4); change > 0; change--) {
      content[random.nextInt(content.length)] = (byte) (random.nextBoolean() ? random.nextInt(256) : '9');
    }
    content = Arrays.copyOf(content, random.nextInt(4) == 0 ? random.nextInt(content.length + 4) : content.length);
    Path own = Files.createTempDirectory("mutated");
    Path file = file(own, (String) chosen[0], content);
    try {
      SampleSource source = SampleFiles.samples(file);
      if (source.width() < 1 << 20) {
        read(source, 2);
      }
    } catch (FormatException e) {
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    } finally {
      Files.delete(file);
      Files.delete(own);
    }
  }
}
