package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class MaskFileTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();
  private ModelFile model;
  private Path mask;

  @BeforeEach
  void save() throws IOException {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, false,
        List.of(new NewTensor("0.weight", DType.F16, List.of(2L, 3L), MatrixView.of(arena, 2, 3, 1, 0, -0f, 2, 0, 3)),
            NewTensor.matrix("2.weight", MatrixView.of(arena, 1, 2, 0, Float.MIN_VALUE))),
        Map.of("activations", "relu"));
    model = ModelFile.load(path, Optional.empty(), arena);
    mask = folder.resolve("mask.safetensors");
  }

  @AfterEach
  void close() {
    arena.close();
  }

  private void save(int layers) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      MaskFile.write(outputs, mask, model, model.network(), l -> l < layers, true);
      outputs.commit();
    }
  }

  /// As PyTorch's safetensors reads bool.
  @Test
  void writesOneByteAWeightThatIsLeft() throws IOException {
    save(2);
    SafetensorsFile file = SafetensorsFile.open(mask, arena);
    assertEquals(List.of("0.weight", "2.weight"), file.tensors().stream().map(Tensor::name).toList());
    for (Tensor tensor : file.tensors()) {
      assertEquals(DType.BOOL, tensor.dtype());
    }
    assertEquals(List.of(2L, 3L), file.tensors().getFirst().shape());
    assertArrayEquals(new byte[]{1, 0, 0, 1, 0, 1}, file.tensors().getFirst().data().toArray(ValueLayout.JAVA_BYTE));
    assertArrayEquals(new byte[]{0, 1}, file.tensors().getLast().data().toArray(ValueLayout.JAVA_BYTE));
  }

  @Test
  void readsWhatItWrites() throws IOException {
    save(2);
    Map<String, MatrixView> masks = MaskFile.read(mask, model, arena);
    assertEquals(List.of("0", "2"), List.copyOf(masks.keySet()));
    assertArrayEquals(new float[]{1, 0, 0, 1, 0, 1}, masks.get("0").toArray());
    assertArrayEquals(new float[]{0, 1}, masks.get("2").toArray());
    save(1);
    assertEquals(List.of("0"), List.copyOf(MaskFile.read(mask, model, arena).keySet()));
  }

  @ParameterizedTest
  @EnumSource(names = {"BOOL", "F16", "BF16", "F32", "F64"})
  void readsOtherTypes(DType dtype) throws IOException {
    write(new NewTensor("2.weight", dtype, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 0)));
    assertArrayEquals(new float[]{1, 0}, MaskFile.read(mask, model, arena).get("2").toArray());
  }

  @Test
  void refusesByNameWhatIsNoMask() throws IOException {
    write(NewTensor.matrix("0.weight", MatrixView.allocate(arena, 3, 2)));
    refused("the mask \"0.weight\" is F32 of shape [3, 2]; that of these weights is BOOL of shape [2, 3]");
    write(NewTensor.vector("0.weight", MatrixView.allocate(arena, 2, 3)));
    refused("the mask \"0.weight\" is F32 of shape [6]; that of these weights is BOOL of shape [2, 3]");
    write(NewTensor.matrix("2.weight", MatrixView.of(arena, 1, 2, 1, 0.5f)));
    refused("the mask \"2.weight\" is 0.5 at [0, 1]; use 1 to keep a weight, 0 to remove it");
    write(NewTensor.matrix("2.weight", MatrixView.of(arena, 1, 2, Float.NaN, 1)));
    refused("the mask \"2.weight\" is NaN at [0, 0]; use 1 to keep a weight, 0 to remove it");
    write(NewTensor.matrix("2.weight", MatrixView.of(arena, 1, 2, 1, 1)),
        NewTensor.matrix("1.weight", MatrixView.of(arena, 1, 2, 1, 1)));
    refused("tensor \"1.weight\" is the mask of no layer; the layers' weights are \"0.weight\", \"2.weight\"");
    write();
    refused("has no mask; a mask is a tensor of the name and shape of a layer's weights, \"0.weight\", \"2.weight\"");
    byte[] data = {1, 2};
    TestFiles.file(folder, "mask.safetensors",
        TestFiles.safetensors("{\"2.weight\":{\"dtype\":\"BOOL\",\"shape\":[1,2],\"data_offsets\":[0,2]}}", data));
    refused("the mask \"2.weight\" is 2.0 at [0, 1]; use 1 to keep a weight, 0 to remove it");
  }

  private void write(NewTensor... masks) throws IOException {
    SafetensorsWriter.write(mask, true, Arrays.asList(masks), Map.of());
  }

  private void refused(String problem) {
    assertEquals(mask + ": " + problem,
        assertThrows(FormatException.class, () -> MaskFile.read(mask, model, arena)).getMessage());
  }
}
