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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Makes a network of the nodes of an ONNX model, in their order. What stands behind the network and is no part of one,
/// such as ArgMax, is left aside.
final class OnnxWalk {
  private static final String SUPPORTED = "dense layers (Gemm, MatMul and Add), activations, Add, Sub, Mul, Div by a "
      + "constant, Concat, Slice and Split of features, sums and means over them, and normalisations";
  static final Set<String> LAYERS = Set.of("Gemm", "MatMul");
  /// What may give another width than it reads, without being a layer.
  private static final Set<String> CHANGING = Set.of("Concat", "Slice", "Split", "ReduceSum", "ReduceMean");
  /// What may stand behind the network.
  private static final Set<String> TAIL = Set.of("ArgMax", "Cast", "Identity", "LogSoftmax", "ArrayFeatureExtractor",
      "Reshape", "Squeeze", "TopK", "ZipMap");

  /// Of a value: a few Concats make any width.
  private static final int MOST_WIDTH = 1 << 20;
  /// The rank of samples of several dimensions that only become features by a Flatten.
  private static final int UNFLATTENED = -1;

  private final OnnxContent content;
  private final OnnxPatterns patterns;
  private final Set<OnnxNode> needed;
  private final Graph.Builder builder;
  private final Map<String, Value> values = new HashMap<>();
  /// The nodes of the network that no other reads yet, and what the file calls their values.
  private final Map<Integer, String> unread = new TreeMap<>();
  /// Values that are not part of the network, and the nodes that make them.
  private final Map<String, OnnxNode> behind = new HashMap<>();
  /// Nodes that were read together with one before them.
  private final Set<OnnxNode> taken = Collections.newSetFromMap(new IdentityHashMap<>());
  private final List<OnnxLayer> layers = new ArrayList<>();
  private final Map<OnnxTensor, Integer> constants = new HashMap<>();
  private final List<OnnxNode> tail = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();
  /// The nodes of the inputs.
  private final Set<Integer> samples = new HashSet<>();
  private OptionalInt softmax = OptionalInt.empty();

  /// A value of the network.
  ///
  /// @param node of the graph
  /// @param rank with the samples' dimension; 0 if the model does not tell
  private record Value(int node, int width, int rank) {}

  /// @param inputs with their widths, which stand side by side in a sample
  private OnnxWalk(OnnxContent content, Set<OnnxNode> needed, Map<OnnxContent.Input, Integer> inputs)
      throws FormatException {
    this.content = content;
    this.needed = needed;
    patterns = OnnxPatterns.of(content);
    long width = inputs.values().stream().mapToLong(each -> each).sum();
    if (width > MOST_WIDTH) {
      throw new FormatException(content.path(),
          "has inputs of %d numbers, and the most are %d".formatted(width, MOST_WIDTH));
    }
    builder = new Graph.Builder((int) width);
    int first = 0;
    for (Map.Entry<OnnxContent.Input, Integer> input : inputs.entrySet()) {
      int node = inputs.size() == 1 ? 0 : builder.slice(0, first, input.getValue());
      values.put(input.getKey().name(), new Value(node, input.getValue(), rank(input.getKey(), input.getValue())));
      unread.put(node, input.getKey().name());
      samples.add(node);
      first += input.getValue();
    }
    if (inputs.size() > 1) {
      notes.add("a sample is the inputs side by side: %s".formatted(
          inputs.entrySet().stream().map(input -> "%s (%d)".formatted(input.getKey().name(), input.getValue()))
              .collect(Collectors.joining(", "))));
    }
  }

  private static int rank(OnnxContent.Input input, int width) {
    boolean isUnflattened = input.rank() > 2 && input.width() > 0 && input.width() != width;
    return isUnflattened ? UNFLATTENED : input.rank();
  }

  /// A network.
  ///
  /// @param layers in the order of the graph
  /// @param constants tensors of a number for each feature of a node's value, and these nodes
  /// @param notes what a user should know about the reading
  record Network(Graph graph, List<OnnxLayer> layers, Map<OnnxTensor, Integer> constants, List<String> notes) {}

