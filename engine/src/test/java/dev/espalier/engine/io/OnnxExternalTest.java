package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// ONNX models whose tensors lie in files beside them, compared with ONNX Runtime.
final class OnnxExternalTest {
  private static final int WIDTH = 40;

  @TempDir
  private Path root;

  private Path folder;
  private final Arena arena = Arena.ofConfined();

  @BeforeEach
  void create() throws IOException {
    folder = Files.createDirectory(root.resolve("model"));
  }

  @AfterEach
  void close() {
    arena.close();
  }

  private static byte[] normal(int count) {
    ByteBuffer data = ByteBuffer.allocate(count * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    TestNetworks.random(5).doubles(count, -0.2, 0.2).forEach(value -> data.putFloat((float) value));
    return data.array();
  }

  /// The weights of both layers lie in one file, that of the second layer and its bias with another bias behind them; the
  /// first layer's bias lies in the model.
  private Path model() throws IOException {
    OnnxModel model = new OnnxModel(0, WIDTH)
        .outside("a", new long[]{WIDTH, WIDTH}, "location", "weights/all.bin", "offset", "0", "length",
            Integer.toString(4 * WIDTH * WIDTH))
        .normal("ab", TestNetworks.random(1), WIDTH)
        .outside("b", new long[]{WIDTH, 5}, "location", "weights/all.bin", "offset",
            Integer.toString(4 * WIDTH * WIDTH), "length", Integer.toString(4 * WIDTH * 5))
        .outside("bb", new long[]{5}, "location", "bias.bin").node("Gemm", "x a ab", "h", "transB", 1)
        .node("Relu", "h", "r").node("Gemm", "r b bb", "y");
    Files.createDirectory(folder.resolve("weights"));
    Files.write(folder.resolve("weights/all.bin"), normal(WIDTH * WIDTH + WIDTH * 5 + 7));
    Files.write(folder.resolve("bias.bin"), normal(5));
    return TestFiles.file(folder, "model.onnx", model.bytes(17));
  }

  @Test
  void readsAndWritesTensorsBesideTheModel() throws Exception {
    Path path = model();
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path other = Files.createDirectory(root.resolve("other"));
    Path target = other.resolve("pruned.onnx");
    assertEquals(List.of(target, other.resolve("pruned.onnx.data")), file.written(target));
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    try (var files = Files.list(other)) {
      assertEquals(2, files.count());
    }
    assertTrue(Files.size(target) < Files.size(other.resolve("pruned.onnx.data")));
    ModelFile again = ModelFile.load(target, Optional.empty(), arena);
    for (int l = 0; l < 2; l++) {
      assertArrayEquals(pruned.layers().get(l).weights().toArray(),
          again.network().layers().get(l).weights().toArray());
    }
    Path same = other.resolve("same.onnx");
    again.save(same, again.network(), false);
    assertArrayEquals(Files.readAllBytes(other.resolve("pruned.onnx.data")),
        Files.readAllBytes(other.resolve("same.onnx.data")));
    Path chain = other.resolve("chain.safetensors");
    again.save(chain, pruned, false);
    assertArrayEquals(pruned.layers().getFirst().weights().toArray(),
        ModelFile.load(chain, Optional.empty(), arena).network().layers().getFirst().weights().toArray());
  }

  /// Without a length, a tensor takes what its shape and type need, whatever follows in the file.
  @Test
  void aTensorWithoutALengthEndsWhereItsShapeDoes() throws Exception {
    OnnxModel model = new OnnxModel(0, 4).outside("w", new long[]{4, 4}, "location", "all.bin", "offset", "16")
        .outside("b", new long[]{4}, "location", "all.bin").node("Gemm", "x w b", "y");
    Files.write(folder.resolve("all.bin"), normal(4 + 16 + 5));
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    assertEquals(List.of(path, folder.resolve("all.bin")), file.files());
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = Files.createDirectory(root.resolve("other")).resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);

    OnnxModel strange = new OnnxModel(0, 4).outside("w", 99, new long[]{4, 4}, "location", "all.bin").node("Gemm",
        "x w", "y");
    Path unknown = TestFiles.file(folder, "unknown.onnx", strange.bytes(17));
    assertThrows(FormatException.class, () -> ModelFile.load(unknown, Optional.empty(), arena));
  }

