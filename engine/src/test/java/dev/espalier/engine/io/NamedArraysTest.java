package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.data.SampleRange;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Arrays that are named after the inputs of a model.
final class NamedArraysTest {
  private static final List<ModelInput> INPUTS = List.of(new ModelInput("branch", 2), new ModelInput("trunk", 1));

  @TempDir
  private Path folder;

  private static SampleReading reading(List<ModelInput> inputs) {
    return new SampleReading(CsvOptions.NONE, Optional.empty(), List.of(), inputs);
  }

  /// Samples of so many numbers, which count from `first` on.
  private record Rows(int samples, int width, int first) {
    float[] values() {
      float[] values = new float[samples * width];
      for (int i = 0; i < values.length; i++) {
        values[i] = first + i;
      }
      return values;
    }
  }

  private static Map<String, Rows> arrays(Object... namesAndRows) {
    Map<String, Rows> arrays = new LinkedHashMap<>();
    for (int i = 0; i < namesAndRows.length; i += 2) {
      arrays.put((String) namesAndRows[i], (Rows) namesAndRows[i + 1]);
    }
    return arrays;
  }

  private Path file(String format, Map<String, Rows> arrays) throws IOException {
    return format.equals("npz") ? npz(arrays) : safetensors(arrays);
  }

  private Path npz(Map<String, Rows> arrays) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      for (Map.Entry<String, Rows> array : arrays.entrySet()) {
        zip.putNextEntry(new ZipEntry(array.getKey() + ".npy"));
        Rows rows = array.getValue();
        zip.write(TestFiles.npy("<f4", false, "(%d, %d)".formatted(rows.samples, rows.width),
            TestFiles.floats(rows.values())));
      }
    }
    return TestFiles.file(folder, "data.npz", bytes.toByteArray());
  }

  private Path safetensors(Map<String, Rows> arrays) throws IOException {
    StringBuilder header = new StringBuilder();
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    for (Map.Entry<String, Rows> array : arrays.entrySet()) {
      Rows rows = array.getValue();
      int start = data.size();
      data.writeBytes(TestFiles.floats(rows.values()));
      header.append(header.isEmpty() ? "{" : ",")
          .append("\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}".formatted(array.getKey(),
              rows.samples, rows.width, start, data.size()));
    }
    return TestFiles.file(folder, "data.safetensors", TestFiles.safetensors(header + "}", data.toByteArray()));
  }

  private static float[] read(SampleSource source) throws IOException {
    try (Arena arena = Arena.ofConfined(); SampleSource.Pass pass = source.open()) {
      MatrixView all = MatrixView.allocate(arena, (int) source.samples() + 1, source.width());
      int rows = 0;
      int more = -1;
      while (more != 0) {
        more = pass.read(all.slice(rows, Math.min(2, all.rows() - rows)));
        rows += more;
      }
      assertEquals(source.samples(), rows);
      return all.slice(0, rows).toArray();
    }
  }

  /// In the order of the model, whatever that of the file is; labels may be there too.
  @ParameterizedTest
  @ValueSource(strings = {"npz", "safetensors"})
  void standSideBySide(String format) throws IOException {
    Path file = file(format, arrays("y", new Rows(3, 1, 50), "trunk", new Rows(3, 1, 10), "branch", new Rows(3, 2, 0)));
    SampleSource samples = SampleFiles.samples(file, reading(INPUTS));
    assertEquals(3, samples.width());
    assertArrayEquals(new float[]{0, 1, 10, 2, 3, 11, 4, 5, 12}, read(samples));
    assertArrayEquals(new float[]{2, 3, 11, 4, 5, 12}, read(new SampleRange(samples, 1, 2)));
    assertArrayEquals(new float[]{50, 51, 52}, read(SampleFiles.labels(file, reading(INPUTS))));
  }

  @ParameterizedTest
  @ValueSource(strings = {"npz", "safetensors"})
  void areRefusedByName(String format) throws IOException {
    refused(format, "has no array \"trunk\", but \"branch\", \"stem\"; the model's inputs are branch (2), trunk (1)",
        arrays("branch", new Rows(3, 2, 0), "stem", new Rows(3, 1, 0)));
    refused(format, "has no array \"trunk\", but \"branch\"; the model's inputs are branch (2), trunk (1)",
        arrays("branch", new Rows(3, 2, 0), "y", new Rows(3, 1, 0)));
    refused(format, "its array \"trunk\" has 2 numbers a sample, and the input takes 1",
        arrays("branch", new Rows(3, 2, 0), "trunk", new Rows(3, 2, 0)));
    refused(format,
        "has an array \"more\" that is none of the inputs; the model's inputs are branch (2), trunk (1); leave it out",
        arrays("branch", new Rows(3, 2, 0), "more", new Rows(3, 2, 0), "trunk", new Rows(3, 1, 0)));
    Path file = file(format, arrays("branch", new Rows(3, 2, 0), "trunk", new Rows(4, 1, 0)));
    assertEquals("%s:branch has 3 samples, and %s:trunk has 4".formatted(file, file),
        assertThrows(MismatchException.class, () -> SampleFiles.samples(file, reading(INPUTS))).getMessage());
  }

  private void refused(String format, String problem, Map<String, Rows> arrays) throws IOException {
    Path file = file(format, arrays);
    assertEquals(file + ": " + problem,
        assertThrows(FormatException.class, () -> SampleFiles.samples(file, reading(INPUTS))).getMessage());
  }

  /// A single array has all inputs, also if it is called as one of them.
  @ParameterizedTest
  @ValueSource(strings = {"npz", "safetensors"})
  void aSingleArrayHasAllInputs(String format) throws IOException {
    for (String name : List.of("x", "branch", "anything")) {
      SampleSource samples = SampleFiles.samples(file(format, arrays(name, new Rows(2, 3, 0))), reading(INPUTS));
      assertArrayEquals(new float[]{0, 1, 2, 3, 4, 5}, read(samples));
    }
  }

  /// The array of a model of one input may have the input's name, which goes before the usual one.
  @ParameterizedTest
  @ValueSource(strings = {"npz", "safetensors"})
  void aSingleInputHasItsArray(String format) throws IOException {
    List<ModelInput> input = List.of(new ModelInput("features", 2));
    Path both = file(format, arrays("x", new Rows(1, 2, 0), "features", new Rows(1, 2, 7)));
    assertArrayEquals(new float[]{7, 8}, read(SampleFiles.samples(both, reading(input))));
    assertArrayEquals(new float[]{0, 1}, read(SampleFiles.samples(Path.of(both + ":x"), reading(input))));
    assertArrayEquals(new float[]{0, 1}, read(SampleFiles.samples(both)));
    Path other = file(format, arrays("x", new Rows(1, 2, 0), "y", new Rows(1, 2, 7)));
    assertArrayEquals(new float[]{0, 1}, read(SampleFiles.samples(other, reading(input))));
  }

  @Test
  void inputsOfAModelAreThoseThatItsOutputsNeed() throws IOException {
    Path path = TestFiles.file(folder, "model.onnx",
        new OnnxModel(0, 3).input("unused", 0, 7).input("t", 0, 2).normal("b", TestNetworks.random(1), 4, 3)
            .normal("w", TestNetworks.random(2), 2, 4).node("Gemm", "x b", "zb", "transB", 1)
            .node("MatMul", "t w", "zt").node("Mul", "zb zt", "y").bytes(17));
    ModelReading reading = new ModelReading(Optional.empty(), List.of(), OptionalInt.empty());
    assertEquals(List.of(new ModelInput("x", 3), new ModelInput("t", 2)), ModelFile.inputs(path, reading));
    assertEquals(List.of(), ModelFile.inputs(file("safetensors", arrays("x", new Rows(1, 2, 0))), reading));
  }
}
