package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtSession;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Models of safetensors that are written as ONNX, read again and run by ONNX Runtime.
final class OnnxWriterTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();
  private final RandomGenerator random = TestNetworks.random(5);

  @AfterEach
  void close() {
    arena.close();
  }

  private MatrixView normal(int rows, int columns) {
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (random.nextGaussian() / Math.sqrt(columns));
    }
    return MatrixView.of(arena, rows, columns, values);
  }

  private NewTensor tensor(String name, DType dtype, int rows, int columns) {
    MatrixView values = normal(rows, columns);
    return new NewTensor(name, dtype, columns == 1 ? List.of((long) rows) : List.of((long) rows, (long) columns),
        columns == 1 ? new MatrixView(values.segment(), 1, rows) : values);
  }

  /// A network 5-7-4-3, whose second layer has no bias.
  private ModelFile model(String activations, DType dtype, NewTensor... more) throws IOException {
    List<NewTensor> tensors = new ArrayList<>(List.of(tensor("net.0.weight", dtype, 7, 5),
        tensor("net.0.bias", DType.F32, 7, 1), tensor("net.2.weight", dtype, 4, 7), tensor("net.4.weight", dtype, 3, 4),
        tensor("net.4.bias", dtype, 3, 1)));
    tensors.addAll(List.of(more));
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true, tensors, Map.of("activations", activations, "author", "somebody"));
    return ModelFile.load(path, Optional.empty(), arena);
  }

  private ModelFile written(ModelFile model, DenseNetwork changed) throws Exception {
    Path path = folder.resolve("model.onnx");
    model.save(path, changed, true);
    ModelFile read = ModelFile.load(path, Optional.empty(), arena);
    for (int l = 0; l < changed.layers().size(); l++) {
      DenseLayer expected = changed.layers().get(l);
      DenseLayer actual = read.network().layers().get(l);
      assertEquals(expected.name(), actual.name());
      assertEquals(expected.activation(), actual.activation());
      assertArrayEquals(expected.weights().toArray(), actual.weights().toArray());
      assertEquals(expected.bias().map(bias -> Arrays.toString(bias.toArray())),
          actual.bias().map(bias -> Arrays.toString(bias.toArray())));
    }
    assertTrue(read.network().graph().isChain());
    OnnxRuntime.assertSameOutputs(changed, path);
    return read;
  }

  static Stream<String> activations() {
    Stream<String> inner = Stream.concat(
        Arrays.stream(Kind.values()).filter(kind -> Activation.of(kind).isElementwise()).map(Kind::toString),
        Stream.of("leaky_relu:0.2", "elu:0.7", "sin:3", "sin:0.1"));
    return Stream.concat(inner.map(name -> "%s,%s,softmax".formatted(name, name)), Stream.of("relu,tanh,log_softmax"));
  }

  @ParameterizedTest
  @MethodSource("activations")
  void computeTheSameWithAnyActivation(String activations) throws Exception {
    ModelFile model = model(activations, DType.F32);
    written(model, model.network());
    DenseNetwork pruned = OnnxRuntime.pruned(model.network(), arena);
    ModelFile read = written(model, pruned);
    Path back = folder.resolve("back.safetensors");
    read.save(back, read.network(), false);
    ModelFile again = ModelFile.load(back, Optional.empty(), arena);
    assertEquals(model.network().activations(), again.network().activations());
    assertEquals("somebody", again.file().metadata().get("author"));
  }

  /// Numbers of F64 that float32 holds stay, as all of the smaller types do.
  @ParameterizedTest
  @EnumSource(names = {"F8_E4M3", "F8_E5M2", "F16", "BF16", "F64"})
  void numbersOfOtherTypesAreTheSameInFloat32(DType dtype) throws Exception {
    ModelFile model = model("relu,tanh,identity", dtype);
    written(model, model.network());
    assertEquals(List.of(dtype + " becomes float32 in ONNX, which holds all its numbers"),
        model.conversions(folder.resolve("model.onnx"), model.network()));
  }

  @Test
  void theSlopeOfAPreluKeepsItsName() throws Exception {
    ModelFile model = model("prelu,prelu,identity", DType.F32,
        NewTensor.vector("act.weight", MatrixView.of(arena, 1, 1, 0.3f)));
    written(model, model.network());
    try (OrtSession session = OrtEnvironment.getEnvironment().createSession(folder.resolve("model.onnx").toString())) {
      assertEquals("somebody", session.getMetadata().getCustomMetadata().get("author"));
      assertFalse(session.getMetadata().getCustomMetadata().containsKey("activations"));
      assertEquals(List.of("x"), List.copyOf(session.getInputNames()));
      assertEquals(List.of("y"), List.copyOf(session.getOutputNames()));
    }
    Path path = folder.resolve("model.onnx");
    assertTrue(OnnxContent.of(path, InputFile.map(path, arena), new OnnxExternal(path, arena), Optional.empty())
        .isConstant("act.weight"));
  }

  @Test
  void aBiasThatALayerGainedIsWritten() throws Exception {
    ModelFile model = model("relu,tanh,identity", DType.F32);
    List<DenseLayer> layers = new ArrayList<>(model.network().layers());
    DenseLayer second = layers.get(1);
    layers.set(1, new DenseLayer(second.name(), second.weights(), Optional.of(MatrixView.of(arena, 1, 4, 1, 2, 3, 4)),
        second.activation()));
    written(model, new DenseNetwork(layers));
  }

  @Test
  void whatWouldBeLostIsRefused() throws IOException {
    ModelFile unused = model("relu,tanh,identity", DType.F32, NewTensor.vector("steps", MatrixView.of(arena, 1, 1, 9)),
        NewTensor.vector("z", MatrixView.of(arena, 1, 1, 9)));
    refused(unused, "not written: ONNX would lose \"steps\", \"z\", which are no part of the network; save the state "
        + "dict without them, or choose a name that ends in .safetensors");
    Path path = TestFiles
        .file(folder, "f64.safetensors",
            TestFiles.safetensors(
                "{\"__metadata__\":{\"activations\":\"relu\"},\"w.weight\":{\"dtype\":\"F64\",\"shape\":[1,2],"
                    + "\"data_offsets\":[0,16]}}",
                new byte[]{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, (byte) 0xf0, 63}));
    refused(ModelFile.load(path, Optional.empty(), arena),
        "not written: ONNX has float32 here, which does not hold element 1 of tensor \"w.weight\", F64 "
            + "1.0000000000000002; save it as F32, in PyTorch by model.float(), or choose a name that ends in .safetensors");
    Path mostlyZero = folder.resolve("zeros.safetensors");
    SafetensorsWriter.write(mostlyZero, false, List.of(NewTensor.matrix("w.weight", MatrixView.allocate(arena, 9, 9))),
        Map.of("activations", "relu"));
    ModelFile model = ModelFile.load(mostlyZero, Optional.empty(), arena);
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      String sparse = assertThrows(FormatException.class,
          () -> model.saveSparse(outputs, folder.resolve("x.onnx"), SparseForm.COO, false)).getMessage();
      assertTrue(sparse.endsWith("convert this one to ONNX, and that to coo"), sparse);
    }
  }

  /// The network has 40 · 40 + 40 · 3 weights and 43 biases; the last ones take 480 bytes, and stay in the model.
  @Test
  void largeTensorsOfAModelOfTooManyBytesLieBesideIt() throws Exception {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true,
        List.of(tensor("0.weight", DType.F32, 40, 40), tensor("2.weight", DType.F32, 3, 40)),
        Map.of("activations", "relu"));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    for (long most : new long[]{4 * (1720 + 43), 4 * (1720 + 43) - 1}) {
      Path target = folder.resolve(most + ".onnx");
      try (AtomicOutputs outputs = new AtomicOutputs()) {
        ((TensorModelFile) model).writeOnnx(outputs, target, model.network(), false, most);
        outputs.commit();
      }
      boolean isSplit = most < 4 * (1720 + 43);
      assertEquals(isSplit, OnnxOutput.data(target).toFile().exists());
      if (isSplit) {
        assertEquals(4 * 1600, OnnxOutput.data(target).toFile().length());
        assertTrue(target.toFile().length() < 1024, "model");
      }
      ModelFile read = ModelFile.load(target, Optional.empty(), arena);
      assertArrayEquals(model.network().layers().getFirst().weights().toArray(),
          read.network().layers().getFirst().weights().toArray());
      OnnxRuntime.assertSameOutputs(model.network(), target);
      assertEquals(List.of(target), model.written(target));
    }
  }

  private void refused(ModelFile model, String message) {
    Path target = folder.resolve("refused.onnx");
    assertEquals(target + ": " + message,
        assertThrows(FormatException.class, () -> model.save(target, model.network(), false)).getMessage());
    assertFalse(target.toFile().exists());
  }
}
