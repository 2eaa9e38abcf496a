package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Networks in ONNX that are no chains, compared with ONNX Runtime.
final class OnnxGraphTest {
  static final String READ = "; what is read: dense layers (Gemm, MatMul and Add), activations, Add, Sub, Mul, Div by a "
      + "constant, Concat, Slice and Split of features, sums and means over them, and normalisations";

  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// A residual network as PyTorch exports it: y = last(h + second(relu(first(h)))), h = relu(stem(x)).
  static OnnxModel residual() {
    RandomGenerator random = TestNetworks.random(1);
    return new OnnxModel(0, 4).normal("stem.weight", random, 6, 4).normal("stem.bias", random, 6)
        .normal("first.weight", random, 5, 6).normal("first.bias", random, 5).normal("second.weight", random, 6, 5)
        .normal("second.bias", random, 6).normal("last.weight", random, 3, 6).normal("last.bias", random, 3)
        .node("Gemm", "x stem.weight stem.bias", "s", "transB", 1).node("Relu", "s", "h")
        .node("Gemm", "h first.weight first.bias", "f", "transB", 1).node("Relu", "f", "g")
        .node("Gemm", "g second.weight second.bias", "k", "transB", 1).node("Add", "k h", "r")
        .node("Gemm", "r last.weight last.bias", "y", "transB", 1);
  }

  /// The input joins a hidden layer again, and GELU's input is read by a sum too.
  private static OnnxModel skips() {
    RandomGenerator random = TestNetworks.random(2);
    return new OnnxModel(0, 4).normal("a.weight", random, 4, 5).normal("a.bias", random, 5)
        .normal("b.weight", random, 9, 5).normal("b.bias", random, 1, 5).normal("c.weight", random, 5, 2)
        .floats("two", new long[0], (float) Math.sqrt(2)).floats("one", new long[0], 1)
        .floats("half", new long[0], 0.5f).node("MatMul", "x a.weight", "m").node("Add", "a.bias m", "z")
        .node("Div", "z two", "d").node("Erf", "d", "e").node("Add", "e one", "p").node("Mul", "z p", "q")
        .node("Mul", "q half", "h").node("Concat", "h x", "j", "axis", -1).node("MatMul", "j b.weight", "n")
        .node("Add", "n b.bias", "w").node("Sigmoid", "w", "g").node("Mul", "w g", "v").node("Add", "v z", "r")
        .node("Identity", "r", "i").node("MatMul", "i c.weight", "t").node("Softmax", "t", "y", "axis", 1);
  }

  /// Towers of parts of a value, of which one begins with an activation, and a value that is added to itself.
  private static OnnxModel towers() {
    RandomGenerator random = TestNetworks.random(3);
    return new OnnxModel(0, 3).normal("a", random, 3, 4).normal("b", random, 2, 3).normal("c", random, 6, 2)
        .node("Tanh", "x", "t").node("MatMul", "t a", "u").node("Gemm", "x b", "v", "transB", 1)
        .node("Elu", "v", "w", "alpha", 0.5f).node("LeakyRelu", "w", "l", "alpha", 0.3f).node("Add", "l l", "d")
        .node("Concat", "u d", "j", "axis", 1).node("Gemm", "j c", "y");
  }

  /// A gated network with normalisations, as language models have them: SwiGLU between normalisations by root mean
  /// squares, which the exporter takes apart, and a residual sum.
  private static OnnxModel gated(boolean isReciprocal) {
    RandomGenerator random = TestNetworks.random(7);
    OnnxModel model = new OnnxModel(0, 4).normal("in", random, 4, 6).normal("gate", random, 6, 5)
        .normal("up", random, 6, 5).normal("down", random, 5, 6).normal("out", random, 6, 2).normal("norm", random, 6)
        .floats("eps", new long[0], 1e-2f).floats("two", new long[0], 2).integers("last", -1)
        .node("MatMul", "x in", "h").node("Pow", "h two", "p").node("ReduceMean", "p", "m", "axes", List.of(-1))
        .node("Add", "m eps", "v").node("Sqrt", "v", "s");
    model = isReciprocal ? model.node("Reciprocal", "s", "r").node("Mul", "h r", "q") : model.node("Div", "h s", "q");
    return model.node("Mul", "norm q", "n").node("MatMul", "n gate", "g").node("MatMul", "n up", "u")
        .node("Sigmoid", "g", "sg").node("Mul", "g sg", "a").node("Mul", "a u", "w").node("MatMul", "w down", "d")
        .node("Add", "h d", "e").node("MatMul", "e out", "y");
  }

  /// An operator network: a branch and a trunk of parts of the input, their dot product, and a bias.
  private static OnnxModel operatorNetwork(boolean keepsDimension) {
    RandomGenerator random = TestNetworks.random(8);
    OnnxModel model = new OnnxModel(0, 5).normal("b.weight", random, 4, 3).normal("b.bias", random, 4)
        .normal("t.weight", random, 4, 2).normal("t.bias", random, 4).floats("bias", new long[]{1}, 0.5f)
        .integers("zero", 0).integers("three", 3).integers("end", Long.MAX_VALUE).integers("one", 1)
        .node("Slice", "x zero three one", "xb").node("Slice", "x three end one", "xt")
        .node("Gemm", "xb b.weight b.bias", "zb", "transB", 1).node("Tanh", "zb", "br")
        .node("Gemm", "xt t.weight t.bias", "zt", "transB", 1).node("Sin", "zt", "tr").node("Mul", "br tr", "pr");
    return keepsDimension
        ? model.node("ReduceSum", "pr one", "sum").node("Add", "sum bias", "y")
        : model.node("ReduceMean", "pr", "sum", "axes", List.of(1), "keepdims", 0).node("Add", "bias sum", "f")
            .node("Unsqueeze", "f one", "y");
  }

