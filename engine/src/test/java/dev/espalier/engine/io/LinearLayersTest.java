package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.floats;
import static dev.espalier.engine.io.TestFiles.npy;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Linear layers of a model that is no chain, and their captured inputs.
class LinearLayersTest {
  @TempDir
  private Path folder;
  private Path model;
  private Path captured;

  private final Arena arena = Arena.ofConfined();

  @BeforeEach
  void write() throws IOException {
    model = folder.resolve("model.safetensors");
    captured = Files.createDirectory(folder.resolve("captured"));
    SafetensorsWriter.write(model, false,
        List.of(new NewTensor("norm.weight", DType.F32, List.of(3L), MatrixView.of(arena, 1, 3, 1, 2, 3)),
            new NewTensor("enc.1.fc.weight", DType.F16, List.of(2L, 3L), MatrixView.of(arena, 2, 3, 1, 2, 3, 4, 5, 6)),
            new NewTensor("enc.0.fc.bias", DType.F64, List.of(2L), MatrixView.of(arena, 1, 2, 0.1f, 0.2f)),
            new NewTensor("enc.0.fc.weight", DType.F32, List.of(2L, 3L), MatrixView.of(arena, 2, 3, 7, 8, 9, 0, 1, 2))),
        Map.of("format", "pt"));
  }

  @AfterEach
  void close() {
    arena.close();
  }

  private void capture(String name, int samples, int width) throws IOException {
    Files.write(captured.resolve(name), npy("<f4", false, "(%d, %d)".formatted(samples, width),
        floats(ByteOrder.LITTLE_ENDIAN, new float[samples * width])));
  }

  private String refused() throws IOException {
    LinearLayers layers = LinearLayers.open(model, arena);
    return assertThrows(FormatException.class, () -> layers.requireFit(LayerInputs.open(captured, layers.names())))
        .getMessage().replace(folder.toString(), "");
  }

  @Test
  void layersAreMatricesInTheOrderOfTheFile() throws IOException {
    LinearLayers layers = LinearLayers.open(model, arena);
    assertEquals(List.of("enc.1.fc", "enc.0.fc"), layers.names());
    DenseLayer layer = layers.layer("enc.0.fc", arena);
    assertArrayEquals(new float[]{7, 8, 9, 0, 1, 2}, layer.weights().toArray());
    assertArrayEquals(new float[]{0.1f, 0.2f}, layer.bias().orElseThrow().toArray());
    assertFalse(layers.layer("enc.1.fc", arena).hasBias());
  }

