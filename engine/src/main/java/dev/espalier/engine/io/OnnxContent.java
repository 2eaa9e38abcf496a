package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
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
import java.util.Set;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/// The graph of an ONNX model as it lies in the file: its nodes in order, its constants, and which node makes and which
/// nodes read each value.
final class OnnxContent {
  private static final double SLACK = 1e-6;

  static final int MODEL_GRAPH = 7;
  private static final int MODEL_OPERATOR_SET = 8;
  private static final int SET_DOMAIN = 1;
  private static final int SET_VERSION = 2;
  static final int MODEL_METADATA = 14;
  private static final int ATTRIBUTE_TENSOR = 5;
  static final int GRAPH_NODE = 1;
  static final int GRAPH_INITIALIZER = 5;
  static final int GRAPH_INPUT = 11;
  static final int GRAPH_OUTPUT = 12;
  static final int GRAPH_VALUE = 13;
  static final int GRAPH_SPARSE_INITIALIZER = 15;
  static final int TENSOR_NAME = 8;
  private static final int INTEGER_DATA = 7;
  static final int VALUE_NAME = 1;
  private static final int VALUE_TYPE = 2;
  private static final int TYPE_TENSOR = 1;
  private static final int TENSOR_SHAPE = 2;
  private static final int SHAPE_DIMENSION = 1;
  private static final int DIMENSION_VALUE = 1;

  private final Path path;
  private final OnnxExternal external;
  /// The value that the network begins at, if that is none of the model's inputs.
  private final Optional<String> from;
  private final Map<String, Protobuf> constants = new HashMap<>();
  /// Of a constant that an Identity repeats, the name of the tensor.
  private final Map<String, String> tensors = new HashMap<>();
  /// Of what a Transpose makes of a constant of rows and columns, the name of the constant.
  private final Map<String, String> transposed = new HashMap<>();
  private final List<OnnxNode> nodes = new ArrayList<>();
  private final Map<String, OnnxNode> makers = new HashMap<>();
  private final Map<String, List<OnnxNode>> readers = new HashMap<>();
  private final List<Input> inputs = new ArrayList<>();
  /// Constants that stand among the inputs.
  private final Set<String> defaults = new HashSet<>();
  /// What the model tells of values: its outputs and those within.
  private final Map<String, Input> shapes = new HashMap<>();
  private final List<String> outputs = new ArrayList<>();
  private long operatorSet;

  /// @param rank with the samples' dimension; 0 if the model does not tell
  /// @param width of the last dimension; 0 if the model does not tell
  record Input(String name, int rank, long width) {}

  private OnnxContent(Path path, OnnxExternal external, Optional<String> from) {
    this.path = path;
    this.external = external;
    this.from = from;
  }

  /// @param external where elements of tensors lie outside
  /// @param from     the value that the network begins at; empty: the model's inputs
  /// @throws FormatException if the file is damaged, or no model
  static OnnxContent of(Path path, MemorySegment content, OnnxExternal external, Optional<String> from)
      throws FormatException {
    Protobuf model = Protobuf.parse(path, content);
    List<Protobuf> graphs = model.messages(path, MODEL_GRAPH);
    if (graphs.size() != 1) {
      throw new FormatException(path, "is no ONNX model; copy it or export it again");
    }
    OnnxContent read = new OnnxContent(path, external, from);
    for (Protobuf set : model.messages(path, MODEL_OPERATOR_SET)) {
      if (Set.of("", "ai.onnx").contains(set.text(SET_DOMAIN))) {
        read.operatorSet = set.integer(SET_VERSION).orElse(0);
      }
    }
    read.take(graphs.getFirst());
    return read;
  }