  /// Batch and layer normalisation, a split and gates by differences.
  private static OnnxModel normalized() {
    RandomGenerator random = TestNetworks.random(9);
    return new OnnxModel(0, 4).normal("a", random, 4, 6).normal("b", random, 4, 3).normal("scale", random, 6)
        .normal("shift", random, 6).normal("mean", random, 6).floats("var", new long[]{6}, 1, 2, 0.5f, 1, 3, 1)
        .normal("g", random, 6).normal("h", random, 6).integers("sizes", 2, 4).floats("two", new long[]{1, 1}, 2)
        .normal("four", random, 4).normal("w", random, 4, 3).normal("bias", random, 6).node("Div", "x two", "half")
        .node("Neg", "half", "neg").node("Sub", "two neg", "in").node("Gemm", "in a bias", "z")
        .node("BatchNormalization", "z scale shift mean var", "n", "epsilon", 1e-3f).node("Relu", "n", "r")
        .node("LayerNormalization", "r g h", "l", "axis", -1, "epsilon", 0.1f)
        .node("Split", "l sizes", "_ s", "axis", 1).node("Sub", "s half", "d").node("Mul", "d d", "q")
        .node("Sub", "q four", "t").node("MatMul", "t w", "y");
  }

  /// Layer normalisation as PyTorch takes it apart, and a second part of equal halves.
  private static OnnxModel layerNormalized() {
    RandomGenerator random = TestNetworks.random(10);
    return new OnnxModel(0, 4).normal("a", random, 4, 6).normal("b", random, 6, 4).floats("two", new long[0], 2)
        .floats("eps", new long[0], 0.01f).normal("g", random, 6).normal("h", random, 6).normal("c", random, 2, 3)
        .node("MatMul", "x a", "z").node("ReduceMean", "z", "m", "axes", List.of(-1)).node("Sub", "z m", "d")
        .node("Pow", "d two", "p").node("ReduceMean", "p", "v", "axes", List.of(-1)).node("Add", "v eps", "e")
        .node("Sqrt", "e", "s").node("Div", "d s", "q").node("Mul", "q g", "k").node("Add", "k h", "l")
        .node("MatMul", "l b", "f").node("Split", "f", "f1 f2", "axis", -1).node("Sigmoid", "f1", "o")
        .node("Mul", "f2 o", "u").node("Reshape", "u shape", "rs").integers("shape", -1, 2).node("MatMul", "rs c", "y");
  }

  /// Constants that nodes give as numbers in attributes.
  private static OnnxModel attributes() {
    RandomGenerator random = TestNetworks.random(30);
    return new OnnxModel(0, 4).normal("a", random, 4, 3).normal("b", random, 3, 2)
        .node("Constant", "", "half", "value_float", 0.5f)
        .node("Constant", "", "shifts", "value_floats", List.of(0.5f, -1f, 2f))
        .node("Constant", "", "axis", "value_int", 1).node("Constant", "", "shape", "value_ints", List.of(-1, 3))
        .node("Mul", "x half", "h").node("MatMul", "h a", "z").node("Relu", "z", "r").node("Add", "shifts r", "s")
        .node("Reshape", "s shape", "f").node("MatMul", "f b", "y");
  }

  /// Softplus as PyTorch's dynamo exporter writes it, with β and without, and its input that the gate reads too.
  private static OnnxModel softplus() {
    RandomGenerator random = TestNetworks.random(32);
    return new OnnxModel(0, 4).normal("a", random, 4, 3).normal("b", random, 3, 2).floats("beta", new long[0], 2.5f)
        .floats("threshold", new long[0], 20).node("MatMul", "x a", "z").node("Mul", "z beta", "s")
        .node("Softplus", "s", "p").node("Div", "p beta", "d").node("Greater", "s threshold", "g")
        .node("Where", "g z d", "w").node("Softplus", "w", "q").node("Greater", "w threshold", "h")
        .node("Where", "h w q", "v").node("Mul", "v z", "m").node("MatMul", "m b", "y");
  }

  /// Positional encoding of standardised samples, as of scikit-learn, and a dot product.
  private static OnnxModel encoded() {
    RandomGenerator random = TestNetworks.random(33);
    return new OnnxModel(0, 3).normal("a", random, 9, 4).normal("b", random, 9, 4).floats("two", new long[0], 2)
        .integers("one", 1)
        .node("Scaler", "x", "n", "offset", List.of(0.5f, -1f, 0.25f), "scale", List.of(1f, 2f, 0.5f))
        .node("Mul", "n two", "t").node("Sin", "t", "s").node("Cos", "t", "c").node("Concat", "n s c", "e", "axis", -1)
        .node("MatMul", "e a", "f").node("MatMul", "e b", "g").node("Einsum", "f g", "d", "equation", "bi, bi -> b")
        .node("Unsqueeze", "d one", "y");
  }

  /// Halves of features, and matrices of samples, as PyTorch writes `chunk` and `view` of as many samples as there are.
  private static OnnxModel chunked() {
    RandomGenerator random = TestNetworks.random(34);
    return new OnnxModel(0, 4).normal("a", random, 6, 4).normal("b", random, 3, 2).integers("last", -1)
        .integers("zero", 0).integers("one", 1).integers("two", 2).node("Constant", "", "first", "value_int", 0)
        .node("Shape", "x", "xs").node("Gather", "xs first", "n").node("Unsqueeze", "n zero", "rows")
        .node("Concat", "rows last", "shape", "axis", 0).node("Reshape", "x shape", "f")
        .node("Gemm", "f a", "h", "transB", 1).node("Shape", "h", "hs").node("Gather", "hs last", "w")
        .node("Add", "w one", "w1").node("Div", "w1 two", "each").node("Mul", "each one", "end")
        .node("Slice", "h zero end last", "l").node("Mul", "each two", "ends").node("Slice", "h end ends last", "r")
        .node("Sigmoid", "r", "g").node("Mul", "l g", "m").node("Shape", "m", "ms")
        .node("Gather", "ms first", "k", "axis", 0).node("Sub", "k zero", "unused").node("Unsqueeze", "k zero", "ks")
        .node("Concat", "ks last", "again", "axis", 0).node("Reshape", "m again", "q").node("Gemm", "q b", "y");
  }