  @Test
  void replacesTheModelAndItsTensors() throws Exception {
    Path path = model();
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    file.save(path, pruned, true);
    ModelFile once = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(pruned, path);
    DenseNetwork twice = OnnxRuntime.pruned(once.network(), arena);
    once.save(path, twice, true);
    OnnxRuntime.assertSameOutputs(twice, path);
    Path existing = folder.resolve("existing.onnx");
    Files.writeString(folder.resolve("existing.onnx.data"), "mine");
    assertThrows(IOException.class, () -> once.save(existing, twice, false));
    assertFalse(Files.exists(existing));
    assertEquals("mine", Files.readString(folder.resolve("existing.onnx.data")));
  }

  /// Two nodes share weights that lie in another file; each has its own there afterwards.
  @Test
  void sharedTensorsBesideTheModelAreRepeated() throws Exception {
    OnnxModel model = new OnnxModel(0, 4).outside("w", new long[]{4, 4}, "location", "w.bin")
        .normal("c", TestNetworks.random(2), 4).node("Gemm", "x w c", "h", "transB", 1).node("Tanh", "h", "t")
        .node("Gemm", "t w", "y");
    Files.write(folder.resolve("w.bin"), normal(16));
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  @Test
  void shrinksTensorsBesideTheModel() throws Exception {
    ModelFile file = ModelFile.load(model(), Optional.empty(), arena);
    DenseLayer first = file.network().layers().getFirst();
    MatrixView weights = first.weights().copy(arena);
    for (int j = 0; j < WIDTH; j++) {
      weights.set(3, j, 0);
    }
    DenseNetwork sparse = new DenseNetwork(List.of(
        new DenseLayer(first.name(), weights, first.bias(), first.activation()), file.network().layers().getLast()));
    Path target = folder.resolve("sparse.onnx");
    file.save(target, sparse, false);
    ModelFile large = ModelFile.load(target, Optional.empty(), arena);
    Compaction compaction = Compaction.of(large.network(), 1, arena);
    Path small = folder.resolve("small.onnx");
    large.compacted(compaction, arena).save(small, compaction.network(), false);
    OnnxRuntime.assertSameOutputs(sparse, small);
    assertTrue(Files.size(folder.resolve("small.onnx.data")) < Files.size(folder.resolve("sparse.onnx.data")));
    assertTrue(Files.size(small) < 4 * WIDTH * WIDTH);
    Path coo = folder.resolve("coo.onnx");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      DenseNetwork zeros = OnnxRuntime.pruned(large.network(), arena);
      for (int i = 0; i < WIDTH; i++) {
        for (int j = 2; j < WIDTH; j++) {
          zeros.layers().getFirst().weights().set(i, j, 0);
        }
      }
      Path thin = folder.resolve("thin.onnx");
      large.save(thin, zeros, false);
      ModelFile.load(thin, Optional.empty(), arena).saveSparse(outputs, coo, SparseForm.COO, false);
      outputs.commit();
      OnnxRuntime.assertSameOutputs(zeros, coo);
    }
  }

