package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Heads of ONNX models that begin with other operators, compared with ONNX Runtime.
final class OnnxFromTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Convolutions, and a head of dense layers whose first shares its bias with the convolution.
  private static OnnxModel convolutions() {
    RandomGenerator random = TestNetworks.random(41);
    return new OnnxModel(0, 2, 5, 5).normal("kernel", random, 4, 2, 3, 3).normal("shared", random, 4)
        .normal("a", random, 4, 36).normal("b", random, 3, 4).normal("bb", random, 3)
        .node("Conv", "x kernel shared", "c").node("Relu", "c", "features").node("Flatten", "features", "flat")
        .node("Gemm", "flat a shared", "h", "transB", 1).node("Relu", "h", "r")
        .node("Gemm", "r b bb", "y", "transB", 1);
  }

  private ModelFile load(Path path, String from) throws IOException {
    return ModelFile.load(path, new ModelReading(Optional.empty(), List.of(), Optional.of(from), OptionalInt.empty()),
        arena);
  }

  @Test
  void prunesTheHeadAndKeepsWhatIsBefore() throws Exception {
    Path path = TestFiles.file(folder, "model.onnx", convolutions().output("flat").bytes(17));
    for (String from : List.of("flat", "features")) {
      ModelFile file = load(path, from);
      assertEquals(List.of("tensor \"shared\" is shared by 2 nodes: each has a copy of its own now",
          "the network begins at \"%s\", 36 numbers a sample; in ONNX, what is before it stays as it is"
              .formatted(from)),
          file.notes());
      assertTrue(file.network().graph().isChain());
      assertEquals(36, file.network().inputs());
      assertSame(file.network(), path);
      DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
      Path target = folder.resolve("pruned-" + from + ".onnx");
      file.save(target, pruned, false);
      assertSame(pruned, target);
      assertEquals(file.network().graph(), load(target, from).network().graph());
      assertArrayEquals(bytes(path, "kernel"), bytes(target, "kernel"));
      assertArrayEquals(bytes(path, "shared"), bytes(target, "shared"));
    }
  }

  /// That the head computes of what ONNX Runtime has at `flat` what that has at the output.
  private static void assertSame(DenseNetwork head, Path model) throws OrtException {
    RandomGenerator random = TestNetworks.random(42);
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (OrtSession session = environment.createSession(model.toString(), new OrtSession.SessionOptions())) {
      float[] x = new float[50];
      for (int i = 0; i < x.length; i++) {
        x[i] = (float) random.nextGaussian();
      }
      try (OnnxTensor input = OnnxTensor.createTensor(environment, FloatBuffer.wrap(x), new long[]{1, 2, 5, 5});
          OrtSession.Result result = session.run(Map.of("x", input))) {
        float[] flat = ((float[][]) result.get("flat").orElseThrow().getValue())[0];
        float[] y = ((float[][]) result.get("y").orElseThrow().getValue())[0];
        double[] expected = Plain.of(head).output(doubles(flat));
        assertArrayEquals(expected, doubles(y), 1e-4);
      }
    }
  }

  private static double[] doubles(float... values) {
    double[] doubles = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      doubles[i] = values[i];
    }
    return doubles;
  }

  /// The message of a tensor.
  private byte[] bytes(Path path, String tensor) throws IOException {
    for (Protobuf graph : Protobuf.parse(path, InputFile.map(path, arena)).messages(path, OnnxContent.MODEL_GRAPH)) {
      for (Protobuf.Field field : graph.all(OnnxContent.GRAPH_INITIALIZER)) {
        if (Protobuf.parse(path, field.bytes()).text(OnnxContent.TENSOR_NAME).equals(tensor)) {
          return field.whole().toArray(ValueLayout.JAVA_BYTE);
        }
      }
    }
    throw new AssertionError(tensor);
  }

  @Test
  void shrinksTheHead() throws Exception {
    Path path = TestFiles.file(folder, "model.onnx", convolutions().output("flat").bytes(17));
    ModelFile file = load(path, "flat");
    DenseLayer first = file.network().layers().getFirst();
    for (int j = 0; j < 36; j++) {
      first.weights().set(1, j, 0);
    }
    DenseNetwork sparse = new DenseNetwork(file.network().graph(), file.network().layers());
    Path target = folder.resolve("sparse.onnx");
    file.save(target, sparse, false);
    ModelFile large = load(target, "flat");
    Compaction compaction = Compaction.of(large.network(), 1, arena);
    assertEquals(3, compaction.layers().getFirst().neurons().size());
    Path small = folder.resolve("small.onnx");
    large.compacted(compaction, arena).save(small, compaction.network(), false);
    assertSame(compaction.network(), small);
    assertTrue(Files.size(small) < Files.size(target));
  }

  @Test
  void refusesTensorsThatDoNotLeadToTheOutputs() throws IOException {
    Path path = TestFiles.file(folder, "model.onnx", convolutions().bytes(17));
    refused(path, "flatt", "has no tensor \"flatt\"; did you mean \"flat\"?");
    refused(path, "elsewhere",
        "has no tensor \"elsewhere\"; there are \"x\", \"c\", \"features\", \"flat\", \"h\", \"r\", \"y\"");
    refused(path, "kernel", "\"kernel\" is a constant; name a value that is computed of the inputs");
    refused(path, "y", "has no output that depends on \"y\"; name a tensor nearer to the inputs");
    RandomGenerator random = TestNetworks.random(43);
    Path skip = TestFiles.file(folder, "skip.onnx",
        new OnnxModel(0, 3).normal("a", random, 3, 3).normal("b", random, 3, 3).node("Einsum", "x", "e")
            .node("Gemm", "e a", "h").node("Relu", "h", "r").node("Add", "r e", "s").node("Gemm", "s b", "y")
            .bytes(17));
    refused(skip, "r", "node \"add3\" (Add) reads \"e\", which depends on input \"x\" and not on \"r\": "
        + "name a tensor that all ways from the inputs to the outputs go through");
    assertEquals(2, load(skip, "e").network().layers().size());
    Path chain = folder.resolve("chain.safetensors");
    ModelFile.write(chain, load(path, "flat").network(), false);
    refused(chain, "flat", "is no ONNX model, which alone has tensors that a network can begin at; give none");
  }

  private void refused(Path path, String from, String message) {
    assertEquals(path + ": " + message, assertThrows(FormatException.class, () -> load(path, from), from).getMessage());
  }

  /// A pattern of the exporter that begins before the tensor is none.
  @Test
  void beginsWithinAPattern() throws Exception {
    RandomGenerator random = TestNetworks.random(44);
    Path path = TestFiles.file(folder, "model.onnx",
        new OnnxModel(0, 3).normal("a", random, 3, 4).normal("b", random, 4, 2).node("MatMul", "x a", "z")
            .node("Sigmoid", "z", "s").node("Mul", "z s", "g").node("MatMul", "g b", "y").bytes(17));
    assertEquals(2, load(path, "x").network().layers().size());
    refused(path, "s", "node \"mul2\" (Mul) reads \"z\", which depends on input \"x\" and not on \"s\": "
        + "name a tensor that all ways from the inputs to the outputs go through");
    assertEquals(List.of("b"), load(path, "g").network().layers().stream().map(DenseLayer::name).toList());
    assertArrayEquals(load(path, "g").network().layers().getFirst().weights().toArray(),
        load(path, "x").network().layers().getLast().weights().toArray());
    assertEquals(4, load(path, "z").network().inputs());
  }
}