  static Stream<Arguments> models() {
    return Stream.of(Arguments.of("residual", residual(), 8), Arguments.of("skips", skips(), 9),
        Arguments.of("towers", towers(), 9), Arguments.of("gated", gated(false), 11),
        Arguments.of("gated, reciprocal", gated(true), 11), Arguments.of("operator", operatorNetwork(true), 10),
        Arguments.of("operator, mean", operatorNetwork(false), 11), Arguments.of("normalized", normalized(), 15),
        Arguments.of("layer normalized", layerNormalized(), 11), Arguments.of("attributes", attributes(), 6),
        Arguments.of("softplus", softplus(), 8), Arguments.of("encoded", encoded(), 11),
        Arguments.of("chunked", chunked(), 7));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("models")
  void computesWhatOnnxRuntimeDoesBeforeAndAfterPruning(String name, OnnxModel model, int nodes) throws Exception {
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    DenseNetwork network = file.network();
    assertFalse(network.graph().isChain());
    assertEquals(nodes, network.graph().nodes().size(), network.graph().toString());
    assertEquals(List.of(), file.notes());
    OnnxRuntime.assertSameOutputs(network, path);

    DenseNetwork pruned = OnnxRuntime.pruned(network, arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    DenseNetwork again = ModelFile.load(target, Optional.empty(), arena).network();
    assertEquals(network.graph(), again.graph());
    for (int l = 0; l < network.layers().size(); l++) {
      DenseLayer expected = pruned.layers().get(l);
      assertArrayEquals(expected.weights().toArray(), again.layers().get(l).weights().toArray());
    }
    Path same = folder.resolve("same.onnx");
    file.save(same, network, false);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(same));
    FormatException refusal = assertThrows(FormatException.class,
        () -> file.save(folder.resolve("model.safetensors"), network, false));
    assertTrue(refusal.getMessage()
        .endsWith("safetensors hold chains of layers, and this network is none; choose a name that ends in .onnx"));
    assertThrows(FormatException.class, () -> ModelFile.write(folder.resolve("m.safetensors"), network, false));
  }

  @Test
  void readsTheNormalizationOfOperatorSet23() throws Exception {
    RandomGenerator random = TestNetworks.random(13);
    OnnxModel model = new OnnxModel(0, 4).normal("a", random, 4, 6).normal("g", random, 6).normal("b", random, 6, 2)
        .node("MatMul", "x a", "h").node("RMSNormalization", "h g", "n", "axis", 1, "epsilon", 0.01f)
        .node("MatMul", "n b", "y");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(23));
    DenseNetwork network = ModelFile.load(path, Optional.empty(), arena).network();
    assertEquals(new Node.Normalize(1, false, 0.01f, 6), network.graph().nodes().get(2));
    OnnxRuntime.assertSameOutputs(network, path);
  }

