package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import dev.espalier.engine.network.Graph;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// Makes a network of the nodes of an ONNX model, in their order. What stands behind the network and is no part of one,
/// such as ArgMax, is left aside.
final class OnnxWalk {
  private static final String SUPPORTED = "dense layers (Gemm, MatMul and Add), activations, Add and Concat";
  private static final Set<String> LAYERS = Set.of("Gemm", "MatMul");
  /// What may give another width than it reads, without being a layer.
  private static final Set<String> CHANGING = Set.of("Concat");
  /// What may stand behind the network.
  private static final Set<String> TAIL = Set.of("ArgMax", "Cast", "Identity", "LogSoftmax", "ArrayFeatureExtractor",
      "Reshape", "Squeeze", "TopK", "ZipMap");

  private final OnnxContent content;
  private final OnnxPatterns patterns;
  private final Graph.Builder builder;
  private final Map<String, Value> values = new HashMap<>();
  /// The nodes of the network that no other reads yet, and what the file calls their values.
  private final Map<Integer, String> unread = new TreeMap<>();
  /// Values that are not part of the network, and the nodes that make them.
  private final Map<String, OnnxNode> behind = new HashMap<>();
  /// Nodes that were read together with one before them.
  private final Set<OnnxNode> taken = Collections.newSetFromMap(new IdentityHashMap<>());
  private final List<OnnxLayer> layers = new ArrayList<>();
  private final List<OnnxNode> tail = new ArrayList<>();
  private OptionalInt softmax = OptionalInt.empty();

  /// A value of the network.
  ///
  /// @param node of the graph
  /// @param rank with the samples' dimension; 0 if the model does not tell
  private record Value(int node, int width, int rank) {}

  private OnnxWalk(OnnxContent content, OnnxContent.Input input, int width) throws FormatException {
    this.content = content;
    patterns = OnnxPatterns.of(content);
    builder = new Graph.Builder(width);
    values.put(input.name(), new Value(0, width, input.rank()));
    unread.put(0, input.name());
  }

  /// A network.
  ///
  /// @param layers in the order of the graph
  /// @param notes what a user should know about the reading
  record Network(Graph graph, List<OnnxLayer> layers, List<String> notes) {}

  /// @throws FormatException if the model is no network that is understood; the message names the node
  static Network of(OnnxContent content) throws FormatException {
    if (content.inputs().size() != 1) {
      throw new FormatException(content.path(), "has the inputs %s; only models of one input are read"
          .formatted(content.inputs().stream().map(OnnxContent.Input::name).toList()));
    }
    OnnxContent.Input input = content.inputs().getFirst();
    OnnxWalk walk = new OnnxWalk(content, input, width(content, input));
    Set<OnnxNode> needed = content.needed();
    for (OnnxNode node : content.nodes()) {
      if (needed.contains(node) && !walk.taken.contains(node) && !walk.patterns.isInner(node)) {
        walk.visit(node);
      }
    }
    return walk.network();
  }

  /// The width of a sample: that of the first layer that reads it, directly or behind nodes that change no width, or else
  /// the one that the model tells.
  private static int width(OnnxContent content, OnnxContent.Input input) throws FormatException {
    Set<String> seen = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(List.of(input.name()));
    while (!open.isEmpty()) {
      String value = open.pop();
      for (OnnxNode node : seen.add(value) ? content.readers(value) : List.<OnnxNode>of()) {
        if (LAYERS.contains(node.operator()) && node.inputs().indexOf(value) == 0 && hasMatrix(content, node)) {
          List<Long> shape = content.shape(node.inputs().get(1));
          return width(content, isTransposed(node) ? shape.getFirst() : shape.getLast());
        } else if (!CHANGING.contains(node.operator())) {
          open.addAll(node.outputs());
        }
      }
    }
    return width(content, input.width());
  }

  private static int width(OnnxContent content, long width) throws FormatException {
    if (width < 1 || width > Integer.MAX_VALUE) {
      throw new FormatException(content.path(), "has no layer, that is no Gemm or MatMul, that tells a sample's width");
    }
    return (int) width;
  }

