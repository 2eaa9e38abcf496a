package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Collectors;

/// A chain of layers in an ONNX model, as PyTorch, skl2onnx and tf2onnx export it. The walk begins at the input and
/// follows the value through Gemm, or MatMul and Add, and activations. What stands behind the last layer and is no
/// activation, such as ArgMax, is left aside. A changed model is the file with other bytes in its weights and biases.
final class OnnxFile {
  private static final Set<String> LAYERS = Set.of("Gemm", "MatMul");
  private static final Set<String> UNCHANGING = Set.of("Identity", "Dropout", "Cast");
  /// What may stand behind the network.
  private static final Set<String> TAIL = Set.of("ArgMax", "Cast", "Identity", "LogSoftmax", "ArrayFeatureExtractor",
      "Reshape", "Squeeze", "TopK", "ZipMap");
  private static final double SLACK = 1e-6;

  private static final int MODEL_GRAPH = 7;
  private static final int ATTRIBUTE_TENSOR = 5;
  private static final int GRAPH_NODE = 1;
  private static final int GRAPH_INITIALIZER = 5;
  private static final int GRAPH_INPUT = 11;

  private final Path path;
  private final MemorySegment content;
  private final Map<String, Protobuf> constants = new HashMap<>();
  private final List<OnnxNode> nodes = new ArrayList<>();
  private final Map<String, List<OnnxNode>> readers = new HashMap<>();
  private final List<Layer> layers = new ArrayList<>();
  private final Set<OnnxNode> walked = Collections.newSetFromMap(new IdentityHashMap<>());

  private OnnxFile(Path path, MemorySegment content) {
    this.path = path;
    this.content = content;
  }

  /// @param transposed whether the weights are inputs × outputs
  private record Layer(String name, OnnxTensor weight, boolean transposed, Optional<OnnxTensor> bias,
      Activation activation) {}

  /// Whether a file looks like an ONNX model: the version of its format, then the name of what wrote it, or the graph.
  static boolean matches(Path path, MemorySegment content) {
    boolean isNamed = String.valueOf(path.getFileName()).endsWith(".onnx");
    return !ForeignFormat.isSafetensors(content) && (isNamed || ForeignFormat.isOnnx(content));
  }

  /// Reads the chain of a model.
  ///
  /// @throws FormatException if the model is damaged, or no chain of layers that is understood; the message names the
  ///                         node
  static OnnxFile read(Path path, MemorySegment content) throws FormatException {
    OnnxFile file = new OnnxFile(path, content);
    List<Protobuf> graphs = Protobuf.parse(path, content).messages(path, MODEL_GRAPH);
    if (graphs.size() != 1) {
      throw new FormatException(path, "is no ONNX model; copy it or export it again");
    }
    Protobuf graph = graphs.getFirst();
    for (Protobuf.Field field : graph.all(GRAPH_INITIALIZER)) {
      Protobuf tensor = Protobuf.parse(path, field.bytes());
      file.put(tensor.text(8), tensor);
    }
    for (Protobuf.Field field : graph.all(GRAPH_NODE)) {
      OnnxNode node = OnnxNode.of(path, Protobuf.parse(path, field.bytes()));
      List<Protobuf> values = node.attribute("value").isPresent()
          ? node.attribute("value").get().messages(path, ATTRIBUTE_TENSOR)
          : List.of();
      if (node.operator().equals("Constant") && values.size() == 1 && !node.outputs().isEmpty()) {
        file.put(node.outputs().getFirst(), values.getFirst());
      } else {
        file.nodes.add(node);
        Set.copyOf(node.inputs())
            .forEach(input -> file.readers.computeIfAbsent(input, _ -> new ArrayList<>()).add(node));
      }
    }
    List<String> inputs = graph.messages(path, GRAPH_INPUT).stream().map(input -> input.text(1))
        .filter(name -> !file.constants.containsKey(name)).toList();
    if (inputs.size() != 1) {
      throw new FormatException(path, "has the inputs %s; only models of one input are read".formatted(inputs));
    }
    file.walk(inputs.getFirst());
    return file;
  }