  @Test
  void aCopyChangesInTheLayersThatAreReplaced() throws IOException {
    LinearLayers layers = LinearLayers.open(model, arena);
    Path target = folder.resolve("changed.safetensors");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      LinearLayers.Copy copy = layers.copy(outputs, target, false, List.of());
      copy.replace(new DenseLayer("enc.1.fc", MatrixView.of(arena, 2, 3, 1, 0, 3, 0, 0, 6), Optional.empty(),
          Activation.IDENTITY), true);
      copy.replace(new DenseLayer("enc.0.fc", MatrixView.of(arena, 2, 3, 7, 0, 9, 0, 0, 2),
          Optional.of(MatrixView.of(arena, 1, 2, 0.1f, 3)), Activation.IDENTITY), true);
      assertFalse(Files.exists(target));
      outputs.commit();
    }
    SafetensorsFile before = SafetensorsFile.open(model, arena);
    SafetensorsFile after = SafetensorsFile.open(target, arena);
    assertEquals(-1, before.header().mismatch(after.header()));
    assertEquals(Files.size(model), Files.size(target));
    assertEquals(-1, before.tensor("norm.weight").get().data().mismatch(after.tensor("norm.weight").get().data()));
    assertArrayEquals(new float[]{7, 0, 9, 0, 0, 2},
        after.asFloat32(after.tensor("enc.0.fc.weight").get(), arena).toArray());
    assertArrayEquals(new float[]{1, 0, 3, 0, 0, 6},
        after.asFloat32(after.tensor("enc.1.fc.weight").get(), arena).toArray());
    Tensor bias = after.tensor("enc.0.fc.bias").get();
    assertArrayEquals(new float[]{0.1f, 3}, after.asFloat32(bias, arena).toArray());
    assertTrue(before.tensor("enc.0.fc.bias").get().data().mismatch(bias.data()) >= Double.BYTES, "the first changed");
    assertEquals(List.of("captured", "changed.safetensors", "model.safetensors"), TestFiles.list(folder));
  }

  @Test
  void layersGainBiasesAndMasks() throws IOException {
    LinearLayers layers = LinearLayers.open(model, arena);
    assertEquals(List.of("enc.1.fc"), layers.withoutBias(layers.names()));
    Path target = folder.resolve("changed.safetensors");
    Path masks = folder.resolve("masks.safetensors");
    DenseLayer changed = new DenseLayer("enc.1.fc", MatrixView.of(arena, 2, 3, 1, 0, 3, 0, 0, 6),
        Optional.of(MatrixView.of(arena, 1, 2, 5, -7)), Activation.IDENTITY);
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      LinearLayers.Copy copy = layers.copy(outputs, target, false, List.of("enc.1.fc"));
      LinearLayers.Masks kept = layers.masks(outputs, masks, layers.names(), false, arena);
      copy.replace(changed, true);
      kept.set(changed);
      kept.set(layers.layer("enc.0.fc", arena));
      outputs.commit();
    }
    SafetensorsFile before = SafetensorsFile.open(model, arena);
    SafetensorsFile after = SafetensorsFile.open(target, arena);
    assertEquals(before.metadata(), after.metadata());
    List<String> names = new ArrayList<>(before.tensors().stream().map(Tensor::name).toList());
    names.add("enc.1.fc.bias");
    assertEquals(names, after.tensors().stream().map(Tensor::name).toList());
    for (Tensor tensor : before.tensors()) {
      Tensor copied = after.tensor(tensor.name()).orElseThrow();
      assertEquals(tensor.dtype(), copied.dtype());
      assertEquals(tensor.name().equals("enc.1.fc.weight"), tensor.data().mismatch(copied.data()) >= 0, tensor.name());
    }
    DenseLayer read = LinearLayers.open(target, arena).layer("enc.1.fc", arena);
    assertArrayEquals(changed.weights().toArray(), read.weights().toArray());
    assertArrayEquals(new float[]{5, -7}, read.bias().orElseThrow().toArray());
    SafetensorsFile mask = SafetensorsFile.open(masks, arena);
    assertEquals(List.of(DType.BOOL, DType.BOOL), mask.tensors().stream().map(Tensor::dtype).toList());
    assertArrayEquals(new float[]{1, 0, 1, 0, 0, 1},
        mask.asFloat32(mask.tensor("enc.1.fc.weight").orElseThrow(), arena).toArray());
    assertArrayEquals(new float[]{1, 1, 1, 0, 1, 1},
        mask.asFloat32(mask.tensor("enc.0.fc.weight").orElseThrow(), arena).toArray());
  }

  @Test
  void inputsAreFoundByTheNamesOfLayers() throws IOException {
    capture("enc.0.fc.npy", 5, 3);
    capture("enc.0.fc.sensitivity.npy", 5, 2);
    capture("enc.1.fc.npy", 4, 3);
    Files.createFile(captured.resolve(".hidden"));
    LinearLayers layers = LinearLayers.open(model, arena);
    LayerInputs inputs = LayerInputs.open(captured, layers.names());
    layers.requireFit(inputs);
    assertEquals(List.of("enc.0.fc", "enc.1.fc"), List.copyOf(inputs.inputs().keySet()));
    assertEquals(5, inputs.sensitivities("enc.0.fc").orElseThrow().samples());
    assertEquals(Optional.empty(), inputs.sensitivities("enc.1.fc"));
  }

  @Test
  void filesThatNameNoLayerAreRefusedWithTheNearestName() throws IOException {
    assertEquals("/captured: has no inputs of a layer, such as \"enc.1.fc.npy\"", refused());
    capture("encoder.0.fc.npy", 5, 3);
    assertEquals("/captured/encoder.0.fc.npy: names no layer of the model; the nearest name is \"enc.0.fc.npy\"",
        refused());
    Files.move(captured.resolve("encoder.0.fc.npy"), captured.resolve("enc.1.fc.weight.sensitivity.npy"));
    assertEquals("/captured/enc.1.fc.weight.sensitivity.npy: names no layer of the model; the nearest name is "
        + "\"enc.1.fc.npy\"", refused());
    Files.move(captured.resolve("enc.1.fc.weight.sensitivity.npy"), captured.resolve("enc.1.fc.csv"));
    assertEquals("/captured/enc.1.fc.csv: names no layer of the model; the nearest name is \"enc.1.fc.npy\"",
        refused());
    Files.move(captured.resolve("enc.1.fc.csv"), captured.resolve("enc.1.fc.sensitivity.npy"));
    assertEquals("/captured: has the sensitivities of layer \"enc.1.fc\" and not its inputs, \"enc.1.fc.npy\"",
        refused());
    assertEquals(folder + "/none: no such folder",
        assertThrows(FormatException.class, () -> LayerInputs.open(folder.resolve("none"), List.of("enc.1.fc")))
            .getMessage());
  }

  @Test
  void inputsThatDoNotFitAreRefused() throws IOException {
    capture("enc.0.fc.npy", 5, 4);
    assertEquals("/captured/enc.0.fc.npy: has 4 numbers a sample, and layer \"enc.0.fc\" takes 3 inputs", refused());
    capture("enc.0.fc.npy", 5, 2);
    assertEquals("/captured/enc.0.fc.npy: has 2 numbers a sample, and layer \"enc.0.fc\" takes 3 inputs; a weight of "
        + "shape inputs × outputs, as of Conv1D, is not understood", refused());
    capture("enc.0.fc.npy", 5, 12);
    assertEquals("/captured/enc.0.fc.npy: has 12 numbers a sample, and layer \"enc.0.fc\" takes 3 inputs; behind the "
        + "first dimension all are flattened, so write one row for each sample or token", refused());
    capture("enc.0.fc.npy", 5, 3);
    capture("enc.0.fc.sensitivity.npy", 5, 5);
    assertEquals("/captured/enc.0.fc.sensitivity.npy: has 5 numbers a sample, and layer \"enc.0.fc\" has 2 outputs",
        refused());
    capture("enc.0.fc.sensitivity.npy", 4, 2);
    assertEquals("/captured/enc.0.fc.sensitivity.npy: has 4 samples, and %s has 5".formatted("/captured/enc.0.fc.npy"),
        refused());
  }

  @Test
  void whatIsNotWrittenIsRefused() throws IOException {
    LinearLayers layers = LinearLayers.open(model, arena);
    assertEquals(folder + "/x.onnx: single layers are written as safetensors; choose a name that ends so",
        assertThrows(FormatException.class, () -> layers.requireWritable(folder.resolve("x.onnx"))).getMessage());
    assertThrows(FormatException.class, () -> layers.requireWritable(folder.resolve("x.safetensors.index.json")));
    Files.write(model, TestFiles.safetensors(
        "{\"fc.weight\": {\"dtype\": \"F8_E8M0\", \"shape\": [2, 3], \"data_offsets\": [0, 6]}}", new byte[6]));
    capture("fc.npy", 5, 3);
    assertEquals("/model.safetensors: tensor \"fc.weight\" is F8_E8M0, which is not read; save it as F32, "
        + "in PyTorch by .float()", refused());
    SafetensorsWriter.write(model, true, List.of(NewTensor.vector("fc.weight", MatrixView.of(arena, 1, 2, 1, 2))),
        Map.of());
    assertEquals(model + ": no tensor is called <layer>.weight and has two dimensions",
        assertThrows(FormatException.class, () -> LinearLayers.open(model, arena)).getMessage());
  }
}