  /// Whether the second input of a node is a constant of rows and columns.
  private static boolean hasMatrix(OnnxContent content, OnnxNode node) throws FormatException {
    return node.inputs().size() > 1 && content.isConstant(node.inputs().get(1))
        && content.shape(node.inputs().get(1)).size() == 2;
  }

  /// Whether the weights of a layer are inputs × outputs.
  private static boolean isTransposed(OnnxNode node) {
    return node.operator().equals("MatMul") || node.integer("transB", 0) == 0;
  }

  private void visit(OnnxNode node) throws FormatException {
    Optional<OnnxNode> before = node.inputs().stream().filter(behind::containsKey).map(behind::get).findFirst();
    if (before.isPresent() && !TAIL.contains(node.operator())) {
      throw refused(before.get(), "is only read behind the network");
    }
    Optional<Value> value = before.isPresent() ? Optional.empty() : value(node);
    if (value.isPresent() && !node.outputs().isEmpty()) {
      give(node.outputs().getFirst(), value.get());
    } else if (TAIL.contains(node.operator())) {
      tail.add(node);
      node.outputs().forEach(output -> behind.put(output, node));
    } else {
      throw refused(node, "is not understood here");
    }
  }

  /// What a node makes; empty if it is none of a network.
  private Optional<Value> value(OnnxNode node) throws FormatException {
    Optional<OnnxPatterns.Match> match = patterns.at(node);
    if (match.isPresent()) {
      return Optional.of(activated(node, match.get().input(), match.get().activation()));
    }
    return switch (node.operator()) {
      case "Gemm", "MatMul" -> Optional.of(layer(node));
      case "Add" -> Optional.of(sum(node));
      case "Concat" -> Optional.of(concat(node));
      case "Identity", "Dropout" -> Optional.of(input(node, 0));
      case "Cast" -> node.integer("to", 0) == 1 ? Optional.of(input(node, 0)) : Optional.empty();
      case "Flatten" -> node.integer("axis", 1) == 1 ? flat(input(node, 0)) : Optional.empty();
      case "Reshape" -> keepsFeatures(node) ? flat(input(node, 0)) : Optional.empty();
      default -> {
        Optional<Activation> activation = activation(node);
        yield activation.isPresent() ? Optional.of(activated(node, name(node, 0), activation.get())) : Optional.empty();
      }
    };
  }

  private void give(String name, Value value) {
    values.put(name, value);
    unread.computeIfPresent(value.node, (_, _) -> name);
  }

  private Value added(int node, int width, int rank, List<Value> inputs) {
    inputs.forEach(input -> unread.remove(input.node));
    unread.put(node, "");
    return new Value(node, width, rank);
  }

  private static String name(OnnxNode node, int input) {
    return input < node.inputs().size() ? node.inputs().get(input) : "";
  }

  /// The value that a node reads.
  private Value input(OnnxNode node, int input) throws FormatException {
    return input(node, name(node, input));
  }

  private Value input(OnnxNode node, String name) throws FormatException {
    Value value = values.get(name);
    if (value == null) {
      throw refused(node, "reads %s, which no node before it makes of the samples".formatted(quote(name)));
    }
    return value;
  }

  /// As [#input], of a node that computes something of it.
  private Value operand(OnnxNode node, String name) throws FormatException {
    Value value = input(node, name);
    if (softmax.isPresent() && value.node == softmax.getAsInt()) {
      throw refused(node, "reads a Softmax, which is only possible as the last activation");
    }
    return value;
  }

  /// As a matrix. Only the samples may have had other dimensions, of which the width of the first layer is the product.
  private static Optional<Value> flat(Value value) {
    return value.node == 0 || value.rank == 2 ? Optional.of(new Value(value.node, value.width, 2)) : Optional.empty();
  }

  /// Whether a Reshape makes a matrix of a constant width, that of what it reads.
  private boolean keepsFeatures(OnnxNode node) throws FormatException {
    if (node.inputs().size() != 2 || !content.isConstant(node.inputs().get(1))) {
      return false;
    }
    List<Long> shape = content.integers(node.inputs().get(1));
    Value read = input(node, 0);
    return shape.size() == 2
        && (shape.getLast() == read.width || (shape.getLast() == -1 && (read.node == 0 || shape.getFirst() == 0)));
  }