  /// A message that would become too large gives its large tensors to a file beside it.
  @Test
  void splitsAMessageThatWouldBeTooLarge() throws Exception {
    OnnxModel model = new OnnxModel(0, WIDTH).normal("a", TestNetworks.random(3), WIDTH, WIDTH)
        .normal("b", TestNetworks.random(4), WIDTH).node("Gemm", "x a b", "h", "transB", 1).node("Relu", "h", "y");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    OnnxFile file = OnnxFile.read(path, InputFile.map(path, arena), Optional.empty(), arena);
    DenseNetwork pruned = OnnxRuntime.pruned(ModelFile.load(path, Optional.empty(), arena).network(), arena);
    Path target = folder.resolve("split.onnx");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      file.write(outputs, target, false, pruned.layers().stream().map(DenseLayer::weights).toList(),
          pruned.layers().stream().map(DenseLayer::bias).toList(), Collections.nCopies(1, true), 2000);
      outputs.commit();
    }
    assertEquals(4 * WIDTH * WIDTH, Files.size(folder.resolve("split.onnx.data")));
    assertTrue(Files.size(target) < 2000);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  /// `onnx.save_model(convert_attribute=True)` leaves the tensor of a Constant in another file.
  @Test
  void refusesToWriteAConstantWhoseTensorLiesBesideTheModel() throws Exception {
    Files.write(folder.resolve("w.bin"), normal(9));
    Path path = TestFiles.file(folder, "model.onnx",
        new OnnxModel(0, 3)
            .node("Constant", "", "w", "value", OnnxModel.outsideTensor("w", new long[]{3, 3}, "location", "w.bin"))
            .node("Gemm", "x w", "y").bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    unwritable(file, target, "constant0\" (Constant)");
    assertThrows(FormatException.class, () -> file.save(target, pruned, false));
    OnnxFile onnx = OnnxFile.read(path, InputFile.map(path, arena), Optional.empty(), arena);
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      assertEquals(
          target + ": not written: the elements of tensor \"w\" would stay as they were; "
              + "export the model with initializers",
          assertThrows(FormatException.class,
              () -> onnx.write(outputs, target, false, pruned.layers().stream().map(DenseLayer::weights).toList(),
                  pruned.layers().stream().map(DenseLayer::bias).toList(), List.of(true)))
              .getMessage());
    }
    assertFalse(Files.exists(target));
    Path chain = folder.resolve("pruned.safetensors");
    file.save(chain, pruned, false);
    assertArrayEquals(pruned.layers().getFirst().weights().toArray(),
        ModelFile.load(chain, Optional.empty(), arena).network().layers().getFirst().weights().toArray());
  }

  /// Before the network begins, tensors of nodes and of graphs within them would be left behind, too.
  @Test
  void refusesToWriteInnerTensorsBesideTheModel() throws IOException {
    Files.write(folder.resolve("w.bin"), normal(9));
    byte[] tensor = OnnxModel.outsideTensor("c", new long[]{9}, "location", "w.bin");
    OnnxModel inner = new OnnxModel(0, 3).outside("c", new long[]{9}, "location", "w.bin");
    OnnxModel nested = new OnnxModel(0, 3).node("Constant", "", "c", "value", tensor);
    for (OnnxModel graph : List.of(inner, nested)) {
      Path path = TestFiles.file(folder, "model.onnx", new OnnxModel(0, 3).normal("w", TestNetworks.random(6), 3, 3)
          .node("If", "x", "i", "then_branch", graph).node("Gemm", "i w", "y").bytes(17));
      ModelFile file = ModelFile.load(path,
          new ModelReading(Optional.empty(), List.of(), Optional.of("i"), OptionalInt.empty()), arena);
      unwritable(file, folder.resolve("pruned.onnx"), graph == inner ? "if0\" (If)" : "constant0\" (Constant)");
    }
  }

