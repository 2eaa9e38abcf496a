package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.file;
import static dev.espalier.engine.io.TestFiles.floats;
import static dev.espalier.engine.io.TestFiles.safetensors;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.RandomCases;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsFileTest {
  private static final String ABC = """
      {"__metadata__":{"z":"1","a":"ä\\n"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[1,25]},\
      "a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},"c":{"dtype":"F16","shape":[],"data_offsets":[25,27]},\
      "none":{"dtype":"I64","shape":[7,0],"data_offsets":[25,25]}}\s\s\s""";

  @TempDir
  private Path folder;

  private static byte[] abcData() {
    byte[] data = new byte[27];
    System.arraycopy(floats(1, 2, 3, 4, 5, 6), 0, data, 1, 24);
    data[0] = 0x21;
    data[26] = 0x3c;
    return data;
  }

  @Test
  void everythingIsReadInHeaderOrder() throws IOException {
    Path path = file(folder, "m.safetensors", safetensors(ABC, abcData()));
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile opened = SafetensorsFile.open(path, arena);
      assertEquals(List.of("z", "a"), List.copyOf(opened.metadata().keySet()));
      assertEquals(Map.of("z", "1", "a", "ä\n"), opened.metadata());
      assertEquals(List.of("b", "a", "c", "none"), opened.tensors().stream().map(Tensor::name).toList());
      assertArrayEquals(ABC.getBytes(StandardCharsets.UTF_8), opened.header().toArray(ValueLayout.JAVA_BYTE));
      Tensor b = opened.tensor("b").orElseThrow();
      MatrixView matrix = opened.asFloat32(b, arena);
      assertEquals(b.data().address(), matrix.segment().address());
      assertEquals(2, matrix.rows());
      assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, matrix.toArray());
      assertArrayEquals(new float[]{1}, opened.asFloat32(opened.tensor("c").orElseThrow(), arena).toArray());
      assertEquals(0x21, opened.tensor("a").orElseThrow().data().get(ValueLayout.JAVA_BYTE, 0));
      assertEquals(2, opened.tensor("a").orElseThrow().elements());
      for (String unreadable : List.of("a", "none")) {
        Tensor tensor = opened.tensor(unreadable).orElseThrow();
        var e = assertThrows(FormatException.class, () -> opened.asFloat32(tensor, arena));
        assertTrue(e.getMessage().contains("is not a numeric vector or matrix"), e.getMessage());
      }
    }
  }

  static Stream<Arguments> damaged() {
    byte[] eight = new byte[8];
    String end = "\"shape\":[2],\"data_offsets\":[0,8]}";
    String entry = "{\"dtype\":\"F32\"," + end;
    return Stream.of(Arguments.of("file is empty", new byte[0]), Arguments.of("7 bytes are too few", new byte[7]),
        Arguments.of("not a JSON object", new byte[8]),
        Arguments.of("18446744073709551615 bytes is beyond the limit", filled(8, -1)),
        Arguments.of("the header has 123 bytes, but only 8 are left", headerLength(123)),
        Arguments.of("100000001 bytes is beyond the limit", headerLength(100_000_001)),
        Arguments.of("not a JSON object", safetensors("[]")),
        Arguments.of("is not the JSON of", safetensors("{\"a\":" + entry, eight)),
        Arguments.of("something follows", safetensors("{\"a\":" + entry + "} {}", eight)),
        Arguments.of("Duplicate", safetensors("{\"a\":" + entry + ",\"a\":" + entry + "}", eight)),
        Arguments.of("Duplicate", safetensors("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}")),
        Arguments.of("\"a\" is not a string", safetensors("{\"__metadata__\":{\"a\":1}}")),
        Arguments.of("__metadata__ is not an object", safetensors("{\"__metadata__\":3}")),
        Arguments.of("tensor \"a\" is not an object", safetensors("{\"a\":[]}")),
        Arguments.of("are needed", safetensors("{\"a\":{}}")),
        Arguments.of("are needed", safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}", eight)),
        Arguments.of("unknown dtype \"F31\"", safetensors("{\"a\":{\"dtype\":\"F31\"," + end + "}", eight)),
        Arguments.of("dtype is not a string", safetensors("{\"a\":{\"dtype\":null," + end + "}", eight)),
        Arguments.of("unknown member \"x\"", safetensors("{\"a\":{\"x\":0," + end + "}", eight)),
        Arguments.of("-2 is negative", tensors(8, "F32 -2 0 8")),
        Arguments.of("-1 is negative", tensors(8, "F32 2 -1 7")),
        Arguments.of("list of at most 64 integers", tensors(8, "F32 2.0 0 8")),
        Arguments.of("list of at most 64 integers", tensors(4, "F32 " + "1,".repeat(64) + "1 0 4")),
        Arguments.of("out of range of `long`", tensors(8, "F32 99999999999999999999 0 8")),
        Arguments.of("is too large", tensors(8, "F32 4611686018427387904,4 0 8")),
        Arguments.of("needs 96 bits, but its data_offsets hold 8 bytes", tensors(8, "F32 3 0 8")),
        Arguments.of("needs 12 bits", tensors(1, "F4 3 0 1")),
        Arguments.of("end past the data of 8 bytes", tensors(8, "F32 3 0 12")),
        Arguments.of("run backwards", tensors(8, "F32 2 8 0")),
        Arguments.of("\"t0\" and \"t1\" overlap", tensors(8, "F32 2 0 8", "F32 1 4 8")),
        Arguments.of("4 bytes between \"t0\" and tensor \"t1\"", tensors(12, "F32 1 0 4", "F32 1 8 12")),
        Arguments.of("4 bytes between the header and tensor", tensors(8, "F32 1 4 8")),
        Arguments.of("has 1 byte behind the last tensor", tensors(9, "F32 2 0 8")),
        Arguments.of("nesting depth", safetensors("{\"a\":{\"shape\":[[" + "[".repeat(100_000))),
        Arguments.of("is not the JSON of", invalidUtf8()));
  }

  private static byte[] invalidUtf8() {
    byte[] bytes = safetensors("{\"?\":{}}");
    bytes[Long.BYTES + 2] = (byte) 0xff;
    return bytes;
  }

  private static byte[] filled(int length, int value) {
    byte[] bytes = new byte[length];
    Arrays.fill(bytes, (byte) value);
    return bytes;
  }

  private static byte[] headerLength(int length) {
    byte[] bytes = new byte[16];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
    return bytes;
  }

  /// A file of tensors t0, t1 … each given as `dtype shape begin end`.
  private static byte[] tensors(int dataBytes, String... tensors) {
    StringBuilder header = new StringBuilder();
    for (int i = 0; i < tensors.length; i++) {
      String[] parts = tensors[i].split(" ", 4);
      header.append("%s\"t%d\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%s,%s]}".formatted(i == 0 ? "{" : ",",
          i, parts[0], parts[1], parts[2], parts[3]));
    }
    return safetensors(header + "}", new byte[dataBytes]);
  }

  @ParameterizedTest
  @MethodSource("damaged")
  void damagedFilesAreRefusedInOneLine(String expected, byte[] content) throws IOException {
    Path path = file(folder, "m.safetensors", content);
    try (Arena arena = Arena.ofConfined()) {
      var e = assertThrows(FormatException.class, () -> SafetensorsFile.open(path, arena));
      assertTrue(e.getMessage().contains(expected), e.getMessage());
      assertTrue(e.getMessage().startsWith(path + ": "), e.getMessage());
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }
  }

  @Test
  void messagesCarryNoControlCharactersFromTheFile() throws IOException {
    Path path = file(folder, "m.safetensors",
        safetensors("{\"\\u001b[31m\\n" + "x".repeat(10_000) + "\":{\"dtype\":1}}"));
    try (Arena arena = Arena.ofConfined()) {
      String message = assertThrows(FormatException.class, () -> SafetensorsFile.open(path, arena)).getMessage();
      assertTrue(message.chars().noneMatch(Character::isISOControl), message);
      assertTrue(message.length() < 400 + path.toString().length(), message);
    }
  }

  @Test
  void unreadableFilesAreNamed() {
    try (Arena arena = Arena.ofConfined()) {
      Path missing = folder.resolve("missing");
      var e = assertThrows(IOException.class, () -> SafetensorsFile.open(missing, arena));
      assertEquals(missing + ": no such file; check the path", e.getMessage());
      e = assertThrows(IOException.class, () -> SafetensorsFile.open(folder, arena));
      assertEquals(folder + ": not a regular file; give the path of a file", e.getMessage());
    }
  }

  static Stream<Arguments> seeds() {
    return RandomCases.of(100, RandomCases.longs());
  }

  /// Bytes changed, removed, doubled or replaced by pieces of other headers: valid or a FormatException,
  /// no more.
  @ParameterizedTest
  @MethodSource("seeds")
  void mutatedHeadersAreReadOrRefused(long seed) throws IOException {
    Random random = new Random(seed);
    for (int n = 0; n < 30; n++) {
      mutatedHeaderIsReadOrRefused(random);
    }
  }

  private static void mutatedHeaderIsReadOrRefused(Random random) throws IOException {
    byte[] header = ABC.getBytes(StandardCharsets.UTF_8);
    String[] pieces = {"9223372036854775807", "-1", "{", "}", "[", "]", "\"", ",", "null", "1e999", "F64", "\\u0000",
        "\"shape\":[", "\"__metadata__\":{", "true"};
    for (int change = random.nextInt(1, 4); change > 0; change--) {
      int at = random.nextInt(header.length);
      int to = Math.min(header.length, at + random.nextInt(12));
      byte[] piece = switch (random.nextInt(4)) {
        case 0 -> new byte[]{(byte) random.nextInt(256)};
        case 1 -> new byte[0];
        case 2 -> Arrays.copyOfRange(header, at, Math.min(header.length, at + random.nextInt(60)));
        default -> pieces[random.nextInt(pieces.length)].getBytes(StandardCharsets.UTF_8);
      };
      byte[] changed = Arrays.copyOf(header, at + piece.length + header.length - to);
      System.arraycopy(piece, 0, changed, at, piece.length);
      System.arraycopy(header, to, changed, at + piece.length, header.length - to);
      header = changed;
      if (header.length == 0) {
        break;
      }
    }
    try {
      SafetensorsHeader parsed = SafetensorsHeader.parse(Path.of("m"), header, 27);
      SafetensorsHeader again = SafetensorsHeader.parse(Path.of("m"), parsed.toJson(), 27);
      assertEquals(parsed, again);
    } catch (FormatException e) {
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }
  }

  /// The same for whole files, their length included.
  @ParameterizedTest
  @MethodSource("seeds")
  void mutatedFilesAreReadOrRefused(long seed) throws IOException {
    Random random = new Random(seed);
    for (int n = 0; n < 5; n++) {
      mutatedFileIsReadOrRefused(random);
    }
  }

  private static void mutatedFileIsReadOrRefused(Random random) throws IOException {
    byte[] content = safetensors(ABC, abcData());
    for (int change = random.nextInt(1, 4); change > 0; change--) {
      content[random.nextInt(random.nextBoolean() ? 8 : content.length)] = (byte) random.nextInt(256);
    }
    content = Arrays.copyOf(content, random.nextInt(content.length + 1));
    Path path = Files.createTempFile("mutated", ".safetensors");
    try (Arena arena = Arena.ofConfined()) {
      Files.write(path, content);
      SafetensorsFile.open(path, arena);
    } catch (FormatException e) {
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    } finally {
      Files.delete(path);
    }
  }

  @Test
  void namesOtherFormats() throws IOException {
    Map<String, String> starts = Map.of("PK\3\4", "a zip archive", "\u0080\2", "a Python pickle", "\u0089HDF\r\n",
        "an HDF5 file", "GGUF", "a GGUF file", "\b\7\u0012\7pytorch", "an ONNX model", "\u001f\u008b", "gunzip",
        "version https://git-lfs.github.com/spec/v1", "git lfs pull", "<!DOCTYPE html>", "a web page");
    for (Map.Entry<String, String> start : starts.entrySet()) {
      Path path = TestFiles.file(folder, "model",
          (start.getKey() + "1234567890123456").getBytes(StandardCharsets.ISO_8859_1));
      String message = assertThrows(FormatException.class, () -> SafetensorsFile.open(path, Arena.ofAuto()))
          .getMessage();
      assertTrue(message.startsWith(path + ": is ") && message.contains(start.getValue()), message);
    }
    // A header whose length is the first byte of another format.
    Path path = TestFiles.file(folder, "model",
        TestFiles.safetensors("{\"__metadata__\":{\"a\":\"" + "b".repeat(0x8b1f - 25) + "\"}}"));
    assertEquals(0x8b1f, SafetensorsFile.open(path, Arena.ofAuto()).header().byteSize());
  }
}