  private void put(String name, Protobuf tensor) throws FormatException {
    if (constants.put(name, tensor) != null) {
      throw new FormatException(path, "has two tensors %s; export it again".formatted(quote(name)));
    }
  }

  private Optional<OnnxTensor> constant(String name) throws FormatException {
    return constants.containsKey(name) ? Optional.of(OnnxTensor.of(path, name, constants.get(name))) : Optional.empty();
  }

  /// Follows a value to the end of the chain.
  private void walk(String input) throws FormatException {
    String value = input;
    while (true) {
      List<OnnxNode> readers = readers(value);
      if (readers.isEmpty()) {
        break;
      }
      OnnxNode node = first(readers);
      boolean isFirst = layers.isEmpty();
      Optional<String> next = readers.size() == 1 && LAYERS.contains(node.operator())
          ? Optional.of(layer(node, value))
          : readers.size() == 1 && passes(node, isFirst) ? Optional.of(output(node)) : activation(value, readers);
      if (next.isEmpty()) {
        break;
      }
      value = next.get();
    }
    Optional<OnnxNode> left = nodes.stream().filter(node -> !walked.contains(node))
        .filter(node -> layers.isEmpty() || !TAIL.contains(node.operator())).findFirst();
    if (left.isPresent()) {
      throw refused(left.get(), "is not understood here");
    }
    if (layers.isEmpty()) {
      throw new FormatException(path, "has no layer, that is no Gemm or MatMul");
    }
  }

  private List<OnnxNode> readers(String value) {
    return readers.getOrDefault(value, List.of());
  }

  /// The node that can go on with the network.
  private static OnnxNode first(List<OnnxNode> readers) {
    return readers.stream().filter(node -> !TAIL.contains(node.operator())).findFirst().orElse(readers.getFirst());
  }

  private String output(OnnxNode node) throws FormatException {
    if (node.outputs().isEmpty() || !walked.add(node)) {
      throw refused(node, "has no output, or stands in a cycle");
    }
    return node.outputs().getFirst();
  }

  /// Whether a node gives on what it reads, as far as features are concerned.
  private boolean passes(OnnxNode node, boolean isFirst) throws FormatException {
    boolean toFloat = !node.operator().equals("Cast") || node.integer("to", 0) == 1;
    boolean isFlatten = node.operator().equals("Flatten") && node.integer("axis", 1) == 1;
    boolean isReshape = node.operator().equals("Reshape") && node.inputs().size() == 2
        && isShapeOfMatrix(node.inputs().get(1));
    return (UNCHANGING.contains(node.operator()) && toFloat) || (isFirst && (isFlatten || isReshape));
  }

  private boolean isShapeOfMatrix(String name) throws FormatException {
    return constants.containsKey(name) && constants.get(name).integers(path, OnnxTensor.DIMS).equals(List.of(2L));
  }

  private String layer(OnnxNode node, String value) throws FormatException {
    boolean isGemm = node.operator().equals("Gemm");
    if (node.inputs().size() < 2 || !node.inputs().getFirst().equals(value)
        || constant(node.inputs().get(1)).filter(matrix -> matrix.shape().size() == 2).isEmpty()) {
      throw refused(node, "is no layer of constant weights [inputs, outputs]");
    }
    OnnxTensor weight = constant(node.inputs().get(1)).orElseThrow();
    if (isGemm && (node.integer("transA", 0) != 0 || node.number("alpha", 1) != 1 || node.number("beta", 1) != 1)) {
      throw refused(node, "has transA, alpha or beta other than 0, 1 and 1");
    }
    requireUnshared(node, weight.name());
    boolean isTransposed = !isGemm || node.integer("transB", 0) == 0;
    long outputs = weight.shape().get(isTransposed ? 1 : 0);
    String result = output(node);
    String name = isGemm && node.inputs().size() > 2 ? node.inputs().get(2) : "";
    if (!isGemm) {
      List<OnnxNode> next = readers(result);
      String added = next.size() == 1 && next.getFirst().operator().equals("Add") ? other(next.getFirst(), result) : "";
      if (constants.containsKey(added)) {
        name = added;
        result = output(next.getFirst());
      }
    }
    Optional<OnnxTensor> bias = constant(name);
    if (!name.isEmpty()) {
      requireUnshared(node, name);
      if (bias.isEmpty() || bias.get().elements() != outputs || bias.get().shape().isEmpty()
          || bias.get().shape().getLast() != outputs) {
        throw refused(node, "has a bias %s that is not of shape [%d]".formatted(quote(name), outputs));
      }
    }
    String layer = weight.name().replaceFirst("\\.weight$", "").replace(',', '_');
    layers.add(new Layer(layer, weight, isTransposed, bias, Activation.IDENTITY));
    return result;
  }

