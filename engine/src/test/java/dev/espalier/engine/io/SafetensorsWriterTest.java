package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.file;
import static dev.espalier.engine.io.TestFiles.list;
import static dev.espalier.engine.io.TestFiles.safetensors;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.RandomCases;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsWriterTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void aNewFileIsReadBack() throws IOException {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", "pt");
    metadata.put("activations", "relu,\"q\"");
    Path path = folder.resolve("new.safetensors");
    SafetensorsWriter.write(path, false,
        List.of(new NewTensor("h", DType.F16, List.of(3L), MatrixView.of(arena, 1, 3, 1, -2, 0.5f)),
            NewTensor.matrix("0.weight", MatrixView.of(arena, 2, 2, 1, 2, 3, 4)),
            NewTensor.vector("0.bias", MatrixView.of(arena, 1, 2, 5, Float.NaN)),
            new NewTensor("d", DType.F64, List.of(1L, 1L, 1L), MatrixView.of(arena, 1, 1, 0.1f))),
        metadata);
    SafetensorsFile opened = SafetensorsFile.open(path, arena);
    assertEquals(List.copyOf(metadata.entrySet()), List.copyOf(opened.metadata().entrySet()));
    assertEquals(List.of("h", "0.weight", "0.bias", "d"), opened.tensors().stream().map(Tensor::name).toList());
    assertArrayEquals(new float[]{1, 2, 3, 4}, floats(opened, "0.weight"));
    assertArrayEquals(new float[]{5, Float.NaN}, floats(opened, "0.bias"));
    assertArrayEquals(new float[]{1, -2, 0.5f}, floats(opened, "h"));
    assertEquals(List.of(2L, 2L), opened.tensor("0.weight").orElseThrow().shape());
    assertEquals(0, opened.header().byteSize() % 8);
    for (Tensor tensor : opened.tensors()) {
      assertEquals(0, opened.offset(tensor) % tensor.dtype().bytes(), tensor.name() + " is not aligned");
    }
  }

  private float[] floats(SafetensorsFile file, String name) throws FormatException {
    return file.asFloat32(file.tensor(name).orElseThrow(), arena).toArray();
  }

  /// Random bytes: NaN with payloads, subnormals, doubles beyond float32.
  private static byte[] randomTensor(DType dtype, int elements, long seed) {
    byte[] data = new byte[elements * dtype.bytes()];
    new Random(seed).nextBytes(data);
    return data;
  }

  private static byte[] fileOf(DType dtype, byte[] data) {
    return safetensors("{\"w\" : {\"data_offsets\":[0,%d],\"dtype\":\"%s\",\"shape\":[%d]}}  ".formatted(data.length,
        dtype, data.length / dtype.bytes()), data);
  }

  @ParameterizedTest
  @EnumSource
  void allTypesArePassedThrough(DType dtype) throws IOException {
    byte[] data = new byte[24];
    new Random(1).nextBytes(data);
    byte[] content = safetensors(
        "{\"w\" : {\"data_offsets\":[0,24],\"dtype\":\"%s\",\"shape\":[%d]}}  ".formatted(dtype, 24 * 8 / dtype.bits()),
        data);
    SafetensorsFile original = SafetensorsFile.open(file(folder, "in", content), arena);
    Path copy = folder.resolve("copy");
    SafetensorsWriter.rewrite(original, copy, false, Map.of(), List.of());
    assertArrayEquals(content, Files.readAllBytes(copy));
    NewTensor bias = NewTensor.vector("b", MatrixView.of(arena, 1, 1, 7));
    Path grown = folder.resolve("grown");
    SafetensorsWriter.rewrite(original, grown, false, Map.of(), List.of(bias));
    SafetensorsFile read = SafetensorsFile.open(grown, arena);
    Tensor tensor = read.tensor("w").orElseThrow();
    assertEquals(dtype, tensor.dtype());
    assertArrayEquals(data, tensor.data().toArray(ValueLayout.JAVA_BYTE));
    assertArrayEquals(new float[]{7}, floats(read, "b"));
  }

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16", "F32", "F64"})
  void untouchedElementsKeepTheirBytes(DType dtype) throws IOException {
    int elements = 200_003; // more than one buffer
    byte[] data = randomTensor(dtype, elements, 42);
    for (int at = 0; dtype == DType.F64 && at < data.length; at += Double.BYTES) { // into the range of float32
      ByteBuffer element = ByteBuffer.wrap(data, at, Double.BYTES).slice().order(ByteOrder.LITTLE_ENDIAN);
      double value = element.getDouble(0);
      element.putDouble(0, Math.abs(value) > 1e38 && Double.isFinite(value) ? Math.scalb(value, -1000) : value);
    }
    SafetensorsFile original = SafetensorsFile.open(file(folder, "in", fileOf(dtype, data)), arena);
    MatrixView values = original.asFloat32(original.tensors().getFirst(), arena).copy(arena);
    Path out = folder.resolve("out");
    SafetensorsWriter.rewrite(original, out, false, Map.of("w", values), List.of());
    assertArrayEquals(fileOf(dtype, data), Files.readAllBytes(out));
    values.set(0, 131_072, 0);
    values.set(0, elements - 1, -1.25f);
    SafetensorsWriter.rewrite(original, out, true, Map.of("w", values), List.of());
    int bytes = dtype.bytes();
    byte[] expected = data.clone();
    MemorySegment segment = MemorySegment.ofArray(expected);
    segment.asSlice(131_072L * bytes, bytes).fill((byte) 0);
    dtype.write(segment, elements - 1, -1.25f);
    assertArrayEquals(fileOf(dtype, expected), Files.readAllBytes(out));
  }

  @Test
  void aFileCanReplaceItself() throws IOException {
    byte[] data = TestFiles.floats(1, 2, 3);
    Path path = file(folder, "m", fileOf(DType.F32, data));
    SafetensorsFile original = SafetensorsFile.open(path, arena);
    SafetensorsWriter.rewrite(original, path, true, Map.of("w", MatrixView.of(arena, 1, 3, 1, 0, 3)), List.of());
    assertArrayEquals(fileOf(DType.F32, TestFiles.floats(1, 0, 3)), Files.readAllBytes(path));
    assertArrayEquals(new float[]{1, 2, 3}, floats(original, "w"));
    assertEquals(List.of("m"), list(folder));
  }

  @Test
  void addedTensorsLeaveTheRestAndStayAligned() throws IOException {
    byte[] data = ByteBuffer.allocate(14).order(ByteOrder.LITTLE_ENDIAN).putFloat(1).putFloat(2)
        .putShort((short) 0x3c00).putShort((short) 0x4000).putShort((short) 0x4200).array();
    String header = """
        {"__metadata__":{"k":"v"},"half":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},\
        "w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}""";
    SafetensorsFile original = SafetensorsFile.open(file(folder, "in", safetensors(header, data)), arena);
    Path out = folder.resolve("out");
    SafetensorsWriter.rewrite(original, out, false, Map.of("w", MatrixView.of(arena, 2, 1, 1, 0)),
        List.of(NewTensor.vector("b32", MatrixView.of(arena, 1, 1, 3)),
            new NewTensor("b16", DType.BF16, List.of(1L), MatrixView.of(arena, 1, 1, 4))));
    SafetensorsFile read = SafetensorsFile.open(out, arena);
    assertEquals(List.of("half", "w", "b32", "b16"), read.tensors().stream().map(Tensor::name).toList());
    assertEquals(Map.of("k", "v"), read.metadata());
    assertEquals(0, read.header().byteSize() % 8);
    assertArrayEquals(new float[]{1, 2, 3}, floats(read, "half"));
    assertArrayEquals(new float[]{1, 0}, floats(read, "w"));
    assertArrayEquals(new float[]{3}, floats(read, "b32"));
    assertArrayEquals(new float[]{4}, floats(read, "b16"));
    for (Tensor tensor : read.tensors()) {
      assertEquals(0, read.offset(tensor) % tensor.dtype().bytes(), tensor.name() + " is not aligned");
    }
  }

  @Test
  void aValueBeyondTheTypeIsRefusedAndLeavesNoFile() throws IOException {
    SafetensorsFile original = SafetensorsFile.open(file(folder, "in", fileOf(DType.F16, new byte[4])), arena);
    var e = assertThrows(FormatException.class, () -> SafetensorsWriter.rewrite(original, folder.resolve("out"), false,
        Map.of("w", MatrixView.of(arena, 1, 2, 0, 70000)), List.of()));
    assertTrue(e.getMessage().contains("element 1 of tensor \"w\" is 70000.0, beyond the range of F16"),
        e.getMessage());
    assertEquals(List.of("in"), list(folder));
  }

  @Test
  void changesThatDoNotFitAreRefused() throws IOException {
    SafetensorsFile original = SafetensorsFile.open(file(folder, "in", fileOf(DType.F32, new byte[24])), arena);
    Path out = folder.resolve("out");
    MatrixView six = MatrixView.allocate(arena, 1, 6);
    for (Map<String, MatrixView> changed : List.of(Map.of("missing", six),
        Map.of("w", MatrixView.allocate(arena, 2, 3)), Map.of("w", MatrixView.allocate(arena, 1, 5)))) {
      assertThrows(IllegalArgumentException.class,
          () -> SafetensorsWriter.rewrite(original, out, false, changed, List.of()));
    }
    List<NewTensor> existing = List.of(NewTensor.vector("w", six));
    assertThrows(IllegalArgumentException.class,
        () -> SafetensorsWriter.rewrite(original, out, false, Map.of(), existing));
    assertThrows(IllegalArgumentException.class, () -> new NewTensor("x", DType.F32, List.of(5L), six));
    assertThrows(IllegalArgumentException.class, () -> new NewTensor("x", DType.I32, List.of(6L), six));
    assertThrows(IllegalArgumentException.class, () -> NewTensor.vector("__metadata__", six));
    assertEquals(List.of("in"), list(folder));
  }

  static Stream<Arguments> countsOfTensors() {
    return RandomCases.of(200, RandomCases.ints(0, 6), RandomCases.longs());
  }

  @ParameterizedTest
  @MethodSource("countsOfTensors")
  void anyNamesAndMetadataSurvive(int count, long seed) throws IOException {
    Path path = Files.createTempDirectory("names").resolve("m");
    try (Arena own = Arena.ofConfined()) {
      Map<String, NewTensor> tensors = new LinkedHashMap<>();
      Map<String, String> metadata = new HashMap<>();
      Random random = new Random(seed);
      for (int i = 0; i < count; i++) {
        String name = text(random);
        metadata.put(name, text(random));
        DType dtype = List.of(DType.F16, DType.BF16, DType.F32, DType.F64).get(random.nextInt(4));
        int columns = random.nextInt(1, 9);
        tensors.put(name,
            new NewTensor(name, dtype, List.of((long) columns, 1L), MatrixView.allocate(own, 1, columns)));
      }
      SafetensorsWriter.write(path, false, List.copyOf(tensors.values()), metadata);
      SafetensorsFile read = SafetensorsFile.open(path, own);
      assertEquals(metadata, read.metadata());
      assertEquals(List.copyOf(tensors.keySet()), read.tensors().stream().map(Tensor::name).toList());
    } finally {
      Files.deleteIfExists(path);
      Files.delete(path.getParent());
    }
  }

  /// Up to 20 characters: any of Unicode's, those of JSON's syntax, and control characters. Java strings may hold lone
  /// surrogates, files in UTF-8 may not.
  private static String text(Random random) {
    StringBuilder text = new StringBuilder();
    for (int length = random.nextInt(21); length > 0; length--) {
      text.appendCodePoint(switch (random.nextInt(4)) {
        case 0 -> "\"\\{}[],:/".charAt(random.nextInt(9));
        case 1 -> random.nextInt(0x80);
        case 2 -> random.nextInt(Character.MIN_SUPPLEMENTARY_CODE_POINT);
        default -> random.nextInt(Character.MAX_CODE_POINT + 1);
      });
    }
    return new String(text.toString().getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
  }
}
