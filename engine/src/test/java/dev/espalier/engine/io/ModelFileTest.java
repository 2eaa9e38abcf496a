package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class ModelFileTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void ordersLayersByNumberAndReadsActivationsFromTheMetadata() throws IOException {
    Path path = write(Map.of("activations", "tanh, relu,softmax"), matrix("net.10.weight", 2, 5),
        matrix("net.2.weight", 4, 3), matrix("net.9.weight", 5, 4));
    DenseNetwork network = ModelFile.load(path, Optional.empty(), arena).network();
    assertEquals(List.of("net.2", "net.9", "net.10"), network.layers().stream().map(DenseLayer::name).toList());
    assertEquals(List.of(Activation.TANH, Activation.RELU, Activation.SOFTMAX),
        network.layers().stream().map(DenseLayer::activation).toList());
  }

  @Test
  void oneActivationIsThatOfAllHiddenLayers() throws IOException {
    Path path = write(Map.of(), matrix("0.weight", 4, 3), matrix("2.weight", 5, 4), matrix("4.weight", 2, 5));
    DenseNetwork network = ModelFile.load(path, Optional.of(new Activations(List.of(Activation.SILU))), arena)
        .network();
    assertEquals(List.of(Activation.SILU, Activation.SILU, Activation.IDENTITY),
        network.layers().stream().map(DenseLayer::activation).toList());
  }

  @Test
  void writesWhatItReadsAndNothingElseChanges() throws IOException {
    NewTensor half = new NewTensor("0.weight", DType.F16, List.of(2L, 2L), MatrixView.of(arena, 2, 2, 1, 2, 3, 4));
    Path path = write(Map.of("activations", "relu", "author", "somebody"), half,
        new NewTensor("steps", DType.F64, List.of(3L), MatrixView.of(arena, 1, 3, 7, 8, 9)));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    Path same = folder.resolve("same.safetensors");
    model.save(same, model.network(), false);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(same));

    DenseLayer layer = model.network().layers().getFirst();
    MatrixView pruned = MatrixView.of(arena, 2, 2, 1, 0, 3, 0);
    DenseNetwork changed = new DenseNetwork(
        List.of(new DenseLayer("0", pruned, Optional.of(MatrixView.of(arena, 1, 2, 0.5f, -2)), layer.activation())));
    Path target = folder.resolve("pruned.safetensors");
    model.save(target, changed, false);
    SafetensorsFile written = SafetensorsFile.open(target, arena);
    assertEquals(List.of("0.weight", "steps", "0.bias"), written.tensors().stream().map(Tensor::name).toList());
    assertEquals(DType.F16, written.tensor("0.bias").orElseThrow().dtype());
    assertEquals("somebody", written.metadata().get("author"));
    ModelFile reread = ModelFile.load(target, Optional.empty(), arena);
    assertArrayEquals(new float[]{1, 0, 3, 0}, reread.network().layers().getFirst().weights().toArray());
    assertArrayEquals(new float[]{0.5f, -2}, reread.network().layers().getFirst().bias().orElseThrow().toArray());
    assertEquals(8, written.asFloat32(written.tensor("steps").orElseThrow(), arena).get(0, 1));
  }

  /// The least number of each type, less than float32 has in F64, is removed as any other.
  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16", "F32", "F64"})
  void removedSubnormalsAreZeros(DType dtype) throws IOException {
    Path path = write(Map.of("activations", "relu"),
        new NewTensor("0.weight", dtype, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 2)),
        new NewTensor("0.bias", dtype, List.of(1L), MatrixView.of(arena, 1, 1, 3)));
    byte[] content = Files.readAllBytes(path);
    SafetensorsFile file = SafetensorsFile.open(path, arena);
    int weight = (int) file.offset(file.tensor("0.weight").orElseThrow());
    int bias = (int) file.offset(file.tensor("0.bias").orElseThrow());
    fill(content, weight, dtype);
    fill(content, bias, dtype);
    Files.write(path, content);

    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    Path out = folder.resolve("out.safetensors");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      model.save(outputs, out, model.network(), _ -> false, false);
      outputs.commit();
    }
    assertArrayEquals(content, Files.readAllBytes(out));

    DenseLayer layer = model.network().layers().getFirst();
    DenseNetwork pruned = new DenseNetwork(
        List.of(new DenseLayer("0", MatrixView.of(arena, 1, 2, 0, 2), layer.bias(), layer.activation())));
    model.save(out, pruned, true);
    byte[] expected = content.clone();
    expected[weight] = 0;
    assertArrayEquals(expected, Files.readAllBytes(out));
  }

  /// Makes the element at `first` the least above zero.
  private static void fill(byte[] content, int first, DType dtype) {
    Arrays.fill(content, first, first + dtype.bytes(), (byte) 0);
    content[first] = 1; // little-endian
  }

  @Test
  void saysWhatIsWrong() throws IOException {
    refuse(write(Map.of(), NewTensor.vector("x", MatrixView.allocate(arena, 1, 3))),
        "no tensor is called <layer>.weight");
    refuse(write(Map.of("activations", "relu"), NewTensor.vector("0.weight", MatrixView.allocate(arena, 1, 3))),
        "tensor \"0.weight\" is F32 of shape [3]; a dense layer needs");
    refuse(write(Map.of("activations", "relu,relu"), matrix("0.weight", 4, 3), matrix("2.weight", 2, 5)),
        "layers do not chain: 2 takes 5 inputs, 0 before it has 4 outputs");
    refuse(write(Map.of(), matrix("0.weight", 4, 3)),
        "its metadata names no activations; give one for all hidden layers");
    refuse(write(Map.of("activations", "relu,relu,relu"), matrix("0.weight", 4, 3), matrix("2.weight", 2, 4)),
        "3 activations (relu,relu,relu) for 2 layers");
    refuse(write(Map.of("activations", "swish"), matrix("0.weight", 4, 3)), "unknown activation 'swish'");
    refuse(
        write(Map.of("activations", "relu"), matrix("0.weight", 4, 3),
            NewTensor.vector("0.bias", MatrixView.allocate(arena, 1, 3))),
        "layer 0: the bias has 3 elements, the weights have 4 rows");
    refuse(
        write(Map.of("activations", "relu"),
            NewTensor.matrix("0.weight", MatrixView.of(arena, 1, 2, 1, Float.POSITIVE_INFINITY))),
        "tensor 0.weight is Infinity at [0, 1]");
  }

  @Test
  void refusesFilesOfWhichOnlyAPartWouldBeRead() throws IOException {
    Map<String, String> relu = Map.of("activations", "relu");
    NewTensor row = NewTensor.vector("2.bias", MatrixView.allocate(arena, 1, 4));
    refuse(write(relu, matrix("0.weight", 4, 4), row), "tensor \"2.bias\" has no \"2.weight\"");
    refuse(write(relu, matrix("0.weight", 4, 4), matrix("2.weight_orig", 4, 4), matrix("2.weight_mask", 4, 4), row),
        "tensor \"2.weight_orig\" ");
    refuse(write(relu, matrix("0.weight", 4, 4), NewTensor.vector("1.running_mean", row.values())), "BatchNorm");
    Path whole = write(relu, matrix("0.weight", 4, 4));
    refuse(Files.copy(whole, folder.resolve("model-00001-of-00002.safetensors")), "one part of a model");
    Path only = Files.copy(whole, folder.resolve("model-00001-of-00001.safetensors"));
    assertEquals(16, ModelFile.load(only, Optional.empty(), arena).network().weights());
  }

  @Test
  void ordersLayersByTheWordsBetweenTheDots() throws IOException {
    for (List<String> names : List.of(List.of("fc", "fc2", "fc10"), List.of("W", "W1", "W2"),
        List.of("encoder.0", "encoder.2", "encoder2.0"), List.of("2", "10", "a"))) {
      Path path = write(Map.of("activations", "relu"),
          names.reversed().stream().map(name -> matrix(name + ".weight", 2, 2)).toArray(NewTensor[]::new));
      assertEquals(names,
          ModelFile.load(path, Optional.empty(), arena).network().layers().stream().map(DenseLayer::name).toList());
    }
  }

  private void refuse(Path path, String message) {
    String actual = assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena))
        .getMessage();
    assertTrue(actual.startsWith(path + ": ") && actual.contains(message), actual);
  }

  private NewTensor matrix(String name, int rows, int columns) {
    return NewTensor.matrix(name, MatrixView.allocate(arena, rows, columns));
  }

  private Path write(Map<String, String> metadata, NewTensor... tensors) throws IOException {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true, new ArrayList<>(List.of(tensors)), metadata);
    return path;
  }
}