  private void requireUnshared(OnnxNode node, String tensor) throws FormatException {
    if (readers(tensor).size() > 1) {
      throw refused(node, "shares its tensor %s with another".formatted(quote(tensor)));
    }
  }

  private static String other(OnnxNode node, String value) {
    return node.inputs().stream().filter(input -> !input.equals(value)).findFirst().orElse("");
  }

  /// The value behind an activation; empty if what reads `value` is none.
  private Optional<String> activation(String value, List<OnnxNode> readers) throws FormatException {
    OnnxNode node = first(readers);
    Optional<Activation> single = readers.size() == 1 || !node.operator().equals("Sigmoid")
        ? activation(node)
        : Optional.empty();
    String result;
    Activation activation;
    if (readers.stream().filter(reader -> !TAIL.contains(reader.operator())).count() == 1 && single.isPresent()) {
      activation = single.get();
      result = output(node);
    } else {
      Optional<List<OnnxNode>> silu = silu(value, readers);
      Optional<List<OnnxNode>> gelu = gelu(value, readers);
      if (silu.isEmpty() && gelu.isEmpty()) {
        return Optional.empty();
      }
      List<OnnxNode> matched = silu.or(() -> gelu).orElseThrow();
      activation = Activation.of(silu.isPresent() ? Kind.SILU : Kind.GELU);
      result = "";
      for (OnnxNode each : matched) {
        result = output(each);
      }
    }
    Layer last = layers.isEmpty() ? null : layers.getLast();
    if (last == null || last.activation.kind() != Kind.IDENTITY) {
      throw refused(node, "is an activation that follows no layer");
    }
    layers.set(layers.size() - 1, new Layer(last.name, last.weight, last.transposed, last.bias, activation));
    return Optional.of(result);
  }

  private Optional<Activation> activation(OnnxNode node) throws FormatException {
    return switch (node.operator()) {
      case "Relu" -> Optional.of(Activation.RELU);
      case "Tanh" -> Optional.of(Activation.TANH);
      case "Sigmoid" -> Optional.of(Activation.SIGMOID);
      case "Softplus" -> Optional.of(Activation.of(Kind.SOFTPLUS));
      case "Softsign" -> Optional.of(Activation.of(Kind.SOFTSIGN));
      case "Sin" -> Optional.of(Activation.of(Kind.SIN));
      case "Mish" -> Optional.of(Activation.of(Kind.MISH));
      case "HardSwish" -> Optional.of(Activation.of(Kind.HARDSWISH));
      case "LeakyRelu" -> Optional.of(new Activation(Kind.LEAKY_RELU, decimal(node.number("alpha", 0.01f))));
      case "Elu" -> Optional.of(new Activation(Kind.ELU, decimal(node.number("alpha", 1))));
      case "Gelu" -> Optional.of(Activation.of(node.text("approximate").equals("tanh") ? Kind.GELU_TANH : Kind.GELU));
      case "Selu" -> Optional.of(Activation.of(Kind.SELU))
          .filter(_ -> isNear(node.number("alpha", (float) Activation.SELU_ALPHA), Activation.SELU_ALPHA)
              && isNear(node.number("gamma", (float) Activation.SELU_SCALE), Activation.SELU_SCALE));
      case "HardSigmoid" -> Optional.of(Activation.of(Kind.HARDSIGMOID))
          .filter(_ -> isNear(node.number("alpha", 0.2f), 1 / 6.0) && node.number("beta", 0.5f) == 0.5f);
      case "Clip" ->
        node.inputs().size() == 3 && isConstant(node.inputs().get(1), 0) && isConstant(node.inputs().get(2), 6)
            ? Optional.of(Activation.of(Kind.RELU6))
            : Optional.empty();
      case "Softmax" ->
        Optional.of(Activation.SOFTMAX).filter(_ -> node.integer("axis", -1) == -1 || node.integer("axis", -1) == 1);
      default -> Optional.empty();
    };
  }

