package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Layers without a bias before a batch normalisation, whose mean takes it, in ONNX.
final class OnnxBatchNormTest {
  private static final float[] MEAN = {0.5f, -0.25f, 1, 0.125f, 2, -1};
  private static final String NOTE = "BatchNormalization: its mean takes the bias that %s not have";

  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Weights of 4 inputs and 6 outputs, either way round, and what stands behind them but the mean.
  private static OnnxModel start() {
    RandomGenerator random = TestNetworks.random(1);
    return new OnnxModel(0, 4).normal("a", random, 4, 6).normal("t", random, 6, 4).normal("scale", random, 6)
        .normal("shift", random, 6).floats("var", new long[]{6}, 1, 2, 0.5f, 1, 3, 1).normal("b", random, 6, 3);
  }

  private static OnnxModel withMean() {
    return start().floats("mean", new long[]{6}, MEAN);
  }

  /// With the normalisation of `z` and a layer of the weights `b`.
  private static OnnxModel end(OnnxModel model) {
    return model.node("BatchNormalization", "z scale shift mean var", "n", "epsilon", 1e-3f).node("Relu", "n", "r")
        .node("MatMul", "r b", "y");
  }

  private ModelFile load(OnnxModel model) throws IOException {
    return ModelFile.load(TestFiles.file(folder, "model.onnx", model.bytes(17)), Optional.empty(), arena);
  }