  /// @throws FormatException if the model is no network that is understood; the message names the node
  static Network of(OnnxContent content) throws FormatException {
    Set<OnnxNode> needed = content.needed();
    Map<OnnxContent.Input, Integer> inputs = new LinkedHashMap<>();
    for (OnnxContent.Input input : content.inputs()) {
      if (content.readers(input.name()).stream().anyMatch(needed::contains)) {
        inputs.put(input, width(content, input));
      }
    }
    if (inputs.isEmpty()) {
      throw new FormatException(content.path(), "has no input from which its outputs are computed");
    }
    OnnxWalk walk = new OnnxWalk(content, needed, inputs);
    for (OnnxNode node : content.nodes()) {
      if (walk.needed.contains(node) && !walk.taken.contains(node) && !walk.patterns.isInner(node)) {
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
  static boolean hasMatrix(OnnxContent content, OnnxNode node) throws FormatException {
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
    if (node.operator().equals("Split")) {
      split(node);
      return;
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
      return Optional.of(switch (match.get().function()) {
        case OnnxPatterns.Function.Activated(Activation activation) -> activated(node, match.get().input(), activation);
        case OnnxPatterns.Function.Normalized(boolean centred, double epsilon, long axis) ->
          normalized(node, features(node, match.get().input(), axis), centred, epsilon);
      });
    }
    return switch (node.operator()) {
      case "Gemm", "MatMul" -> Optional.of(layer(node));
      case "Add", "Sum" -> Optional.of(sum(node));
      case "Sub" -> Optional.of(difference(node));
      case "Mul" -> Optional.of(product(node));
      case "Div" -> Optional.of(quotient(node));
      case "Pow" -> Optional.of(square(node));
      case "Neg" -> Optional.of(scaled(operand(node, name(node, 0)), -1));
      case "BatchNormalization" -> Optional.of(batchNormalization(node));
      case "LayerNormalization", "RMSNormalization" -> Optional.of(layerNormalization(node));
      case "Slice" -> Optional.of(slice(node));
      case "ReduceSum", "ReduceMean" -> Optional.of(reduced(node));
      case "Squeeze" -> squeezed(node);
      case "Unsqueeze" -> unsqueezed(node);
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
  private Optional<Value> flat(Value value) {
    return samples.contains(value.node) || value.rank == 2
        ? Optional.of(new Value(value.node, value.width, 2))
        : Optional.empty();
  }

  /// Whether a Reshape makes a matrix of a constant width, that of what it reads.
  private boolean keepsFeatures(OnnxNode node) throws FormatException {
    if (node.inputs().size() != 2 || !content.isConstant(node.inputs().get(1))) {
      return false;
    }
    List<Long> shape = content.integers(node.inputs().get(1));
    Value read = input(node, 0);
    return shape.size() == 2 && (shape.getLast() == read.width
        || (shape.getLast() == -1 && (samples.contains(read.node) || shape.getFirst() == 0)));
  }

  private Value layer(OnnxNode node) throws FormatException {
    boolean isGemm = node.operator().equals("Gemm");
    if (!hasMatrix(content, node) || !values.containsKey(node.inputs().getFirst())) {
      throw refused(node, "is no layer of constant weights [inputs, outputs]");
    }
    Value read = operand(node, node.inputs().getFirst());
    requireFeatures(node, read);
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
          && next.outputs().size() == 1 && (outputs == 1 || content.constant(other).orElseThrow().elements() != 1)) {
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
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      return scaled(node, of.value, ones(of.value), of.constant);
    }
    List<Value> read = operands(node);
    requireOneWidth(node, read);
    return added(builder.add(nodes(read)), read.getFirst().width, read.getFirst().rank, read);
  }

  private void requireOneWidth(OnnxNode node, List<Value> read) throws FormatException {
    List<Integer> widths = read.stream().map(Value::width).toList();
    if (widths.stream().distinct().count() > 1) {
      throw refused(node, "reads values of the widths %s".formatted(widths));
    }
  }

  private Value difference(OnnxNode node) throws FormatException {
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      boolean isNegated = of.constantFirst;
      List<Double> factors = Collections.nCopies(of.value.width, isNegated ? -1.0 : 1.0);
      return scaled(node, of.value, factors, isNegated ? of.constant : of.constant.stream().map(c -> -c).toList());
    }
    List<Value> read = operands(node);
    requireOneWidth(node, read);
    if (read.size() != 2) {
      throw refused(node, "has %d inputs".formatted(read.size()));
    }
    Value negated = scaled(read.getLast(), -1);
    return added(builder.add(read.getFirst().node, negated.node), negated.width, negated.rank,
        List.of(read.getFirst(), negated));
  }

  private Value product(OnnxNode node) throws FormatException {
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      return scaled(node, of.value, of.constant, zeros(of.value));
    }
    List<Value> read = operands(node);
    requireOneWidth(node, read);
    if (read.size() != 2) {
      throw refused(node, "has %d inputs".formatted(read.size()));
    }
    return added(builder.multiply(read.getFirst().node, read.getLast().node), read.getFirst().width,
        read.getFirst().rank, read);
  }

  private Value square(OnnxNode node) throws FormatException {
    if (!content.isConstant(name(node, 1), 2)) {
      throw refused(node, "has an exponent other than 2");
    }
    Value read = operand(node, name(node, 0));
    return added(builder.multiply(read.node, read.node), read.width, read.rank, List.of(read));
  }

  private Value quotient(OnnxNode node) throws FormatException {
    if (!content.isConstant(name(node, 1))) {
      throw refused(node, "divides by what is no constant");
    }
    Operands of = withConstant(node);
    return scaled(node, of.value, of.constant.stream().map(c -> 1 / c).toList(), zeros(of.value));
  }

  /// @param constant an element for each feature of the value
  private record Operands(Value value, List<Double> constant, boolean constantFirst) {}

  /// A value and a constant, which a node of two inputs reads.
  private Operands withConstant(OnnxNode node) throws FormatException {
    boolean isFirst = content.isConstant(name(node, 0));
    if (node.inputs().size() != 2 || content.isConstant(name(node, isFirst ? 1 : 0))) {
      throw refused(node, "reads no single value of the network beside a constant");
    }
    Value value = operand(node, name(node, isFirst ? 1 : 0));
    return new Operands(value, perFeature(node, value, name(node, isFirst ? 0 : 1)), isFirst);
  }

  /// The elements of a constant of a number for each feature of a value, or one for all.
  private List<Double> perFeature(OnnxNode node, Value value, String name) throws FormatException {
    Optional<OnnxTensor> tensor = content.constant(name);
    boolean isSingle = tensor.isPresent() && tensor.get().elements() == 1;
    boolean fits = tensor.isPresent() && tensor.get().dtype().isWritable()
        && tensor.get().shape().size() <= (value.rank == 0 ? 2 : value.rank)
        && (isSingle || (tensor.get().elements() == value.width && tensor.get().shape().getLast() == value.width));
    if (!fits) {
      throw refused(node, "has a constant %s that is not of shape [%d]".formatted(quote(name), value.width));
    }
    if (!isSingle) {
      constants.put(tensor.get(), value.node);
    }
    return IntStream.range(0, value.width).mapToObj(i -> tensor.get().value(isSingle ? 0 : i)).toList();
  }

  private static List<Double> ones(Value value) {
    return Collections.nCopies(value.width, 1.0);
  }

  private static List<Double> zeros(Value value) {
    return Collections.nCopies(value.width, 0.0);
  }

  private Value scaled(Value value, double factor) {
    return added(builder.scale(value.node, Collections.nCopies(value.width, (float) factor),
        Collections.nCopies(value.width, 0f)), value.width, value.rank, List.of(value));
  }

  private Value scaled(OnnxNode node, Value value, List<Double> factors, List<Double> shifts) throws FormatException {
    List<Float> scale = factors.stream().map(Double::floatValue).toList();
    List<Float> shift = shifts.stream().map(Double::floatValue).toList();
    if (!Stream.concat(scale.stream(), shift.stream()).allMatch(Float::isFinite)) {
      throw refused(node, "has constants that are not finite");
    }
    return added(builder.scale(value.node, scale, shift), value.width, value.rank, List.of(value));
  }

  /// In inference: the means and variances are constants.
  private Value batchNormalization(OnnxNode node) throws FormatException {
    Value read = operand(node, name(node, 0));
    if (read.rank != 2 || node.integer("training_mode", 0) != 0 || node.inputs().size() != 5) {
      throw refused(node, "is no normalisation of features by constants");
    }
    List<Double> scale = perFeature(node, read, name(node, 1));
    List<Double> shift = perFeature(node, read, name(node, 2));
    List<Double> mean = perFeature(node, read, name(node, 3));
    List<Double> variance = perFeature(node, read, name(node, 4));
    double epsilon = node.number("epsilon", 1e-5f);
    List<Double> factors = IntStream.range(0, read.width)
        .mapToObj(i -> scale.get(i) / Math.sqrt(variance.get(i) + epsilon)).toList();
    return scaled(node, read, factors,
        IntStream.range(0, read.width).mapToObj(i -> shift.get(i) - mean.get(i) * factors.get(i)).toList());
  }

  private Value layerNormalization(OnnxNode node) throws FormatException {
    Value read = features(node, name(node, 0), node.integer("axis", -1));
    Value normalized = normalized(node, read, node.operator().equals("LayerNormalization"),
        node.number("epsilon", 1e-5f));
    if (name(node, 1).isEmpty() && name(node, 2).isEmpty()) {
      return normalized;
    }
    return scaled(node, normalized, name(node, 1).isEmpty() ? ones(read) : perFeature(node, read, name(node, 1)),
        name(node, 2).isEmpty() ? zeros(read) : perFeature(node, read, name(node, 2)));
  }

  private Value normalized(OnnxNode node, Value read, boolean centred, double epsilon) throws FormatException {
    if (!(epsilon > 0)) {
      throw refused(node, "has an epsilon of %s; it must be above 0".formatted(epsilon));
    }
    return added(builder.normalize(read.node, centred, epsilon), read.width, read.rank, List.of(read));
  }

  private Value slice(OnnxNode node) throws FormatException {
    List<Long> starts = content.integers(node, "starts", 1);
    List<Long> ends = content.integers(node, "ends", 2);
    List<Long> axes = content.integers(node, "axes", 3);
    List<Long> steps = content.integers(node, "steps", 4);
    if (starts.size() != 1 || ends.size() != 1 || axes.size() != 1 || !(steps.isEmpty() || steps.equals(List.of(1L)))) {
      throw refused(node, "takes no neighbouring features");
    }
    Value read = features(node, name(node, 0), axes.getFirst());
    int first = position(starts.getFirst(), read.width);
    return sliced(node, read, first, position(ends.getFirst(), read.width) - first);
  }

  /// Counted from the end if it is negative.
  private static int position(long index, int width) {
    return (int) Math.clamp(index < 0 ? index + width : index, 0L, width);
  }

  private Value sliced(OnnxNode node, Value read, int first, int width) throws FormatException {
    if (width < 1 || first < 0 || width > read.width - first) {
      throw refused(node, "takes %d features from %d on of %d".formatted(width, first, read.width));
    }
    return added(builder.slice(read.node, first, width), width, read.rank, List.of(read));
  }

  private void split(OnnxNode node) throws FormatException {
    Value read = features(node, name(node, 0), node.integer("axis", 0));
    List<Long> sizes = content.integers(node, "split", 1);
    int parts = node.outputs().size();
    if (sizes.isEmpty()) {
      int each = Math.ceilDiv(read.width, Math.max(1, parts));
      sizes = IntStream.range(0, parts).mapToObj(i -> (long) Math.min(each, read.width - i * each)).toList();
    }
    long first = 0;
    for (int i = 0; i < parts && sizes.size() == parts; i++) {
      String output = node.outputs().get(i);
      long size = sizes.get(i);
      if (size < 1 || size > read.width - first) {
        break;
      }
      if (content.outputs().contains(output) || content.readers(output).stream().anyMatch(needed::contains)) {
        give(output, sliced(node, read, (int) first, (int) size));
      }
      first += size;
    }
    if (first != read.width || sizes.size() != parts) {
      throw refused(node, "splits %d features into %s".formatted(read.width, sizes));
    }
  }

  private Value reduced(OnnxNode node) throws FormatException {
    List<Long> axes = content.integers(node, "axes", 1);
    if (axes.size() != 1) {
      throw refused(node, "goes along the axes %s; only along the last alone".formatted(axes));
    }
    Value read = features(node, name(node, 0), axes.getFirst());
    boolean keeps = node.integer("keepdims", 1) == 1;
    if (!keeps && read.rank == 0) {
      throw refused(node, "gives up a dimension of values whose dimensions the model does not tell");
    }
    Value sum = added(builder.sum(read.node), 1, keeps ? read.rank : read.rank - 1, List.of(read));
    return node.operator().equals("ReduceMean") ? scaled(sum, 1.0 / read.width) : sum;
  }

  /// Without a last dimension of one feature.
  private Optional<Value> squeezed(OnnxNode node) throws FormatException {
    Value read = input(node, 0);
    List<Long> axes = content.integers(node, "axes", 1);
    boolean fits = read.rank > 1 && read.width == 1 && axes.size() == 1 && isLastAxis(read, axes.getFirst());
    return fits ? Optional.of(new Value(read.node, 1, read.rank - 1)) : Optional.empty();
  }

  /// With such a dimension again.
  private Optional<Value> unsqueezed(OnnxNode node) throws FormatException {
    Value read = input(node, 0);
    List<Long> axes = content.integers(node, "axes", 1);
    boolean fits = read.rank == 1 && axes.size() == 1 && (axes.getFirst() == -1 || axes.getFirst() == 1);
    return fits ? Optional.of(new Value(read.node, 1, 2)) : Optional.empty();
  }

  private Value concat(OnnxNode node) throws FormatException {
    List<Value> read = operands(node);
    requireLastAxis(node, read.getFirst(), node.integer("axis", 0));
    long width = read.stream().mapToLong(Value::width).sum();
    if (width > MOST_WIDTH) {
      throw refused(node, "is %d wide, and the most is %d".formatted(width, MOST_WIDTH));
    }
    return added(builder.concat(nodes(read)), (int) width, read.getFirst().rank, read);
  }

  private static Integer[] nodes(List<Value> values) {
    return values.stream().map(Value::node).toArray(Integer[]::new);
  }

  /// The value that a node reads, along whose features it goes.
  private Value features(OnnxNode node, String name, long axis) throws FormatException {
    Value value = operand(node, name);
    requireLastAxis(node, value, axis);
    return value;
  }

  private void requireLastAxis(OnnxNode node, Value value, long axis) throws FormatException {
    requireFeatures(node, value);
    if (!isLastAxis(value, axis)) {
      throw refused(node, "goes along axis %d, which is not known to be the last".formatted(axis));
    }
  }

  private static boolean isLastAxis(Value value, long axis) {
    return axis == -1 || (value.rank > 0 && axis == value.rank - 1);
  }

  /// The only dimension of a value of one is that of the samples.
  private void requireFeatures(OnnxNode node, Value value) throws FormatException {
    if (value.rank == 1 || value.rank == UNFLATTENED) {
      throw refused(node, "reads a value without a dimension of features");
    }
  }

  private Value activated(OnnxNode node, String name, Activation activation) throws FormatException {
    Value read = operand(node, name);
    Value value = added(builder.activate(read.node, activation), read.width, read.rank, List.of(read));
    if (activation.equals(Activation.SOFTMAX)) {
      requireLastAxis(node, read, node.integer("axis", -1));
    }
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
      case "Celu" -> Optional.of(Activation.of(Kind.ELU)).filter(_ -> node.number("alpha", 1) == 1);
      case "PRelu" -> {
        Optional<OnnxTensor> slope = content.constant(name(node, 1)).filter(tensor -> tensor.elements() == 1);
        yield slope.map(tensor -> tensor.value(0)).filter(Double::isFinite)
            .map(value -> new Activation(Kind.LEAKY_RELU, value));
      }
      case "Gelu" -> Optional.of(Activation.of(node.text("approximate").equals("tanh") ? Kind.GELU_TANH : Kind.GELU));
      case "Selu" -> Optional.of(Activation.of(Kind.SELU))
          .filter(_ -> OnnxContent.isNear(node.number("alpha", (float) Activation.SELU_ALPHA), Activation.SELU_ALPHA)
              && OnnxContent.isNear(node.number("gamma", (float) Activation.SELU_SCALE), Activation.SELU_SCALE));
      case "HardSigmoid" -> Optional.of(Activation.of(Kind.HARDSIGMOID))
          .filter(_ -> OnnxContent.isNear(node.number("alpha", 0.2f), 1 / 6.0) && node.number("beta", 0.5f) == 0.5f);
      case "Clip" -> node.inputs().size() == 3 && content.isConstant(node.inputs().get(1), 0)
          && content.isConstant(node.inputs().get(2), 6) ? Optional.of(Activation.of(Kind.RELU6)) : Optional.empty();
      case "Softmax" -> Optional.of(Activation.SOFTMAX);
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
    if (!tail.isEmpty()) {
      notes.add("the network ends before %s, which is not part of it"
          .formatted(tail.stream().map(OnnxNode::operator).collect(Collectors.joining(", "))));
    }
    int output = unread.keySet().iterator().next();
    content.outputs().stream().filter(name -> values.containsKey(name) && values.get(name).node != output)
        .forEach(name -> notes
            .add("output %s is a value within the network, and not what pruning preserves".formatted(quote(name))));
    try {
      return new Network(builder.build(), layers, constants, notes);
    } catch (MismatchException e) {
      throw new FormatException(content.path(), e.getMessage(), e);
    }
  }

  private FormatException refused(OnnxNode node, String reason) {
    return new FormatException(content.path(),
        "node %s (%s) %s; what is read: %s".formatted(quote(node.label()), node.operator(), reason, SUPPORTED));
  }
}