  private void take(Protobuf graph) throws FormatException {
    for (Protobuf tensor : graph.messages(path, GRAPH_INITIALIZER)) {
      put(tensor.text(TENSOR_NAME), tensor);
    }
    for (Protobuf message : graph.messages(path, GRAPH_NODE)) {
      take(OnnxNode.of(path, message));
    }
    for (Protobuf value : graph.messages(path, GRAPH_INPUT)) {
      if (constants.containsKey(value.text(VALUE_NAME))) {
        defaults.add(value.text(VALUE_NAME));
      } else {
        inputs.add(input(value));
      }
    }
    for (int field : new int[]{GRAPH_VALUE, GRAPH_OUTPUT}) {
      for (Protobuf value : graph.messages(path, field)) {
        shapes.put(value.text(VALUE_NAME), input(value));
        if (field == GRAPH_OUTPUT) {
          outputs.add(value.text(VALUE_NAME));
        }
      }
    }
  }

  private void take(OnnxNode node) throws FormatException {
    List<Protobuf> values = node.attribute("value").isPresent()
        ? node.attribute("value").get().messages(path, ATTRIBUTE_TENSOR)
        : OnnxTensor.given(path, node).stream().toList();
    if (node.operator().equals("Constant") && values.size() == 1 && !node.outputs().isEmpty()) {
      put(node.outputs().getFirst(), values.getFirst());
    } else if (node.operator().equals("Identity") && node.inputs().size() == 1 && node.outputs().size() == 1
        && isConstant(node.inputs().getFirst())) {
      put(node.outputs().getFirst(), constants.get(node.inputs().getFirst()));
      tensors.put(node.outputs().getFirst(), tensorName(node.inputs().getFirst()));
    } else {
      if (isTransposition(node)) {
        transposed.put(node.outputs().getFirst(), node.inputs().getFirst());
      }
      nodes.add(node);
      node.outputs().forEach(output -> makers.put(output, node));
      Set.copyOf(node.inputs()).forEach(input -> readers.computeIfAbsent(input, _ -> new ArrayList<>()).add(node));
    }
  }

  /// Whether a node makes columns of the rows of a constant.
  private boolean isTransposition(OnnxNode node) throws FormatException {
    return node.operator().equals("Transpose") && node.inputs().size() == 1 && node.outputs().size() == 1
        && isConstant(node.inputs().getFirst()) && shape(node.inputs().getFirst()).size() == 2
        && (node.attribute("perm").isEmpty() || node.integers(path, "perm").equals(List.of(1L, 0L)));
  }

  private void put(String name, Protobuf tensor) throws FormatException {
    if (constants.put(name, tensor) != null) {
      throw new FormatException(path, "has two tensors %s; export it again".formatted(quote(name)));
    }
  }

  private Input input(Protobuf value) throws FormatException {
    Protobuf message = value;
    for (int field : new int[]{VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE}) {
      List<Protobuf> inner = message.messages(path, field);
      if (inner.size() != 1) {
        return new Input(value.text(VALUE_NAME), 0, 0);
      }
      message = inner.getFirst();
    }
    List<Protobuf> dimensions = message.messages(path, SHAPE_DIMENSION);
    long width = dimensions.isEmpty() ? 0 : dimensions.getLast().integer(DIMENSION_VALUE).orElse(0);
    return new Input(value.text(VALUE_NAME), dimensions.size(), width);
  }

  Path path() {
    return path;
  }

  /// The version of ONNX's own operators; 0 if the model tells none.
  long operatorSet() {
    return operatorSet;
  }

  List<OnnxNode> nodes() {
    return nodes;
  }

  /// What the graph reads, without constants that stand among its inputs; or the value that the network begins at.
  List<Input> inputs() {
    return from.isPresent() ? List.of(start(from.get())) : inputs;
  }

  private Input start(String name) {
    Input known = inputs.stream().filter(input -> input.name().equals(name)).findFirst()
        .orElseGet(() -> shapes.getOrDefault(name, new Input(name, 0, 0)));
    boolean isMatrix = maker(name).filter(node -> Set.of("Flatten", "Gemm").contains(node.operator())).isPresent()
        || readers(name).stream()
            .anyMatch(node -> node.operator().equals("Gemm") && node.inputs().getFirst().equals(name));
    return known.rank() == 0 && isMatrix ? new Input(name, 2, known.width()) : known;
  }