  /// The number that was written in decimal digits before it became a float32.
  private static double decimal(float value) {
    return Double.parseDouble(Float.toString(value));
  }

  private static boolean isNear(double value, double expected) {
    return Math.abs(value - expected) <= SLACK * Math.abs(expected);
  }

  private boolean isConstant(String name, double expected) throws FormatException {
    Optional<OnnxTensor> constant = constant(name);
    return constant.isPresent() && constant.get().elements() == 1 && isNear(constant.get().value(0), expected);
  }

  /// Mul(z, Sigmoid(z)).
  private Optional<List<OnnxNode>> silu(String value, List<OnnxNode> readers) throws FormatException {
    return steps(value, readers, List.of("Sigmoid", "Mul"), List.of(OptionalDouble.empty(), OptionalDouble.empty()));
  }

  /// Mul(Mul(z, Add(Erf(Div(z, √2)), 1)), ½).
  private Optional<List<OnnxNode>> gelu(String value, List<OnnxNode> readers) throws FormatException {
    return steps(value, readers, List.of("Div", "Erf", "Add", "Mul", "Mul"), List.of(OptionalDouble.of(Math.sqrt(2)),
        OptionalDouble.empty(), OptionalDouble.of(1), OptionalDouble.empty(), OptionalDouble.of(0.5)));
  }

  /// Nodes of these operators, each of which alone reads the one before it, with a constant or, if it has two inputs,
  /// with `value`. No other node reads `value`.
  private Optional<List<OnnxNode>> steps(String value, List<OnnxNode> readers, List<String> operators,
      List<OptionalDouble> constant) throws FormatException {
    List<OnnxNode> found = new ArrayList<>();
    String last = value;
    for (int s = 0; s < operators.size(); s++) {
      String operator = operators.get(s);
      String before = last;
      List<OnnxNode> next = (s == 0 ? readers : readers(last)).stream().filter(node -> node.operator().equals(operator))
          .toList();
      if (next.size() != 1 || (s > 0 && readers(before).size() != 1) || next.getFirst().outputs().size() != 1) {
        return Optional.empty();
      }
      OnnxNode node = next.getFirst();
      boolean fits = constant.get(s).isPresent()
          ? node.inputs().size() == 2 && isConstant(other(node, before), constant.get(s).getAsDouble())
              && !(operator.equals("Div") && !node.inputs().getFirst().equals(before))
          : node.inputs().size() == 1 || (node.inputs().size() == 2 && other(node, before).equals(value));
      if (!fits) {
        return Optional.empty();
      }
      found.add(node);
      last = node.outputs().getFirst();
    }
    return found.containsAll(readers) ? Optional.of(found) : Optional.empty();
  }

  private FormatException refused(OnnxNode node, String reason) {
    return new FormatException(path, "node %s, a %s, %s; export the model as a chain of dense layers and activations"
        .formatted(quote(node.label()), node.operator(), reason));
  }

