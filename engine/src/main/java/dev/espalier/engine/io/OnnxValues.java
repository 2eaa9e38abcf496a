package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.network.Graph;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;

/// The values of a network that is being made of the nodes of an ONNX model: what the file calls them, and which of them
/// no node has read yet.
final class OnnxValues {
  private static final String SUPPORTED = "dense layers (Gemm, MatMul and Add), activations, Add, Sub, Mul, Div by a "
      + "constant, Concat, Slice and Split of features, sums and means over them, and normalisations";

  /// What to do about a node that no program could run.
  static final String AGAIN = "; copy the model or export it again";

  /// Of a value: a few Concats make any width.
  static final int MOST_WIDTH = 1 << 20;

  /// The rank of samples of several dimensions that only become features by a Flatten.
  static final int UNFLATTENED = -1;

  private final OnnxContent content;
  private final Graph.Builder builder;
  private final Map<String, Value> values = new HashMap<>();
  /// The nodes of the network that no other reads yet, and what the file calls their values.
  private final Map<Integer, String> unread = new TreeMap<>();
  private final Map<OnnxTensor, Integer> constants = new HashMap<>();
  /// The nodes of the inputs.
  private final Set<Integer> samples = new HashSet<>();

  /// A value of the network.
  ///
  /// @param node of the graph
  /// @param rank with the samples' dimension; 0 if the model does not tell
  record Value(int node, int width, int rank) {}

  OnnxValues(OnnxContent content, int inputs) {
    this.content = content;
    builder = new Graph.Builder(inputs);
  }

  OnnxContent content() {
    return content;
  }

  Graph.Builder builder() {
    return builder;
  }

  /// Whether the network has a value of this name.
  boolean has(String name) {
    return values.containsKey(name);
  }

  /// A value of the network.
  Value value(String name) {
    return values.get(name);
  }

  /// The node of a value of the network.
  int node(String name) {
    return values.get(name).node;
  }

  /// The width of a value of the network.
  int width(String name) {
    return values.get(name).width;
  }

  /// The nodes of values that no other node has read, and what the file calls the values.
  Map<Integer, String> unread() {
    return unread;
  }

  /// Constants of a number for each feature of a value, and the node of the value.
  Map<OnnxTensor, Integer> constants() {
    return constants;
  }

  /// Takes an input, or a part of the samples that is one.
  void giveInput(String name, Value value) {
    values.put(name, value);
    unread.put(value.node, name);
    samples.add(value.node);
  }

  /// Whether a value is an input.
  boolean isInput(Value value) {
    return isInput(value.node);
  }

  /// Whether the value of a node is an input.
  boolean isInput(int node) {
    return samples.contains(node);
  }

  void give(String name, Value value) {
    values.put(name, value);
    unread.computeIfPresent(value.node, (_, _) -> name);
  }

  Value added(int node, int width, int rank, List<Value> inputs) {
    inputs.forEach(input -> unread.remove(input.node));
    unread.put(node, "");
    return new Value(node, width, rank);
  }

  static String name(OnnxNode node, int input) {
    return input < node.inputs().size() ? node.inputs().get(input) : "";
  }

  /// The value that a node reads.
  Value input(OnnxNode node, int input) throws FormatException {
    return input(node, name(node, input));
  }

  Value input(OnnxNode node, String name) throws FormatException {
    Value value = values.get(name);
    if (value == null) {
      throw wrong(node, "reads %s, which no node before it makes of the samples".formatted(quote(name)));
    }
    return value;
  }

  /// The values that a node reads, all of the network and of one rank.
  List<Value> operands(OnnxNode node) throws FormatException {
    List<Value> read = new ArrayList<>();
    for (String name : node.inputs()) {
      if (!values.containsKey(name)) {
        throw refused(node, "reads %s, which is no value of the network".formatted(quote(name)),
            "it must be computed of the samples, by a node before it");
      }
      read.add(input(node, name));
    }
    if (read.isEmpty() || read.stream().mapToInt(Value::rank).distinct().count() > 1) {
      throw refused(node, "reads values of the ranks %s".formatted(read.stream().map(Value::rank).toList()),
          "give them the same dimensions, and export the model again");
    }
    return read;
  }

  /// The value that a node reads, along whose features it goes.
  Value features(OnnxNode node, String name, long axis) throws FormatException {
    Value value = input(node, name);
    requireLastAxis(node, value, axis);
    return value;
  }

  void requireLastAxis(OnnxNode node, Value value, long axis) throws FormatException {
    requireFeatures(node, value);
    if (!isLastAxis(value, axis)) {
      throw refused(node, "goes along axis %d, which is not known to be the last".formatted(axis),
          "name the last axis as -1, and export the model again");
    }
  }

  static boolean isLastAxis(Value value, long axis) {
    return axis == -1 || (value.rank > 0 && axis == value.rank - 1);
  }

  /// The only dimension of a value of one is that of the samples.
  void requireFeatures(OnnxNode node, Value value) throws FormatException {
    if (value.rank == 1 || value.rank == UNFLATTENED) {
      throw refused(node, "reads a value without a dimension of features",
          "give it one behind that of the samples, and export the model again");
    }
  }

  void requireOneWidth(OnnxNode node, List<Value> read) throws FormatException {
    List<Integer> widths = read.stream().map(Value::width).toList();
    if (widths.stream().distinct().count() > 1) {
      throw refused(node, "reads values of the widths %s".formatted(widths),
          "give them one width, and export the model again");
    }
  }

  /// The elements of a constant of a number for each feature of a value, or one for all.
  List<Double> perFeature(OnnxNode node, Value value, String name) throws FormatException {
    Optional<OnnxTensor> tensor = content.constant(name);
    boolean isSingle = tensor.isPresent() && tensor.get().elements() == 1;
    boolean fits = tensor.isPresent() && tensor.get().dtype().isWritable()
        && tensor.get().shape().size() <= (value.rank == 0 ? 2 : value.rank)
        && (isSingle || (tensor.get().elements() == value.width && tensor.get().shape().getLast() == value.width));
    if (!fits) {
      throw refused(node, "has a constant %s that is not of shape [%d]".formatted(quote(name), value.width),
          "give it a number for each feature, or one for all");
    }
    if (!isSingle) {
      constants.put(tensor.get(), value.node);
    }
    return IntStream.range(0, value.width).mapToObj(i -> tensor.get().value(isSingle ? 0 : i)).toList();
  }

  Value scaled(Value value, double factor) {
    return added(builder.scale(value.node, Collections.nCopies(value.width, (float) factor),
        Collections.nCopies(value.width, 0f)), value.width, value.rank, List.of(value));
  }

  /// The refusal of a node that is not understood.
  FormatException unread(OnnxNode node) {
    return refused(node, "is not understood here", "what is read: " + SUPPORTED);
  }

  /// The refusal of a node that would be understood if something were otherwise.
  ///
  /// @param remedy what to do
  FormatException refused(OnnxNode node, String reason, String remedy) {
    return new UnreadNodeException(content.path(),
        "node %s (%s) %s; %s".formatted(quote(node.label()), node.operator(), reason, remedy));
  }

  /// The refusal of a node that no program could run.
  FormatException wrong(OnnxNode node, String reason) {
    return wrong(content, node, reason);
  }

  /// As the other.
  static FormatException wrong(OnnxContent content, OnnxNode node, String reason) {
    return new FormatException(content.path(),
        "node %s (%s) %s%s".formatted(quote(node.label()), node.operator(), reason, AGAIN));
  }

  static Integer[] nodes(List<Value> values) {
    return values.stream().map(Value::node).toArray(Integer[]::new);
  }
}