  private Value layer(OnnxNode node) throws FormatException {
    boolean isGemm = node.operator().equals("Gemm");
    if (!hasMatrix(content, node) || !values.containsKey(node.inputs().getFirst())) {
      throw refused(node, "is no layer of constant weights [inputs, outputs]");
    }
    Value read = operand(node, node.inputs().getFirst());
    OnnxTensor weight = content.constant(node.inputs().get(1)).orElseThrow();
    if (isGemm && (node.integer("transA", 0) != 0 || node.number("alpha", 1) != 1 || node.number("beta", 1) != 1)) {
      throw refused(node, "has transA, alpha or beta other than 0, 1 and 1");
    }
    requireUnshared(node, weight);
    boolean isTransposed = isTransposed(node);
    long inputs = weight.shape().get(isTransposed ? 0 : 1);
    long outputs = weight.shape().get(isTransposed ? 1 : 0);
    if (inputs != read.width || outputs < 1 || outputs > Integer.MAX_VALUE) {
      throw refused(node, "has weights [%d, %d] for %d inputs".formatted(outputs, inputs, read.width));
    }
    Optional<OnnxTensor> bias = bias(node, outputs);
    String name = weight.name().replaceFirst("\\.weight$", "").replace(',', '_');
    layers.add(new OnnxLayer(name, weight, isTransposed, bias));
    Value value = added(builder.dense(name, read.node, (int) outputs), (int) outputs, isGemm ? 2 : read.rank,
        List.of(read));
    taken(node).ifPresent(add -> give(add.outputs().getFirst(), value));
    return value;
  }

  /// The Add behind a MatMul that is its bias.
  private Optional<OnnxNode> taken(OnnxNode node) {
    return node.outputs().isEmpty()
        ? Optional.empty()
        : content.readers(node.outputs().getFirst()).stream().filter(taken::contains).findFirst();
  }

  private Optional<OnnxTensor> bias(OnnxNode node, long outputs) throws FormatException {
    String name = "";
    if (node.operator().equals("Gemm")) {
      name = name(node, 2);
    } else if (node.outputs().size() == 1 && content.readers(node.outputs().getFirst()).size() == 1) {
      String result = node.outputs().getFirst();
      OnnxNode next = content.readers(result).getFirst();
      String other = other(next, result);
      if (next.operator().equals("Add") && content.isConstant(other) && !content.outputs().contains(result)
          && next.outputs().size() == 1) {
        name = other;
        taken.add(next);
      }
    }
    if (name.isEmpty()) {
      return Optional.empty();
    }
    Optional<OnnxTensor> bias = content.constant(name);
    if (bias.isEmpty() || bias.get().elements() != outputs || bias.get().shape().isEmpty()
        || bias.get().shape().getLast() != outputs) {
      throw refused(node, "has a bias %s that is not of shape [%d]".formatted(quote(name), outputs));
    }
    requireUnshared(node, bias.get());
    return bias;
  }

  private void requireUnshared(OnnxNode node, OnnxTensor tensor) throws FormatException {
    if (content.uses(tensor) > 1) {
      throw refused(node, "shares its tensor %s with another".formatted(quote(tensor.name())));
    }
  }

  private static String other(OnnxNode node, String value) {
    return node.inputs().stream().filter(input -> !input.equals(value)).findFirst().orElse("");
  }

  /// The values that a node reads, all of the network and of one rank.
  private List<Value> operands(OnnxNode node) throws FormatException {
    List<Value> read = new ArrayList<>();
    for (String name : node.inputs()) {
      if (!values.containsKey(name)) {
        throw refused(node, "reads %s, which is no value of the network".formatted(quote(name)));
      }
      read.add(operand(node, name));
    }
    if (read.isEmpty() || read.stream().mapToInt(Value::rank).distinct().count() > 1) {
      throw refused(node, "reads values of the ranks %s".formatted(read.stream().map(Value::rank).toList()));
    }
    return read;
  }