  /// The value that the network begins at, if that is none of the model's inputs.
  Optional<String> from() {
    return from;
  }

  /// The names of what the graph gives.
  List<String> outputs() {
    return outputs;
  }

  boolean isConstant(String name) {
    return constants.containsKey(name);
  }

  /// Whether a constant stands among the inputs, as in older models.
  boolean isDefault(String name) {
    return defaults.contains(tensorName(name));
  }

  Optional<OnnxTensor> constant(String name) throws FormatException {
    return isConstant(name)
        ? Optional.of(OnnxTensor.of(path, tensorName(name), constants.get(name), external))
        : Optional.empty();
  }

  /// A constant as a message.
  Protobuf tensor(String name) {
    return constants.get(name);
  }

  /// The name of the tensor that a constant is, or repeats.
  String tensorName(String name) {
    return tensors.getOrDefault(name, name);
  }

  /// The dimensions of a constant, whatever its elements are.
  List<Long> shape(String name) throws FormatException {
    return constants.get(name).integers(path, OnnxTensor.DIMS);
  }

  /// The elements of a constant of whole numbers.
  List<Long> integers(String name) throws FormatException {
    Protobuf tensor = constants.get(name);
    if (tensor.all(OnnxTensor.RAW_DATA).isEmpty() && !OnnxExternal.isOutside(tensor)) {
      return tensor.integers(path, INTEGER_DATA);
    }
    OnnxTensor raw = constant(name).orElseThrow();
    return LongStream.range(0, raw.elements())
        .mapToObj(i -> raw.dtype() == DType.I64
            ? raw.data().get(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN), i * Long.BYTES)
            : Long.valueOf((long) raw.value(i)))
        .toList();
  }

  /// The whole numbers that a node has as an attribute, as older operators do, or as an input; none if it has neither.
  ///
  /// @throws FormatException if the input is no constant
  List<Long> integers(OnnxNode node, String attribute, int input) throws FormatException {
    if (node.attribute(attribute).isPresent() || input >= node.inputs().size() || node.inputs().get(input).isEmpty()) {
      return node.integers(path, attribute);
    }
    if (!isConstant(node.inputs().get(input))) {
      throw new FormatException(path, "node %s (%s) computes its %s, which are only read as constants"
          .formatted(quote(node.label()), node.operator(), attribute));
    }
    return integers(node.inputs().get(input));
  }

  /// Whether `name` is a constant of one element about equal to `expected`.
  boolean isConstant(String name, double expected) throws FormatException {
    Optional<OnnxTensor> constant = constant(name);
    return constant.isPresent() && constant.get().elements() == 1 && isNear(constant.get().value(0), expected);
  }

  static boolean isNear(double value, double expected) {
    return Math.abs(value - expected) <= SLACK * Math.abs(expected);
  }

  /// The nodes that read a value.
  List<OnnxNode> readers(String value) {
    return readers.getOrDefault(value, List.of());
  }

  /// How many nodes read a tensor, under its own name or another, or transposed.
  int uses(OnnxTensor tensor) {
    return constants.keySet().stream().filter(name -> tensorName(name).equals(tensor.name()))
        .flatMap(name -> readers(name).stream())
        .mapToInt(node -> isTransposed(node) ? readers(node.outputs().getFirst()).size() : 1).sum();
  }

  /// The constant that a Transpose makes a value of, or else the value itself.
  String untransposed(String value) {
    return transposed.getOrDefault(value, value);
  }

  /// Whether a node does nothing but transpose a constant.
  boolean isTransposed(OnnxNode node) {
    return node.outputs().size() == 1 && transposed.containsKey(node.outputs().getFirst());
  }

  /// The node that makes a value.
  Optional<OnnxNode> maker(String value) {
    return Optional.ofNullable(makers.get(value));
  }

  /// The node of an operator that makes a value, if no more than one node reads that.
  Optional<OnnxNode> maker(String value, String operator) {
    return maker(value)
        .filter(node -> node.operator().equals(operator) && node.outputs().size() == 1 && !node.inputs().isEmpty())
        .filter(_ -> readers(value).size() == 1 && !outputs.contains(value));
  }

  /// The nodes that the outputs are computed from; all, if the model names no output. Of a network that begins within the
  /// model, those that its outputs are computed from by the value where it begins.
  ///
  /// @throws FormatException if it begins where the model has no value, or none that its outputs depend on alone
  Set<OnnxNode> needed() throws FormatException {
    if (from.isPresent()) {
      return behind(from.get());
    }
    Set<OnnxNode> needed = Collections.newSetFromMap(new IdentityHashMap<>());
    if (outputs.isEmpty()) {
      needed.addAll(nodes);
    }
    Deque<String> open = new ArrayDeque<>(outputs);
    while (!open.isEmpty()) {
      maker(open.pop()).filter(needed::add).ifPresent(node -> open.addAll(node.inputs()));
    }
    return needed;
  }

  private Set<OnnxNode> behind(String start) throws FormatException {
    requireValue(start);
    Set<OnnxNode> dependent = dependent(start);
    Set<OnnxNode> needed = Collections.newSetFromMap(new IdentityHashMap<>());
    Deque<String> open = new ArrayDeque<>();
    outputs.stream().filter(output -> maker(output).filter(dependent::contains).isPresent()).forEach(open::add);
    if (open.isEmpty()) {
      throw new FormatException(path,
          "has no output that depends on %s; name a tensor nearer to the inputs".formatted(quote(start)));
    }
    while (!open.isEmpty()) {
      OnnxNode node = maker(open.pop()).orElseThrow();
      if (!needed.add(node)) {
        continue;
      }
      for (String read : node.inputs()) {
        Optional<OnnxNode> maker = maker(read).filter(dependent::contains);
        if (maker.isPresent()) {
          open.add(read);
        } else if (!read.equals(start)) {
          requireConstant(node, read, start);
        }
      }
    }
    return needed;
  }

  private void requireValue(String name) throws FormatException {
    if (isConstant(name)) {
      throw new FormatException(path,
          "%s is a constant; name a value that is computed of the inputs".formatted(quote(name)));
    }
    if (maker(name).isEmpty() && inputs.stream().noneMatch(input -> input.name().equals(name))) {
      List<String> values = Stream.concat(inputs.stream().map(Input::name),
          nodes.stream().flatMap(node -> node.outputs().stream()).filter(value -> !value.isEmpty())).toList();
      throw new FormatException(path, "has no tensor %s%s".formatted(quote(name), Names.suggestion(name, values)));
    }
  }

  /// The nodes that read a value, or what others make of it.
  private Set<OnnxNode> dependent(String start) {
    Set<OnnxNode> dependent = Collections.newSetFromMap(new IdentityHashMap<>());
    Deque<String> open = new ArrayDeque<>(List.of(start));
    while (!open.isEmpty()) {
      readers(open.pop()).stream().filter(dependent::add).forEach(node -> open.addAll(node.outputs()));
    }
    return dependent;
  }

  /// Refuses that a node reads what depends on an input of the model, but not by the value where the network begins.
  private void requireConstant(OnnxNode reader, String read, String start) throws FormatException {
    Set<String> seen = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(List.of(read));
    while (!open.isEmpty()) {
      String value = open.pop();
      if (inputs.stream().anyMatch(input -> input.name().equals(value))) {
        throw new FormatException(path,
            "node %s (%s) reads %s, which depends on input %s and not on %s: %s".formatted(quote(reader.label()),
                reader.operator(), quote(read), quote(value), quote(start),
                "name a tensor that all ways from the inputs to the outputs go through"));
      }
      if (seen.add(value)) {
        maker(value).ifPresent(node -> open.addAll(node.inputs()));
      }
    }
  }
}