  /// As exporters write layers of samples of several dimensions, without folding constants.
  @Test
  void readsTransposedWeights() throws Exception {
    RandomGenerator random = TestNetworks.random(31);
    OnnxModel model = new OnnxModel(0, 4).normal("a", random, 6, 4).normal("bias", random, 6).normal("b", random, 6, 2)
        .node("Transpose", "a", "t", "perm", List.of(1, 0)).node("MatMul", "x t", "m").node("Add", "bias m", "h")
        .node("Tanh", "h", "r").node("Transpose", "b", "u").node("Gemm", "r u", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(List.of(), file.notes());
    assertEquals(List.of("a", "b"), file.network().layers().stream().map(DenseLayer::name).toList());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    assertEquals(Files.size(path), Files.size(target));
    refused(model.node("Add", "t t", "unread").output("unread"),
        "node \"add6\" (Add) reads \"t\", which is no value of the network; it must be computed of the samples, by a node before it");
  }

  static Stream<Arguments> sharing() {
    RandomGenerator random = TestNetworks.random(21);
    return Stream.of(
        Arguments.of("a bias",
            new OnnxModel(0, 3).normal("v", random, 3, 3).normal("w", random, 3, 3).normal("b", random, 3)
                .node("Gemm", "x v b", "h", "transB", 1).node("Relu", "h", "r").node("Gemm", "r w b", "y"),
            "b", 2),
        Arguments.of("weights and their transpose",
            new OnnxModel(0, 3).normal("v", random, 5, 3).node("Gemm", "x v", "h", "transB", 1).node("Tanh", "h", "t")
                .node("Gemm", "t v", "y"),
            "v", 2),
        Arguments.of("the weights of an encoder, transposed by a decoder",
            new OnnxModel(0, 3).normal("v", random, 5, 3).node("Gemm", "x v", "h", "transB", 1).node("Tanh", "h", "t")
                .node("Transpose", "v", "d", "perm", List.of(1, 0)).node("Gemm", "t d", "y", "transB", 1),
            "v", 2),
        Arguments.of("weights with other biases",
            new OnnxModel(0, 3).normal("v", random, 3, 3).normal("b", random, 3).normal("c", random, 3)
                .node("Identity", "v", "alias").node("MatMul", "x v", "h").node("Add", "b h", "hb")
                .node("Relu", "hb", "r").node("MatMul", "r alias", "z").node("Add", "z c", "y"),
            "v", 2),
        Arguments.of(
            "a bias and a shift", new OnnxModel(0, 3).normal("v", random, 3, 3).normal("b", random, 3)
                .node("MatMul", "x v", "h").node("Add", "h b", "hb").node("Relu", "hb", "r").node("Add", "r b", "y"),
            "b", 2));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("sharing")
  void layersThatShareATensorGetCopies(String name, OnnxModel model, String tensor, int nodes) throws Exception {
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(
        List.of("tensor \"%s\" is shared by %d nodes: each has a copy of its own now".formatted(tensor, nodes)),
        file.notes());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    ModelFile again = ModelFile.load(target, Optional.empty(), arena);
    assertEquals(List.of(), again.notes());
    assertEquals(file.network().graph(), again.network().graph());
  }

  /// The nodes of one layer, of which each reads the weights and the bias that the other reads too; `nodes` apply it
  /// to both halves of the samples.
  static Stream<Arguments> tied() {
    RandomGenerator random = TestNetworks.random(22);
    return Stream.of(
        Arguments.of("Gemm with a bias",
            halves(random).node("Gemm", "l v b", "p", "transB", 1).node("Gemm", "r v b", "q", "transB", 1)),
        Arguments.of("Gemm without",
            halves(random).node("Gemm", "l v", "p", "transB", 1).node("Gemm", "r v", "q", "transB", 1)),
        Arguments.of("MatMul and Add",
            halves(random).node("MatMul", "l v", "h").node("Add", "b h", "p").node("Identity", "v", "alias")
                .node("MatMul", "r alias", "k").node("Add", "k b", "q")),
        Arguments.of("weights that are transposed for each",
            halves(random).node("Transpose", "v", "t").node("MatMul", "l t", "p").node("Transpose", "v", "u")
                .node("MatMul", "r u", "q")),
        Arguments.of("weights that are transposed once",
            halves(random).node("Transpose", "v", "t").node("MatMul", "l t", "p").node("MatMul", "r t", "q")),
        Arguments.of("MatMul without a bias", halves(random).node("MatMul", "l v", "p").node("MatMul", "r v", "q")),
        Arguments.of("one after the other", halves(random).node("Add", "l r", "m")
            .node("Gemm", "m v b", "p", "transB", 1).node("Tanh", "p", "t").node("Gemm", "t v b", "q", "transB", 1)));
  }

  private static OnnxModel halves(RandomGenerator random) {
    return new OnnxModel(0, 6).normal("v", random, 3, 3).normal("b", random, 3).normal("w", random, 2, 6)
        .integers("zero", 0).integers("three", 3).integers("six", 6).integers("axis", -1)
        .node("Slice", "x zero three axis", "l").node("Slice", "x three six axis", "r");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("tied")
  void aTiedLayerIsOneLayerAndStaysOneTensor(String name, OnnxModel model) throws Exception {
    model.node("Relu", "q", "a").node("Concat", "p a", "c", "axis", -1).node("Gemm", "c w", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(List.of("a layer that several nodes use is pruned once, for all of them: v (2 times)"), file.notes());
    assertEquals(2, file.network().layers().size());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    assertEquals(Files.size(path), Files.size(target));
    ModelFile again = ModelFile.load(target, Optional.empty(), arena);
    assertEquals(file.network().graph(), again.network().graph());
    assertArrayEquals(pruned.layers().getFirst().weights().toArray(),
        again.network().layers().getFirst().weights().toArray());
  }

  /// Two nodes of one layer, and another layer with its weights, which gets a copy; what else reads the bias has one
  /// too.
  @Test
  void othersThatReadATensorOfATiedLayerGetCopies() throws Exception {
    OnnxModel model = halves(TestNetworks.random(22)).node("Gemm", "l v b", "p", "transB", 1)
        .node("Gemm", "r v b", "q", "transB", 1).node("Gemm", "r v", "o", "transB", 1).node("Add", "o b", "s")
        .node("Add", "s q", "a").node("Concat", "p a", "c", "axis", -1).node("Gemm", "c w", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(
        List.of("tensor \"v\" is shared by 3 nodes, some of which are one layer: each layer has a copy of its own now",
            "tensor \"b\" is shared by 3 nodes, some of which are one layer: each layer has a copy of its own now",
            "a layer that several nodes use is pruned once, for all of them: v (2 times)"),
        file.notes());
    assertEquals(List.of("v", "v_2", "w"), file.network().layers().stream().map(DenseLayer::name).toList());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    assertEquals(file.network().graph(), ModelFile.load(target, Optional.empty(), arena).network().graph());
  }

  /// What PyTorch and Keras exported.
  @ParameterizedTest
  @ValueSource(strings = {"nerf", "swiglu", "rms", "layernorm", "layernorm17", "batchnorm", "siren", "deeponet", "glu",
      "highway", "square", "heads", "softgate", "branches", "unbiased", "dynamo-softplus", "dynamo-slopes",
      "dynamo-swiglu", "dynamo-branches", "dynamo-heads", "legacy-swiglu", "keras-batchnorm", "keras-sequence",
      "keras-residual", "keras-dot"})
  void readsWhatExportersWrite(String name) throws Exception {
    Path path = folder.resolve("model.onnx");
    try (InputStream in = OnnxGraphTest.class.getResourceAsStream("onnx/" + name + ".onnx")) {
      Files.write(path, in.readAllBytes());
    }
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(name.equals("siren"), file.network().graph().isChain());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  /// Rows of zeros are removed, of the file too, whose outputs stay what they are.
  @ParameterizedTest
  @ValueSource(strings = {"relu", "sklearn", "residual", "nerf", "swiglu", "rms", "layernorm17", "batchnorm", "siren",
      "deeponet", "glu", "highway", "heads", "branches", "unbiased", "dynamo-branches", "dynamo-slopes",
      "keras-residual", "keras-dot"})
  void shrinks(String name) throws Exception {
    Path path = folder.resolve("model.onnx");
    try (InputStream in = OnnxGraphTest.class.getResourceAsStream("onnx/" + name + ".onnx")) {
      Files.write(path, in.readAllBytes());
    }
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    DenseNetwork sparse = new DenseNetwork(file.network().graph(),
        file.network().layers().stream().map(layer -> withoutRows(layer)).toList());
    Path target = folder.resolve("sparse.onnx");
    file.save(target, sparse, false);
    ModelFile large = ModelFile.load(target, Optional.empty(), arena);
    Compaction compaction = Compaction.of(large.network(), 1, arena);
    assertEquals(name.equals("layernorm17") || name.equals("rms"), compaction.isUnchanged(), "normalisations read all");
    Path small = folder.resolve("small.onnx");
    large.compacted(compaction, arena).save(small, compaction.network(), false);
    DenseNetwork again = ModelFile.load(small, Optional.empty(), arena).network();
    assertEquals(compaction.network().graph(), again.graph());
    OnnxRuntime.assertSameOutputs(sparse, small);
    assertEquals(compaction.isUnchanged(), Files.size(small) == Files.size(target));
  }

  /// Without the weights of every other neuron.
  private DenseLayer withoutRows(DenseLayer layer) {
    MatrixView weights = layer.weights().copy(arena);
    for (int i = 0; i < weights.rows(); i += 2) {
      for (int j = 0; j < weights.columns(); j++) {
        weights.set(i, j, 0);
      }
    }
    return new DenseLayer(layer.name(), weights, layer.bias(), layer.activation());
  }

  /// The first neuron is read by no node, and the Slice counts from the second on.
  @Test
  void refusesToShrinkWhatANodeFixes() throws IOException {
    OnnxModel model = layers().normal("c", TestNetworks.random(7), 3).integers("one", 1).integers("three", 3)
        .node("Slice", "h one three one", "s").normal("u", TestNetworks.random(8), 2, 2)
        .node("Gemm", "s u", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    Compaction compaction = Compaction.of(file.network(), 1, arena);
    assertEquals(List.of(1, 2), compaction.layers().getFirst().neurons());
    assertEquals(
        path + ": is not shrunk: without these features, node \"gemm2\" (Gemm) has weights [2, 2] for 1 inputs",
        assertThrows(FormatException.class, () -> file.compacted(compaction, arena)).getMessage());
  }

  /// The file that tests of the command line read.
  @Test
  void theResidualModelIsTheOneOfTheResources() throws IOException {
    try (InputStream in = OnnxGraphTest.class.getResourceAsStream("onnx/residual.onnx")) {
      assertArrayEquals(residual().bytes(17), in.readAllBytes());
    }
  }

  /// A hidden value that the model gives is preserved as well.
  @Test
  void readsSeveralOutputsSideBySide() throws Exception {
    Path path = TestFiles.file(folder, "model.onnx", residual().output("h").bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(
        List.of("the network has several outputs, side by side: y (3), h (6); what is preserved is all of them"),
        file.notes());
    assertEquals(List.of(new Graph.Head("y", 3), new Graph.Head("h", 6)), file.network().graph().heads());
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  /// Two heads, of which one ends in a logarithm of a softmax and gives its logits too; its classes are left aside.
  @Test
  void readsHeadsThatEndInActivations() throws Exception {
    RandomGenerator random = TestNetworks.random(31);
    OnnxModel model = new OnnxModel(0, 4).output("logits").output("box").normal("stem", random, 4, 6)
        .normal("a", random, 6, 3).normal("b", random, 6, 2).node("MatMul", "x stem", "s").node("Tanh", "s", "h")
        .node("MatMul", "h a", "logits").node("LogSoftmax", "logits", "y", "axis", 1).node("MatMul", "h b", "box")
        .node("ArgMax", "logits", "class", "axis", 1).output("class");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(
        List.of("the network ends before ArgMax, which is not part of it",
            "output \"logits\" is a value within the network, and not what pruning preserves",
            "the network has several outputs, side by side: y (3), box (2); what is preserved is all of them"),
        file.notes());
    assertEquals(new Node.Activate(3, Activation.LOG_SOFTMAX, 3), file.network().graph().nodes().get(4));
  }

  /// As skl2onnx writes classifiers of several labels.
  @Test
  void leavesLabelsAside() throws Exception {
    OnnxModel model = layers().node("Sigmoid", "h", "y").node("Binarizer", "y", "b", "threshold", 0.5f)
        .node("Cast", "b", "label", "to", 7).output("label");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(List.of("the network ends before Binarizer, Cast, which is not part of it"), file.notes());
    assertEquals("sigmoid", file.network().activations().toString());
  }

  /// A ReLU loses what is negative, so that the value that it reads is an output of its own.
  @Test
  void preservesWhatAnActivationLoses() throws Exception {
    for (String activation : List.of("Relu", "Sigmoid")) {
      OnnxModel model = layers().output("z").node("Gemm", "h w b", "z", "transB", 1).node(activation, "z", "y");
      Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
      DenseNetwork network = ModelFile.load(path, Optional.empty(), arena).network();
      assertEquals(activation.equals("Relu") ? List.of(new Graph.Head("y", 2), new Graph.Head("z", 2)) : List.of(),
          network.graph().heads());
      if (activation.equals("Relu")) {
        OnnxRuntime.assertSameOutputs(network, path);
      }
    }
  }

  @Test
  void readsSoftmaxWithinANetwork() throws Exception {
    RandomGenerator random = TestNetworks.random(32);
    OnnxModel model = layers().normal("gate", random, 2, 3).node("Gemm", "x gate", "g").node("Softmax", "g", "p")
        .node("Mul", "p h", "e").node("Gemm", "e w b", "z", "transB", 1).node("LogSoftmax", "z", "y");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  /// A node that no output is computed from is left alone, and a tensor that an Identity repeats is found.
  @Test
  void readsWhatTheOutputNeeds() throws Exception {
    RandomGenerator random = TestNetworks.random(4);
    OnnxModel model = new OnnxModel(0, 2).normal("v", random, 3, 2).floats("b", new long[]{3}, 1, 2, 3)
        .node("Identity", "b", "c").node("Einsum", "x x", "unused").node("Gemm", "x v c", "z", "transB", 1)
        .node("Relu", "z", "y");
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertTrue(file.network().graph().isChain());
    assertArrayEquals(new float[]{1, 2, 3}, file.network().layers().getFirst().bias().orElseThrow().toArray());
    Path target = folder.resolve("pruned.onnx");
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    file.save(target, pruned, false);
    assertArrayEquals(new float[]{1.25f, 2, 3},
        ModelFile.load(target, Optional.empty(), arena).network().layers().getFirst().bias().orElseThrow().toArray());
  }

  /// A branch and a trunk of inputs of their own. What no output needs is no part of a sample.
  @Test
  void readsSeveralInputsSideBySide() throws Exception {
    RandomGenerator random = TestNetworks.random(11);
    OnnxModel model = new OnnxModel(0, 3).input("unused", 0, 7).input("t", 0, 2).normal("b", random, 4, 3)
        .normal("w", random, 2, 4).node("Gemm", "x b", "zb", "transB", 1).node("MatMul", "t w", "zt")
        .node("Tanh", "zt", "tr").node("Mul", "zb tr", "p").node("ReduceSum", "p", "y", "axes", List.of(1));
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(11));
    ModelFile file = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(List.of("a sample is the inputs side by side: x (3), t (2)"), file.notes());
    assertEquals(List.of(new Node.Input(5), new Node.Slice(0, 0, 3), new Node.Slice(0, 3, 2)),
        file.network().graph().nodes().subList(0, 3));
    OnnxModel used = new OnnxModel(0, 3).input("t", 0, 2).normal("b", TestNetworks.random(12), 4, 3)
        .normal("w", random, 2, 4).integers("axis", -1).node("Gemm", "x b", "zb", "transB", 1)
        .node("MatMul", "t w", "zt").node("Tanh", "zt", "tr").node("Mul", "zb tr", "p")
        .node("ReduceSum", "p axis", "y");
    path = TestFiles.file(folder, "used.onnx", used.bytes(17));
    file = ModelFile.load(path, Optional.empty(), arena);
    OnnxRuntime.assertSameOutputs(file.network(), path);
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
  }

  @Test
  void findsTheWidthOfASampleBehindNodesThatKeepIt() throws IOException {
    OnnxModel model = new OnnxModel(0, 2, 2).normal("w", TestNetworks.random(5), 3, 4).node("Flatten", "x", "f")
        .node("Relu", "f", "r").node("Gemm", "r w", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    assertEquals(new Node.Input(4), ModelFile.load(path, Optional.empty(), arena).network().graph().nodes().getFirst());
  }

  /// `x.view(x.size(0), -1)` of samples of two dimensions.
  @Test
  void findsTheWidthOfASampleBehindAComputedReshape() throws IOException {
    OnnxModel model = new OnnxModel(0, 2, 2).normal("w", TestNetworks.random(5), 3, 4).integers("i", 0)
        .integers("j", -1).node("Shape", "x", "s").node("Gather", "s i", "n").node("Concat", "n j", "shape", "axis", 0)
        .node("Reshape", "x shape", "f").node("Gemm", "f w", "y", "transB", 1);
    Path path = TestFiles.file(folder, "model.onnx", model.bytes(17));
    assertEquals(new Node.Input(4), ModelFile.load(path, Optional.empty(), arena).network().graph().nodes().getFirst());
  }

  /// y = h · h as a product of matrices.
  ///
  /// @param axis of which Squeeze leaves out one
  private static OnnxModel dot(OnnxModel model, long axis) {
    return model.integers("row", 1).integers("column", 2).integers("axis", axis).node("Unsqueeze", "h row", "a")
        .node("Unsqueeze", "h column", "b").node("MatMul", "a b", "m").node("Squeeze", "m axis", "y");
  }

  private OnnxModel layers() {
    RandomGenerator random = TestNetworks.random(6);
    return new OnnxModel(0, 2).normal("v", random, 3, 2).normal("w", random, 2, 3).normal("b", random, 2).node("Gemm",
        "x v", "h", "transB", 1);
  }

  @Test
  void refusesByNodeWhatIsNoNetwork() throws IOException {
    refused(layers().node("Add", "h x", "y"),
        "node \"add1\" (Add) reads values of the widths [3, 2]; give them one width, and export the model again");
    refused(layers().node("Concat", "h x", "y", "axis", 0),
        "node \"concat1\" (Concat) goes along axis 0, which is not known to be the last; name the last axis as -1, and export the model again");
    refused(layers().node("Add", "h c", "y").floats("c", new long[]{2}, 1, 2),
        "node \"add1\" (Add) has a constant \"c\" that is not of shape [3]; give it a number for each feature, or one for all");
    refused(layers().node("Mul", "h c", "y").floats("c", new long[]{3, 1}, 1, 2, 3),
        "node \"mul1\" (Mul) has a constant \"c\" that is not of shape [3]; give it a number for each feature, or one for all");
    refused(layers().node("Mul", "h c", "y").floats("c", new long[]{1, 1, 3}, 1, 2, 3),
        "node \"mul1\" (Mul) has a constant \"c\" that is not of shape [3]; give it a number for each feature, or one for all");
    refused(layers().node("Mul", "h c", "y").integers("c", 1, 2, 3),
        "node \"mul1\" (Mul) has a constant \"c\" that is not of shape [3]; give it a number for each feature, or one for all");
    refused(layers().node("Div", "h c", "y").floats("c", new long[]{3}, 1, 0, 3),
        "node \"div1\" (Div) has constants that are not finite; copy the model or export it again");
    refused(layers().node("Pow", "h c", "y").floats("c", new long[]{1}, 3),
        "node \"pow1\" (Pow) has an exponent other than 2; write the power as products, and export the model again");
    refused(layers().node("Celu", "h", "y", "alpha", 2f), "node \"celu1\" (Celu) is not understood here" + READ);
    refused(layers().node("Div", "h h", "y"),
        "node \"div1\" (Div) divides by what is no constant; only constant divisors are read");
    refused(layers().node("Mul", "h x", "y"),
        "node \"mul1\" (Mul) reads values of the widths [3, 2]; give them one width, and export the model again");
    refused(layers().integers("i", 1).integers("j", 3).integers("k", 0).node("Slice", "h i j k", "y"),
        "node \"slice1\" (Slice) goes along axis 0, which is not known to be the last; name the last axis as -1, and export the model again");
    refused(layers().integers("i", 1).integers("k", 2).integers("j", 1).node("Slice", "h i k j k", "y"),
        "node \"slice1\" (Slice) takes no neighbouring features; slice the features alone, with a step of 1, and export the model again");
    refused(layers().integers("i", 1).integers("j", 1).node("Slice", "h i j j", "y"),
        "node \"slice1\" (Slice) takes 0 features from 1 on of 3; copy the model or export it again");
    refused(layers().node("Slice", "h s s s", "y").node("Shape", "x", "s"),
        "node \"slice1\" (Slice) computes its starts, which are only read as constants");
    OnnxModel samples = layers().integers("i", 0).integers("a", 1).node("Shape", "h", "s").node("Gather", "s i", "n");
    refused(samples.node("Slice", "h i n a", "y"),
        "node \"slice3\" (Slice) computes its ends, which are only read as constants");
    refused(
        new OnnxModel(0, 2, 2).normal("w", TestNetworks.random(5), 3, 4).integers("i", 1).integers("j", -1)
            .node("Shape", "x", "s").node("Gather", "s i", "n").node("Concat", "n j", "shape", "axis", 0)
            .node("Reshape", "x shape", "f").node("Gemm", "f w", "y", "transB", 1),
        "node \"reshape3\" (Reshape) is only read behind the network; leave it out, and export the model again");
    refused(layers().node("Split", "h", "y z", "axis", 1, "split", List.of(1, 1)),
        "node \"split1\" (Split) splits 3 features into [1, 1]; copy the model or export it again");
    refused(layers().node("ReduceSum", "h", "y"),
        "node \"reducesum1\" (ReduceSum) goes along the axes []; only the last axis is read, that of the features");
    refused(layers().node("ReduceMean", "h", "m", "axes", List.of(1), "keepdims", 0).node("Softmax", "m", "y"),
        "node \"softmax2\" (Softmax) reads a value without a dimension of features; give it one behind that of the samples, and export the model again");
    refused(layers().node("Softmax", "h", "y", "axis", 0),
        "node \"softmax1\" (Softmax) goes along axis 0, which is not known to be the last; name the last axis as -1, and export the model again");
    refused(
        layers().floats("k", new long[]{3}, 1, 1, 1).node("BatchNormalization", "h k k k k", "y", "training_mode", 1),
        "node \"batchnormalization1\" (BatchNormalization) is no normalisation of features by constants; export the model in evaluation mode, after model.eval()");
    refused(layers().node("LayerNormalization", "h", "y", "epsilon", 0f),
        "node \"layernormalization1\" (LayerNormalization) has an epsilon of 0.0; it must be above 0; copy the model or export it again");
    refused(layers().node("Add", "h later", "y").node("Relu", "h", "later"),
        "node \"add1\" (Add) reads \"later\", which is no value of the network; it must be computed of the samples, by a node before it");
    refused(layers().node("Gemm", "h b", "y", "transB", 1),
        "node \"gemm1\" (Gemm) is no layer of constant weights [inputs, outputs]; weights must be a constant of two dimensions");
    refused(layers().normal("u", TestNetworks.random(1), 2, 4).node("Gemm", "h u", "y", "transB", 1),
        "node \"gemm1\" (Gemm) has weights [2, 4] for 3 inputs; copy the model or export it again");
    refused(layers().node("ArgMax", "h", "s").node("Relu", "s", "y"),
        "node \"argmax1\" (ArgMax) is only read behind the network; leave it out, and export the model again");
    refused(layers().integers("shape", -1, 6).node("Reshape", "h shape", "r").node("Relu", "r", "y"),
        "node \"reshape1\" (Reshape) is only read behind the network; leave it out, and export the model again");
    refused(layers().node("Einsum", "h h", "y", "equation", "bi,bj->bij"),
        "node \"einsum1\" (Einsum) is no \"bi,bi->b\"; no other equation is read; write it with other operators, and export the model again");
    refused(dot(layers(), 0), "node \"unsqueeze1\" (Unsqueeze) is not understood here" + READ);
    refused(
        dot(new OnnxModel().input("x", 2, 5, 4).output("y").normal("w", TestNetworks.random(1), 4, 3).node("MatMul",
            "x w", "h"), 1),
        "node \"squeeze4\" (Squeeze) is a dot product of values that are not known to be"
            + " [samples, features]; give them these two dimensions, and export the model again");
    refused(layers().node("Scaler", "h", "y", "offset", List.of(1f, 2f), "scale", List.of(1f)),
        "node \"scaler1\" (Scaler) has 2 numbers of offset for 3 features; copy the model or export it again");
    refused(layers().floats("c", new long[]{2}, 1, 2).node("PRelu", "h c", "y"),
        "node \"prelu1\" (PRelu) has a constant \"c\" that is not of shape [3]; give it a number for each feature, or one for all");
    refused(layers().floats("c", new long[0], 1).node("Max", "h c", "y"),
        "node \"max1\" (Max) is not understood here" + READ);
    refused(layers().floats("c", new long[0], 1).node("Clip", "h c", "y"),
        "node \"clip1\" (Clip) is not understood here" + READ);
    refused(layers().floats("c", new long[0], 2).node("Abs", "h", "a").node("Add", "a c", "s").node("Div", "h s", "y"),
        "node \"abs1\" (Abs) is not understood here" + READ);
    refused(tanhGelu(0.05f),
        "node \"pow1\" (Pow) has an exponent other than 2; write the power as products, and export the model again");
    refused(layers().floats("t", new long[0], 3).node("Greater", "h t", "g").node("Softplus", "h", "s").node("Where",
        "g h s", "y"), "node \"greater1\" (Greater) is not understood here" + READ);
    refused(
        new OnnxModel(0, 2, 2).normal("w", TestNetworks.random(5), 3, 4).node("Flatten", "x", "f")
            .node("Gemm", "f w", "h", "transB", 1).node("Relu", "x", "r")
            .node("ReduceSum", "r", "s", "axes", List.of(-1)).node("Add", "h s", "y"),
        "node \"reducesum3\" (ReduceSum) reads a value without a dimension of features; give it one behind that of the samples, and export the model again");
    refused(
        new OnnxModel(0, 2).normal("w", TestNetworks.random(5), 2, 2).node("Gemm", "r w", "h").node("Relu", "h", "r")
            .node("Gemm", "r w", "y"),
        "node \"gemm0\" (Gemm) reads \"r\", which no node before it makes; copy the model or export it again");
    refused(layers().node("Relu", "q", "r").node("Add", "h r", "y"),
        "node \"relu1\" (Relu) reads \"q\", which no node before it makes of the samples; copy the model or export it "
            + "again");
    refused(new OnnxModel(0, 2).node("Relu", "x", "y"), "has no layer, that is no Gemm or MatMul");
    refused(new OnnxModel(0, 0).node("Relu", "x", "y"),
        "has no layer, that is no Gemm or MatMul, that tells a sample's width");
  }

  /// Below operator set 13, a softmax without an axis goes along all dimensions behind the first.
  @ParameterizedTest
  @ValueSource(strings = {"Softmax", "LogSoftmax"})
  void readsSoftmaxOfOldOperatorSetsIfItIsOfFeatures(String operator) throws Exception {
    OnnxModel matrix = layers().node(operator, "h", "y");
    Path path = TestFiles.file(folder, "matrix.onnx", matrix.bytes(11));
    OnnxRuntime.assertSameOutputs(ModelFile.load(path, Optional.empty(), arena).network(), path);
    for (long[] shape : new long[][]{{}, {0, 4, 2}}) {
      OnnxModel model = new OnnxModel(shape).normal("v", TestNetworks.random(7), 2, 3).node("MatMul", "x v", "h")
          .node(operator, "h", "y");
      refused(model, 12,
          "node \"%s1\" (%s) has no axis, which in operator set 12 means all dimensions behind the first, not known to be "
              .formatted(operator.toLowerCase(Locale.ROOT), operator)
              + "the features alone; export the model with operator set 13 or newer");
      Path recent = TestFiles.file(folder, "recent.onnx", model.bytes(13));
      assertEquals(1, ModelFile.load(recent, Optional.empty(), arena).network().layers().size());
    }
    OnnxModel last = new OnnxModel(0, 4, 2).normal("v", TestNetworks.random(7), 2, 3).node("MatMul", "x v", "h")
        .node(operator, "h", "y", "axis", 2);
    Path explicit = TestFiles.file(folder, "explicit.onnx", last.bytes(12));
    assertEquals(1, ModelFile.load(explicit, Optional.empty(), arena).network().layers().size());
  }

  /// GELU by tanh, of which `coefficient` should be 0.044715.
  private OnnxModel tanhGelu(float coefficient) {
    return layers().floats("three", new long[0], 3).floats("c", new long[0], coefficient)
        .floats("r", new long[0], 0.7978846f).floats("one", new long[0], 1).floats("half", new long[0], 0.5f)
        .node("Pow", "h three", "p").node("Mul", "p c", "q").node("Add", "h q", "s").node("Mul", "s r", "t")
        .node("Tanh", "t", "u").node("Add", "u one", "v").node("Mul", "v half", "i").node("Mul", "h i", "y");
  }

  private void refused(OnnxModel model, String message) throws IOException {
    refused(model, 17, message);
  }

  private void refused(OnnxModel model, int operatorSet, String message) throws IOException {
    Path path = TestFiles.file(folder, "refused.onnx", model.bytes(operatorSet));
    assertEquals(path + ": " + message,
        assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena)).getMessage());
  }
}