  /// That ONNX Runtime computes what a network does, before its weights and biases change and after.
  private void assertComputes(ModelFile file) throws Exception {
    OnnxRuntime.assertSameOutputs(file.network(), folder.resolve("model.onnx"));
    DenseNetwork pruned = OnnxRuntime.pruned(file.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    file.save(target, pruned, true);
    OnnxRuntime.assertSameOutputs(pruned, target);
    assertEquals(file.notes().getLast(), ModelFile.load(target, Optional.empty(), arena).notes().getLast());
  }

  /// The same weights, and some biases of the first layer.
  private DenseNetwork moved(DenseNetwork network, float... bias) {
    DenseLayer first = network.layers().getFirst();
    return new DenseNetwork(network.graph(),
        Stream.concat(
            Stream.of(new DenseLayer(first.name(), first.weights(),
                Optional.of(MatrixView.of(arena, 1, bias.length, bias)), first.activation())),
            network.layers().stream().skip(1)).toList());
  }

  private static byte[] floats(float... values) {
    ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    return data.array();
  }

  private static byte[] doubles(double... values) {
    ByteBuffer data = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asDoubleBuffer().put(values);
    return data.array();
  }

  /// A file with other bytes in the place of some that it has once.
  private static byte[] replaced(byte[] file, byte[] old, byte[] bytes) {
    List<Integer> places = IntStream.range(0, file.length - old.length + 1)
        .filter(at -> Arrays.equals(file, at, at + old.length, old, 0, old.length)).boxed().toList();
    assertEquals(1, places.size());
    byte[] changed = file.clone();
    System.arraycopy(bytes, 0, changed, places.getFirst(), bytes.length);
    return changed;
  }

  static Stream<Arguments> means() {
    return Stream.of(Arguments.of("MatMul", "a", withMean().node("MatMul", "x a", "z")),
        Arguments.of("Gemm", "t", withMean().node("Gemm", "x t", "z", "transB", 1)),
        Arguments.of("MatMul of a Transpose", "t", withMean().node("Transpose", "t", "u").node("MatMul", "x u", "z")),
        Arguments.of("an Identity of the mean", "a",
            start().floats("m", new long[]{6}, MEAN).node("Identity", "m", "mean").node("MatMul", "x a", "z")),
        Arguments.of("a Constant node", "a",
            start().node("Constant", "", "mean", "value", OnnxModel.tensor(MEAN)).node("MatMul", "x a", "z")),
        Arguments.of("a mean among the inputs", "a", withMean().input("mean", 6).node("MatMul", "x a", "z")));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("means")
  void theMeanTakesTheBias(String name, String layer, OnnxModel model) throws Exception {
    ModelFile file = load(end(model));
    assertEquals(List.of(NOTE.formatted(layer + " does")), file.notes());
    assertArrayEquals(new float[6], file.network().layers().getFirst().bias().orElseThrow().toArray());
    assertEquals(Optional.empty(), file.network().layers().getLast().bias());
    assertComputes(file);
    byte[] before = Files.readAllBytes(folder.resolve("model.onnx"));
    Path target = folder.resolve("moved.onnx");
    file.save(target, file.network(), false);
    assertArrayEquals(before, Files.readAllBytes(target));
    file.save(target, moved(file.network(), 1, 0, -2, 0.5f, 0, 0.25f), true);
    assertArrayEquals(replaced(before, floats(MEAN), floats(-0.5f, -0.25f, 3, -0.375f, 2, -1.25f)),
        Files.readAllBytes(target));
  }

  /// Of float64, in which 0.1 is another number than in float32: what does not change keeps its bytes.
  @Test
  void aMeanKeepsItsType() throws IOException {
    double[] mean = {0.1, 0.1, 0.3, 0.4, 0.5, 0.6};
    ModelFile file = load(end(start().doubles("mean", mean).node("MatMul", "x a", "z")));
    byte[] before = Files.readAllBytes(folder.resolve("model.onnx"));
    Path target = folder.resolve("moved.onnx");
    file.save(target, moved(file.network(), 0, 1, 0, 0, 0, 0), false);
    byte[] expected = doubles(0.1, 0.1f - 1, 0.3, 0.4, 0.5, 0.6);
    assertArrayEquals(replaced(before, doubles(mean), expected), Files.readAllBytes(target));
  }

  static Stream<Arguments> others() {
    return Stream.of(
        Arguments.of("a tied layer",
            end(withMean().floats("mean2", new long[]{6}, MEAN).node("MatMul", "x a", "z").node("Tanh", "x", "u")
                .node("MatMul", "u a", "z2").node("BatchNormalization", "z2 scale shift mean2 var", "n2"))
                .node("Add", "n n2", "s").output("s")),
        Arguments.of("another reader", end(withMean().node("MatMul", "x a", "z")).node("Tanh", "z", "o").output("o")),
        Arguments.of("a reader behind the network",
            end(withMean().node("MatMul", "x a", "z")).node("ArgMax", "z", "o", "axis", 1).output("o")),
        Arguments.of("an output", end(withMean().output("z").node("MatMul", "x a", "z"))),
        Arguments.of("a node between", end(withMean().node("MatMul", "x a", "h").node("Tanh", "h", "z"))),
        Arguments.of("one mean for all", end(start().floats("mean", new long[]{1}, 1).node("MatMul", "x a", "z"))),
        Arguments.of("numbers in an attribute",
            end(start().node("Constant", "", "mean", "value_floats", List.of(0.5f, -0.25f, 1f, 0.125f, 2f, -1f))
                .node("MatMul", "x a", "z"))),
        Arguments.of("a mean among the inputs that is read twice",
            withMean().input("mean", 6).node("MatMul", "x a", "z")
                .node("BatchNormalization", "z scale mean mean var", "r").node("MatMul", "r b", "y")),
        Arguments.of("a bias",
            end(withMean().normal("c", TestNetworks.random(2), 6).node("MatMul", "x a", "h").node("Add", "h c", "z"))));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("others")
  void elsewhereNoMeanTakesABias(String name, OnnxModel model) throws IOException {
    ModelFile file = load(model);
    assertTrue(file.notes().stream().noneMatch(note -> note.contains("BatchNormalization") || note.contains("mean")),
        file.notes()::toString);
    Optional<MatrixView> bias = file.network().layers().getFirst().bias();
    assertEquals(name.equals("a bias"), bias.isPresent());
  }

  @Test
  void aMeanThatIsReadTwiceIsRepeated() throws Exception {
    ModelFile twice = load(withMean().node("MatMul", "x a", "z")
        .node("BatchNormalization", "z scale mean mean var", "r").node("MatMul", "r b", "y"));
    assertEquals(List.of("tensor \"mean\" is read 2 times, by 1 node: each reads a copy of its own now",
        NOTE.formatted("a does")), twice.notes());
    assertComputes(twice);
    ModelFile shared = load(
        end(withMean().node("Gemm", "x t", "h", "transB", 1).node("BatchNormalization", "h scale shift mean var", "o")
            .normal("c", TestNetworks.random(3), 6, 6).node("MatMul", "o c", "z")));
    assertEquals(
        List.of("tensor \"mean\" is shared by 2 nodes: each has a copy of its own now", NOTE.formatted("t, c do")),
        shared.notes());
    assertComputes(shared);
  }

  /// What is before the network reads the mean too.
  @Test
  void whatIsBeforeTheNetworkKeepsTheMean() throws IOException {
    OnnxModel model = withMean().normal("c", TestNetworks.random(3), 6, 6).node("MatMul", "x a", "h")
        .node("BatchNormalization", "h scale shift mean var", "o").node("Gemm", "o c", "z");
    Path path = TestFiles.file(folder, "model.onnx", end(model).bytes(17));
    ModelFile file = ModelFile.load(path,
        new ModelReading(Optional.empty(), List.of(), Optional.of("o"), OptionalInt.empty()), arena);
    assertEquals(NOTE.formatted("c does"), file.notes().getLast());
    Path target = folder.resolve("moved.onnx");
    file.save(target, moved(file.network(), 1, 1, 1, 1, 1, 1), false);
    byte[] after = Files.readAllBytes(target);
    replaced(after, floats(MEAN), floats(MEAN));
    replaced(after, floats(-0.5f, -1.25f, 0, -0.875f, 1, -2), floats(MEAN));
  }

  /// The constants of neurons that go are moved into the next mean.
  @Test
  void shrinks() throws Exception {
    RandomGenerator random = TestNetworks.random(4);
    OnnxModel model = withMean().normal("c", random, 6, 6).normal("k", random, 6).normal("l", random, 6)
        .normal("m", random, 6).floats("v", new long[]{6}, 1, 2, 3, 4, 5, 6).node("MatMul", "x a", "h")
        .node("BatchNormalization", "h k l m v", "o").node("Tanh", "o", "u").node("MatMul", "u c", "z");
    ModelFile file = load(end(model));
    DenseNetwork sparse = new DenseNetwork(file.network().graph(),
        file.network().layers().stream().map(layer -> withoutRows(layer)).toList());
    Path target = folder.resolve("sparse.onnx");
    file.save(target, sparse, false);
    ModelFile large = ModelFile.load(target, Optional.empty(), arena);
    Compaction compaction = Compaction.of(large.network(), 1, arena);
    assertFalse(Arrays.equals(new float[3], compaction.network().layers().get(1).bias().orElseThrow().toArray()));
    Path small = folder.resolve("small.onnx");
    large.compacted(compaction, arena).save(small, compaction.network(), false);
    OnnxRuntime.assertSameOutputs(sparse, small);
    assertTrue(Files.size(small) < Files.size(target));
  }

  /// Without the weights of every other neuron of a hidden layer.
  private DenseLayer withoutRows(DenseLayer layer) {
    MatrixView weights = layer.weights().copy(arena);
    for (int i = 0; i < weights.rows() && weights.rows() == 6; i += 2) {
      for (int j = 0; j < weights.columns(); j++) {
        weights.set(i, j, 0);
      }
    }
    return new DenseLayer(layer.name(), weights, layer.bias(), layer.activation());
  }
}