  /// The weights, outputs × inputs, and biases by the names `<layer>.weight` and `<layer>.bias`. Weights that lie the
  /// other way round are copied into `arena`.
  List<Tensor> tensors(Arena arena) {
    List<Tensor> tensors = new ArrayList<>();
    for (Layer layer : layers) {
      OnnxTensor weight = layer.weight;
      if (layer.transposed) {
        long rows = weight.shape().getLast();
        long columns = weight.shape().getFirst();
        int bytes = weight.dtype().bytes();
        MemorySegment turned = arena.allocate(weight.data().byteSize());
        for (long k = 0; k < weight.elements(); k++) {
          MemorySegment.copy(weight.data(), k * bytes, turned, (k % rows * columns + k / rows) * bytes, bytes);
        }
        tensors.add(new Tensor(layer.name + ".weight", weight.dtype(), List.of(rows, columns), turned));
      } else {
        tensors.add(new Tensor(layer.name + ".weight", weight.dtype(), weight.shape(), weight.data()));
      }
      layer.bias.ifPresent(
          bias -> tensors.add(new Tensor(layer.name + ".bias", bias.dtype(), List.of(bias.elements()), bias.data())));
    }
    return tensors;
  }

  /// The names of the layers in order.
  List<String> names() {
    return layers.stream().map(Layer::name).toList();
  }

  /// The activations of the layers.
  List<Activation> activations() {
    return layers.stream().map(Layer::activation).toList();
  }

  /// What is left aside behind the network.
  List<String> notes() {
    String tail = nodes.stream().filter(node -> !walked.contains(node)).map(OnnxNode::operator)
        .collect(Collectors.joining(", "));
    return tail.isEmpty() ? List.of() : List.of("the network ends before " + tail + ", which is not part of it");
  }

  /// A change of the file.
  private record Patch(long offset, MemorySegment bytes) {}

  /// Writes the file with other weights and biases.
  ///
  /// @param weights of each layer, outputs × inputs
  /// @param biases  of each layer that has one
  /// @param pruned  whether zeros are removed weights, of each layer
  void write(AtomicOutputs outputs, Path target, boolean overwrite, List<MatrixView> weights,
      List<Optional<MatrixView>> biases, List<Boolean> pruned) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      List<Patch> patches = new ArrayList<>();
      for (int l = 0; l < layers.size(); l++) {
        Layer layer = layers.get(l);
        patches.add(patch(target, layer.weight, weights.get(l), layer.transposed, pruned.get(l), arena));
        if (layer.bias.isPresent()) {
          patches.add(patch(target, layer.bias.get(), biases.get(l).orElseThrow(), false, false, arena));
        } else if (biases.get(l).isPresent()) {
          throw new FormatException(target,
              "not written: layer %s gained a bias; write the model as safetensors".formatted(quote(layer.name)));
        }
      }
      patches.sort(Comparator.comparingLong(Patch::offset));
      outputs.write(target, overwrite, channel -> {
        long at = 0;
        for (Patch patch : patches) {
          copy(channel, content.asSlice(at, patch.offset - at));
          copy(channel, patch.bytes);
          at = patch.offset + patch.bytes.byteSize();
        }
        copy(channel, content.asSlice(at));
      });
    }
  }

  private Patch patch(Path target, OnnxTensor tensor, MatrixView values, boolean transposed, boolean pruned,
      Arena arena) throws FormatException {
    MemorySegment bytes = arena.allocate(Math.max(1, tensor.data().byteSize())).asSlice(0, tensor.data().byteSize());
    for (long k = 0; k < tensor.elements(); k++) {
      long at = transposed ? k % values.rows() * values.columns() + k / values.rows() : k;
      SafetensorsWriter.encode(target, tensor.name(), tensor.dtype(), tensor.data(), pruned, k,
          values.segment().getAtIndex(MatrixView.ELEMENT, at), bytes, k);
    }
    return new Patch(tensor.data().address() - content.address(), bytes);
  }

  private static void copy(FileChannel channel, MemorySegment bytes) throws IOException {
    long most = 1 << 20;
    for (long done = 0; done < bytes.byteSize(); done += most) {
      AtomicOutput.writeFully(channel, bytes.asSlice(done, Math.min(most, bytes.byteSize() - done)).asByteBuffer());
    }
  }
}