  /// Of tensors before the network, only the bytes matter: here UINT8, INT8, BOOL, FLOAT8E4M3FN and INT4, two of which
  /// are in a byte.
  @ParameterizedTest
  @ValueSource(ints = {2, 3, 9, 17, 22})
  void keepsTensorsOfAnyTypeBeforeTheNetwork(int type) throws Exception {
    byte[] bytes = {1, 0, 1, 1, 0, 1};
    Files.write(folder.resolve("k.bin"), bytes);
    Path path = TestFiles.file(folder, "model.onnx",
        new OnnxModel(0, 3)
            .outside("k", type, new long[]{type == 22 ? 8 : 4}, "location", "k.bin", "offset", "1", "length", "4")
            .normal("w", TestNetworks.random(6), 3, 3).node("Unknown", "x k", "i").node("Gemm", "i w", "y").bytes(17));
    ModelReading reading = new ModelReading(Optional.empty(), List.of(), Optional.of("i"), OptionalInt.empty());
    ModelFile file = ModelFile.load(path, reading, arena);
    Path target = folder.resolve("pruned.onnx");
    file.requireWritable(target);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    file.save(target, pruned, false);
    assertArrayEquals(Arrays.copyOfRange(bytes, 1, 5), Files.readAllBytes(folder.resolve("pruned.onnx.data")));
    assertArrayEquals(pruned.layers().getFirst().weights().toArray(),
        ModelFile.load(target, reading, arena).network().layers().getFirst().weights().toArray());
    Files.delete(folder.resolve("k.bin"));
    ModelFile incomplete = ModelFile.load(path, reading, arena);
    assertEquals(path + ": tensor \"k\" lies in \"k.bin\", which is missing; copy it into the model's folder",
        assertThrows(FormatException.class, () -> incomplete.requireWritable(target)).getMessage());
  }

  private static void unwritable(ModelFile file, Path target, String node) {
    assertEquals(
        target + ": not written: a tensor of node \"" + node
            + " lies in another file, which only initializers of the graph can; "
            + "save the model with all its tensors in one file, or with initializers",
        assertThrows(FormatException.class, () -> file.requireWritable(target)).getMessage());
  }

  @Test
  void refusesFilesOutsideOfTheFolder() throws IOException {
    Files.write(root.resolve("secret.bin"), normal(9));
    Files.createSymbolicLink(folder.resolve("link.bin"), root.resolve("secret.bin"));
    Files.createSymbolicLink(folder.resolve("sub"), root);
    Files.write(folder.resolve("w.bin"), normal(9));
    Files.createSymbolicLink(folder.resolve("inner.bin"), Path.of("w.bin"));
    refused("which is no path within the model's folder; put the file beside the model", "location", "../secret.bin");
    refused("which is no path within the model's folder; put the file beside the model", "location",
        "sub/../../secret.bin");
    refused("which is no path within the model's folder; put the file beside the model", "location",
        root.resolve("secret.bin").toString());
    refused("which is no path within the model's folder; put the file beside the model", "location", "");
    refused("which is a link that leaves the model's folder; put the file itself there", "location", "link.bin");
    refused("which is a link that leaves the model's folder; put the file itself there", "location", "sub/secret.bin");
    refused("which is missing; copy it into the model's folder", "location", "gone.bin");
    refused("where it has 36 bytes from 4 on, and the file has 36; copy it again", "location", "w.bin", "offset", "4",
        "length", "36");
    refused("where it has 36 bytes from 40 on, and the file has 36; copy it again", "location", "w.bin", "offset",
        "40");
    refused("where it has the offset or length \"-1\", which is no number; export it again", "location", "w.bin",
        "offset", "-1");
    Path path = write("location", "w.bin", "length", "32");
    assertEquals(path + ": tensor \"w\" of shape [3, 3] has 32 bytes; copy the model or export it again",
        assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena)).getMessage());
    assertEquals(1, ModelFile.load(write("location", "inner.bin"), Optional.empty(), arena).network().layers().size());
  }

  private Path write(String... entries) throws IOException {
    return TestFiles.file(folder, "model.onnx",
        new OnnxModel(0, 3).outside("w", new long[]{3, 3}, entries).node("Gemm", "x w", "y").bytes(17));
  }

  private void refused(String problem, String... entries) throws IOException {
    Path path = write(entries);
    assertEquals("%s: tensor \"w\" lies in \"%s\", %s".formatted(path, entries[1], problem),
        assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena)).getMessage());
  }
}
