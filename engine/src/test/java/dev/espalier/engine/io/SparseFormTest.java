package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Files that leave out zeros, written and read again.
final class SparseFormTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({"CSR,F32", "CSR,F16", "CSR,BF16", "CSR,F64", "TWO_OF_FOUR,F32", "TWO_OF_FOUR,F16", "TWO_OF_FOUR,BF16",
      "TWO_OF_FOUR,F64"})
  void comesBackAsItWas(SparseForm form, DType dtype) throws IOException {
    for (int seed = 0; seed < 20; seed++) {
      RandomGenerator random = TestNetworks.random(seed);
      int inputs = 4 * (5 + random.nextInt(9));
      Path dense = write(new NewTensor("0.weight", dtype, List.of(9L, (long) inputs), sparse(random, form, 9, inputs)),
          new NewTensor("0.bias", DType.F32, List.of(9L), MatrixView.allocate(arena, 1, 9)),
          new NewTensor("1.weight", dtype, List.of(3L, 9L), MatrixView.of(arena, 3, 9, full(27))),
          new NewTensor("steps", DType.F64, List.of(1L), MatrixView.of(arena, 1, 1, 7)));
      ModelFile model = ModelFile.load(dense, Optional.empty(), arena);
      assertEquals(List.of(0), model.sparseLayers(form));
      Path target = folder.resolve("sparse.safetensors");
      saveSparse(model, target, form);
      ModelFile read = ModelFile.load(target, Optional.empty(), arena);
      assertEquals(List.of("sparse weights are read as dense ones"), read.notes());
      assertEquals(model.file().metadata(), read.file().metadata());
      assertEquals(bytes(model.file()), bytes(read.file()), "seed " + seed);
      assertEquals(model.denseBytes(0) - model.sparseBytes(0, form).orElseThrow(),
          dataBytes(model.file()) - dataBytes(SafetensorsFile.open(target, arena)));
      Path again = folder.resolve("again.safetensors");
      read.save(again, read.network(), true);
      assertArrayEquals(Files.readAllBytes(dense), Files.readAllBytes(again));
    }
  }

  @Test
  void hasTheDocumentedTensors() throws IOException {
    ModelFile model = ModelFile.load(
        write(NewTensor.matrix("fc.weight",
            MatrixView.of(arena, 3, 8, 0, 0, 0, 5, 6, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, -8, 0, 0, 0, 0, 9, 0, 0))),
        Optional.empty(), arena);
    Path csr = folder.resolve("csr.safetensors");
    saveSparse(model, csr, SparseForm.CSR);
    SafetensorsFile file = SafetensorsFile.open(csr, arena);
    assertEquals(Map.of("activations", "identity", "fc.weight.shape", "3,8"), file.metadata());
    assertEquals(List.of("fc.weight.crow_indices", "fc.weight.col_indices", "fc.weight.values"),
        file.tensors().stream().map(Tensor::name).toList());
    assertTensor(file, "fc.weight.crow_indices", DType.I32, List.of(4L), 0, 3, 3, 5);
    assertTensor(file, "fc.weight.col_indices", DType.I32, List.of(5L), 3, 4, 6, 0, 5);
    assertTensor(file, "fc.weight.values", DType.F32, List.of(5L), 5, 6, 7, -8, 9);

    Path half = folder.resolve("half.safetensors");
    saveSparse(model, half, SparseForm.TWO_OF_FOUR);
    file = SafetensorsFile.open(half, arena);
    assertTensor(file, "fc.weight.values", DType.F32, List.of(3L, 4L), 0, 5, 6, 7, 0, 0, 0, 0, -8, 0, 0, 9);
    assertTensor(file, "fc.weight.indices_2_4", DType.U8, List.of(3L, 1L), 0b1000_1100, 0b0100_0100, 0b0100_0100);
  }

  @Test
  void largerLayersStayDense() throws IOException {
    Path path = write(NewTensor.matrix("0.weight", MatrixView.of(arena, 2, 4, full(8))));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(OptionalLong.empty(), model.sparseBytes(0, SparseForm.TWO_OF_FOUR));
    assertEquals(OptionalLong.of(8 * 8 + 3 * 4), model.sparseBytes(0, SparseForm.CSR));
    Path target = folder.resolve("sparse.safetensors");
    FormatException refusal = assertThrows(FormatException.class,
        () -> saveSparse(model, target, SparseForm.TWO_OF_FOUR));
    assertEquals(path + ": no layer becomes smaller as 2:4; prune it first, with the scope 2:4", refusal.getMessage());
    assertThrows(FormatException.class, () -> saveSparse(model, target, SparseForm.COO));
    assertEquals(List.of("model.safetensors"), TestFiles.list(folder));
  }

  /// What is written can be read: 20 MB of zeros in a file of a few bytes could not.
  @Test
  void layersOfNextToNoValuesStayDense() throws IOException {
    ModelFile model = ModelFile.load(write(NewTensor.matrix("0.weight", MatrixView.allocate(arena, 1, 5_000_000))),
        Optional.empty(), arena);
    assertEquals(OptionalLong.of(8), model.sparseBytes(0, SparseForm.CSR));
    assertEquals(List.of(), model.sparseLayers(SparseForm.CSR));
  }

  @ParameterizedTest
  @ValueSource(strings = {"relu.onnx", "gelu.onnx", "sklearn.onnx", "deeponet.onnx", "layernorm.onnx"})
  void onnxRuntimeComputesTheSame(String name) throws Exception {
    ModelFile model = ModelFile.load(copy(name), Optional.empty(), arena);
    Path pruned = folder.resolve("pruned.onnx");
    model.save(pruned, mostlyZero(model.network()), false);
    ModelFile dense = ModelFile.load(pruned, Optional.empty(), arena);
    Path target = folder.resolve("sparse.onnx");
    saveSparse(dense, target, SparseForm.COO);
    assertTrue(Files.size(target) < Files.size(pruned));
    OnnxRuntime.assertSameOutputs(dense.network(), target);

    ModelFile read = ModelFile.load(target, Optional.empty(), arena);
    assertEquals(bytes(dense.file()), bytes(read.file()));
    Path again = folder.resolve("again.onnx");
    read.save(again, read.network(), false);
    OnnxRuntime.assertSameOutputs(dense.network(), again);
    assertEquals(Files.size(pruned), Files.size(again));
  }

  @Test
  void readsOnnxIndicesWithACoordinateForEachDimension() throws Exception {
    Path path = TestFiles.file(folder, "m.onnx",
        new OnnxModel(0, 3).sparse("w", new long[]{2, 3}, new long[]{0, 2, 1, 0}, 2, 5, 7)
            .node("Gemm", "x w", "y", "transB", 1).bytes(20));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    assertArrayEquals(new float[]{0, 0, 5, 7, 0, 0}, model.network().layers().getFirst().weights().toArray());
    OnnxRuntime.assertSameOutputs(model.network(), path);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', value = {"2,3 | 6 | 1 | place 6 is beyond the shape [2, 3]; export it again",
      "2,3 | 1,1 | 2 | place 1 stands behind place 1; places ascend",
      "2,3 | 1,0 | 2 | place 0 stands behind place 1; places ascend",
      "2,3 | -1 | 1 | place -1 stands behind place -1; places ascend",
      "2,3 | 1,2 | 1 | 1 values of shape [2, 3] have 16 bytes of indices, which are not their places in I64; export it again",
      "3000000,3000000 | 1 | 1 | of shape [3000000, 3000000] is too large for a file with so few values; write it as a dense one",
      "4611686018427387904,4 | 1 | 1 | of shape [4611686018427387904, 4] is too large for a file with so few values; write it as a dense one"})
  void refusesOnnxIndices(String shape, String places, int values, String message) throws IOException {
    assertRefused(TestFiles.file(folder, "m.onnx", new OnnxModel(0, 3)
        .sparse("w", numbers(shape), numbers(places), 1, full(values)).node("Gemm", "x w", "y", "transB", 1).bytes(20)),
        message);
  }

  /// A matrix 2 × 4 in compressed rows, with one part of its own.
  @ParameterizedTest
  @CsvSource(delimiter = '|', value = {"crow | 0,2,1 | the offset of row 2 is 1 of 3 values; write it again",
      "crow | 0,2,4 | the offset of row 2 is 4 of 3 values; write it again",
      "crow | 1,2,3 | the offset of row 0 is 1 of 3 values; write it again",
      "crow | 0,-1,3 | the offset of row 1 is -1 of 3 values; write it again",
      "crow | 0,2 | 2 row offsets, 3 columns and 3 values make no matrix of 2 rows; write it again",
      "col | 0,4,1 | column 4 stands behind column 0 in row 0 of 4 columns; columns ascend within a row",
      "col | 1,0,1 | column 0 stands behind column 1 in row 0 of 4 columns; columns ascend within a row",
      "col | 1,1,1 | column 1 stands behind column 1 in row 0 of 4 columns; columns ascend within a row",
      "col | -1,0,1 | column -1 stands behind column -1 in row 0 of 4 columns; columns ascend within a row",
      "col | 0,1 | 3 row offsets, 2 columns and 3 values make no matrix of 2 rows; write it again",
      "shape | '' | the metadata \"0.weight.shape\" do not tell its shape; write it as rows,columns",
      "shape | 2;4 | the metadata \"0.weight.shape\" do not tell its shape; write it as rows,columns",
      "shape | 2,999999999999999999 | of shape [2, 999999999999999999] is too large for a file with so few values; write it as a dense one",
      "shape | 3,4 | 3 row offsets, 3 columns and 3 values make no matrix of 3 rows; write it again"})
  void refusesCompressedRows(String part, String content, String message) throws IOException {
    long[] first = part.equals("crow") ? numbers(content) : new long[]{0, 2, 3};
    long[] columns = part.equals("col") ? numbers(content) : new long[]{0, 3, 1};
    Path path = csr(part.equals("shape") ? content : "2,4", first, columns, 3);
    assertRefused(path, message);
  }

  @Test
  void readsCompressedRowsOfIndicesOf64Bits() throws IOException {
    ModelFile model = ModelFile.load(csr("2, 4", new long[]{0, 2, 3}, new long[]{0, 3, 1}, 3), Optional.empty(), arena);
    assertArrayEquals(new float[]{1, 0, 0, 1, 0, 1, 0, 0}, model.network().layers().getFirst().weights().toArray());
  }

  /// A matrix of one row.
  @ParameterizedTest
  @CsvSource(delimiter = '|',
      value = {"4 | 20 | columns 1 and 0 of group 1 stand in row 0; two ascending ones of four do",
          "4 | 79 | columns 3 and 3 of group 0 stand in row 0; two ascending ones of four do",
          "2 | 68 | columns 0 and 1 of group 1 stand in row 0; two ascending ones of four do",
          "4 | 68,0 | values of shape [1, 4] do not go with indices U8 of shape [1, 2]; write it again",
          "3 | 68 | values of shape [1, 3] do not go with indices U8 of shape [1, 1]; write it again"})
  void refusesTwoOfFour(int values, String indices, String message) throws IOException {
    long[] places = numbers(indices);
    ByteBuffer data = ByteBuffer.allocate(4 * values + places.length).order(ByteOrder.LITTLE_ENDIAN)
        .put(TestFiles.floats(full(values)));
    Arrays.stream(places).forEach(place -> data.put((byte) place));
    assertRefused(TestFiles.file(folder, "model.safetensors", TestFiles.safetensors("""
        {"0.weight.values":{"dtype":"F32","shape":[1,%d],"data_offsets":[0,%d]},
        "0.weight.indices_2_4":{"dtype":"U8","shape":[1,%d],"data_offsets":[%d,%d]},
        "__metadata__":{"activations":"identity"}}""".formatted(values, 4 * values, places.length, 4 * values,
        4 * values + places.length), data.array())), message);
  }

  /// Bytes that change or are missing lead to a refusal, or to other values; never to another failure.
  @ParameterizedTest
  @EnumSource
  void survivesDamage(SparseForm form) throws IOException {
    RandomGenerator random = TestNetworks.random(1);
    boolean isOnnx = form == SparseForm.COO;
    ModelFile model;
    if (isOnnx) {
      ModelFile relu = ModelFile.load(copy("relu.onnx"), Optional.empty(), arena);
      Path pruned = folder.resolve("pruned.onnx");
      relu.save(pruned, mostlyZero(relu.network()), false);
      model = ModelFile.load(pruned, Optional.empty(), arena);
    } else {
      model = ModelFile.load(write(NewTensor.matrix("0.weight", sparse(random, form, 5, 8))), Optional.empty(), arena);
    }
    String ending = isOnnx ? ".onnx" : ".safetensors";
    Path target = folder.resolve("sparse" + ending);
    saveSparse(model, target, form);
    byte[] whole = Files.readAllBytes(target);
    int refused = 0;
    for (int run = 0; run < 600; run++) {
      byte[] damaged = run % 3 == 0 ? Arrays.copyOf(whole, random.nextInt(1, whole.length)) : whole.clone();
      for (int flips = run % 3 == 0 ? 0 : 1 + random.nextInt(3); flips > 0; flips--) {
        damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Path path = TestFiles.file(folder, "damaged" + ending, damaged);
      try (Arena own = Arena.ofConfined()) {
        ModelFile.load(path, Optional.empty(), own);
      } catch (IOException e) {
        refused++;
        assertTrue(e.getMessage().startsWith(path.toString()) && e.getMessage().lines().count() == 1, e.getMessage());
      } catch (RuntimeException e) {
        throw new AssertionError("run " + run, e);
      }
    }
    assertTrue(refused > 200, "refused " + refused);
  }

  // ---- files ----

  private Path write(NewTensor... tensors) throws IOException {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true, List.of(tensors), Map.of("activations", "identity"));
    return path;
  }

  private Path copy(String name) throws IOException {
    try (InputStream in = SparseFormTest.class.getResourceAsStream("onnx/" + name)) {
      return TestFiles.file(folder, name, in.readAllBytes());
    }
  }

  private static void saveSparse(ModelFile model, Path target, SparseForm form) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      model.saveSparse(outputs, target, form, true);
      outputs.commit();
    }
  }

  private Path csr(String shape, long[] first, long[] columns, int values) throws IOException {
    int one = 8 * first.length;
    int two = one + 8 * columns.length;
    ByteBuffer data = ByteBuffer.allocate(two + 4 * values).order(ByteOrder.LITTLE_ENDIAN);
    Arrays.stream(first).forEach(data::putLong);
    Arrays.stream(columns).forEach(data::putLong);
    data.put(TestFiles.floats(full(values)));
    return TestFiles.file(folder, "model.safetensors", TestFiles.safetensors("""
        {"0.weight.crow_indices":{"dtype":"I64","shape":[%d],"data_offsets":[0,%d]},
        "0.weight.col_indices":{"dtype":"I64","shape":[%d],"data_offsets":[%d,%d]},
        "0.weight.values":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]},
        "__metadata__":{"activations":"identity","0.weight.shape":"%s"}}""".formatted(first.length, one, columns.length,
        one, two, values, two, two + 4 * values, shape), data.array()));
  }

  private void assertRefused(Path path, String message) {
    FormatException refusal = assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena));
    assertTrue(refusal.getMessage().startsWith(path + ": sparse tensor "), refusal.getMessage());
    assertTrue(refusal.getMessage().endsWith(message), refusal.getMessage());
  }

  private static void assertTensor(SafetensorsFile file, String name, DType dtype, List<Long> shape, int... values) {
    Tensor tensor = file.tensor(name).orElseThrow();
    assertEquals(dtype, tensor.dtype());
    assertEquals(shape, tensor.shape());
    int[] actual = new int[(int) tensor.elements()];
    for (int i = 0; i < actual.length; i++) {
      actual[i] = (int) dtype.value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN);
    }
    assertArrayEquals(values, actual, name);
  }

  /// The tensors with their bytes, in the order of the header.
  private static List<String> bytes(SafetensorsFile file) {
    return file.tensors().stream().map(tensor -> "%s %s %s %s".formatted(tensor.name(), tensor.dtype(), tensor.shape(),
        Arrays.toString(tensor.data().toArray(ValueLayout.JAVA_BYTE)))).toList();
  }

  private static long dataBytes(SafetensorsFile file) {
    return file.tensors().stream().map(Tensor::data).mapToLong(MemorySegment::byteSize).sum();
  }

  private static long[] numbers(String text) {
    return Arrays.stream(text.split(",")).mapToLong(Long::parseLong).toArray();
  }

  private static float[] full(int count) {
    float[] values = new float[count];
    Arrays.fill(values, 1);
    return values;
  }

  /// Up to two values in each four of a row, in rows and columns of any pattern.
  private MatrixView sparse(RandomGenerator random, SparseForm form, int rows, int columns) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        int left = 2;
        for (int before = column - column % 4; before < column; before++) {
          left -= matrix.get(row, before) == 0 ? 0 : 1;
        }
        if (left > 0 && random.nextInt(form == SparseForm.CSR ? 9 : 2) == 0) {
          matrix.set(row, column, random.nextInt(-9, 10) / 4f);
        }
      }
    }
    return matrix;
  }

  /// One weight in eleven is left.
  private DenseNetwork mostlyZero(DenseNetwork network) {
    DenseNetwork pruned = OnnxRuntime.pruned(network, arena);
    pruned.layers().forEach(layer -> {
      for (long i = 0; i < layer.weights().elements(); i++) {
        if (i % 11 != 1) {
          layer.weights().segment().setAtIndex(MatrixView.ELEMENT, i, 0);
        }
      }
    });
    return pruned;
  }
}