  private Value sum(OnnxNode node) throws FormatException {
    List<Value> read = operands(node);
    List<Integer> widths = read.stream().map(Value::width).toList();
    if (widths.stream().distinct().count() > 1) {
      throw refused(node, "reads values of the widths %s".formatted(widths));
    }
    return added(builder.add(nodes(read)), widths.getFirst(), read.getFirst().rank, read);
  }

  private Value concat(OnnxNode node) throws FormatException {
    List<Value> read = operands(node);
    requireLastAxis(node, read.getFirst(), node.integer("axis", 0));
    long width = read.stream().mapToLong(Value::width).sum();
    if (width > Integer.MAX_VALUE) {
      throw refused(node, "is %d wide".formatted(width));
    }
    return added(builder.concat(nodes(read)), (int) width, read.getFirst().rank, read);
  }

  private static Integer[] nodes(List<Value> values) {
    return values.stream().map(Value::node).toArray(Integer[]::new);
  }

  private void requireLastAxis(OnnxNode node, Value value, long axis) throws FormatException {
    if (axis != -1 && (value.rank == 0 || axis != value.rank - 1)) {
      throw refused(node, "goes along axis %d, which is not known to be the last".formatted(axis));
    }
  }

  private Value activated(OnnxNode node, String name, Activation activation) throws FormatException {
    Value read = operand(node, name);
    Value value = added(builder.activate(read.node, activation), read.width, read.rank, List.of(read));
    softmax = activation.equals(Activation.SOFTMAX) ? OptionalInt.of(value.node) : softmax;
    return value;
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
          .filter(_ -> OnnxContent.isNear(node.number("alpha", (float) Activation.SELU_ALPHA), Activation.SELU_ALPHA)
              && OnnxContent.isNear(node.number("gamma", (float) Activation.SELU_SCALE), Activation.SELU_SCALE));
      case "HardSigmoid" -> Optional.of(Activation.of(Kind.HARDSIGMOID))
          .filter(_ -> OnnxContent.isNear(node.number("alpha", 0.2f), 1 / 6.0) && node.number("beta", 0.5f) == 0.5f);
      case "Clip" -> node.inputs().size() == 3 && content.isConstant(node.inputs().get(1), 0)
          && content.isConstant(node.inputs().get(2), 6) ? Optional.of(Activation.of(Kind.RELU6)) : Optional.empty();
      case "Softmax" ->
        Optional.of(Activation.SOFTMAX).filter(_ -> node.integer("axis", -1) == -1 || node.integer("axis", -1) == 1);
      default -> Optional.empty();
    };
  }

  /// The number that was written in decimal digits before it became a float32.
  private static double decimal(float value) {
    return Double.parseDouble(Float.toString(value));
  }

  private Network network() throws FormatException {
    if (layers.isEmpty()) {
      throw new FormatException(content.path(), "has no layer, that is no Gemm or MatMul");
    }
    if (unread.size() > 1) {
      throw new FormatException(content.path(), "ends in the values %s; only networks of one output are read"
          .formatted(unread.values().stream().map(FormatException::quote).collect(Collectors.joining(", "))));
    }
    List<String> notes = new ArrayList<>();
    if (!tail.isEmpty()) {
      notes.add("the network ends before %s, which is not part of it"
          .formatted(tail.stream().map(OnnxNode::operator).collect(Collectors.joining(", "))));
    }
    int output = unread.keySet().iterator().next();
    content.outputs().stream().filter(name -> values.containsKey(name) && values.get(name).node != output)
        .forEach(name -> notes
            .add("output %s is a value within the network, and not what pruning preserves".formatted(quote(name))));
    try {
      return new Network(builder.build(), layers, notes);
    } catch (MismatchException e) {
      throw new FormatException(content.path(), e.getMessage(), e);
    }
  }

  private FormatException refused(OnnxNode node, String reason) {
    return new FormatException(content.path(),
        "node %s (%s) %s; what is read: %s".formatted(quote(node.label()), node.operator(), reason, SUPPORTED));
  }
}
