package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.io.OnnxValues.Value;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/// Makes a network of the nodes of an ONNX model, in their order. What stands behind the network and is no part of one,
/// such as ArgMax, is left aside.
final class OnnxWalk {
  /// What may give another width than it reads, without being a layer.
  private static final Set<String> CHANGING = Set.of("Concat", "Slice", "Split", "ReduceSum", "ReduceMean");
  /// What may stand behind the network.
  private static final Set<String> TAIL = Set.of("ArgMax", "Cast", "Identity", "ArrayFeatureExtractor", "Binarizer",
      "Reshape", "Squeeze", "TopK", "ZipMap");
  /// What makes probabilities of logits.
  private static final Set<Activation> OF_LOGITS = Set.of(Activation.SOFTMAX, Activation.LOG_SOFTMAX,
      Activation.SIGMOID);

  /// The operator set from which on a softmax without an axis goes along the last.
  private static final int SOFTMAX_OF_LAST_AXIS = 13;

  private final OnnxContent content;
  private final OnnxPatterns patterns;
  private final Set<OnnxNode> needed;
  private final OnnxValues values;
  private final OnnxLayers layers;
  private final OnnxArithmetic arithmetic;
  private final OnnxSizes sizes;
  private final OnnxFeatures features;
  /// Values that are not part of the network, and the nodes that make them.
  private final Map<String, OnnxNode> behind = new HashMap<>();
  private final List<OnnxNode> tail = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();

  /// @param inputs with their widths, which stand side by side in a sample
  private OnnxWalk(OnnxContent content, Set<OnnxNode> needed, Map<OnnxContent.Input, Integer> inputs)
      throws FormatException {
    this.content = content;
    this.needed = needed;
    patterns = OnnxPatterns.of(content, needed);
    long width = inputs.values().stream().mapToLong(each -> each).sum();
    if (width > OnnxValues.MOST_WIDTH) {
      throw new FormatException(content.path(),
          "has inputs of %d numbers, and the most are %d".formatted(width, OnnxValues.MOST_WIDTH));
    }
    values = new OnnxValues(content, (int) width);
    layers = new OnnxLayers(values);
    arithmetic = new OnnxArithmetic(values);
    sizes = new OnnxSizes(values);
    features = new OnnxFeatures(values, sizes, needed);
    int first = 0;
    for (Map.Entry<OnnxContent.Input, Integer> input : inputs.entrySet()) {
      int node = inputs.size() == 1 ? 0 : values.builder().slice(0, first, input.getValue());
      values.giveInput(input.getKey().name(),
          new Value(node, input.getValue(), rank(input.getKey(), input.getValue())));
      first += input.getValue();
    }
    content.from().ifPresent(
        start -> notes.add("the network begins at %s, %d numbers a sample; in ONNX, what is before it stays as it is"
            .formatted(quote(start), values.width(start))));
    if (inputs.size() > 1) {
      notes.add("a sample is the inputs side by side: %s".formatted(
          inputs.entrySet().stream().map(input -> "%s (%d)".formatted(input.getKey().name(), input.getValue()))
              .collect(Collectors.joining(", "))));
    }
  }

  private static int rank(OnnxContent.Input input, int width) {
    boolean isUnflattened = input.rank() > 2 && input.width() > 0 && input.width() != width;
    return isUnflattened ? OnnxValues.UNFLATTENED : input.rank();
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
    Map<OnnxContent.Input, Integer> inputs = inputs(content, needed);
    if (inputs.isEmpty()) {
      requireMade(content, needed);
      throw new FormatException(content.path(), "has no input from which its outputs are computed");
    }
    OnnxWalk walk = new OnnxWalk(content, needed, inputs);
    for (OnnxNode node : content.nodes()) {
      boolean isPart = walk.needed.contains(node) && !content.isTransposed(node);
      if (isPart && !walk.layers.isTaken(node) && !walk.patterns.isInner(node)) {
        walk.visit(node);
      }
    }
    return walk.network();
  }

  /// Refuses a node that reads what no node before it makes.
  private static void requireMade(OnnxContent content, Set<OnnxNode> needed) throws FormatException {
    Set<String> made = content.inputs().stream().map(OnnxContent.Input::name).collect(Collectors.toSet());
    for (OnnxNode node : content.nodes()) {
      for (String name : needed.contains(node) ? node.inputs() : List.<String>of()) {
        if (!name.isEmpty() && !made.contains(name) && !content.isConstant(name)) {
          throw OnnxValues.wrong(content, node, "reads %s, which no node before it makes".formatted(quote(name)));
        }
      }
      made.addAll(node.outputs());
    }
  }

  /// The inputs that the outputs are computed of, and how wide they are.
  ///
  /// @param needed the nodes that the outputs are computed from
  static Map<OnnxContent.Input, Integer> inputs(OnnxContent content, Set<OnnxNode> needed) throws FormatException {
    Map<OnnxContent.Input, Integer> inputs = new LinkedHashMap<>();
    for (OnnxContent.Input input : content.inputs()) {
      if (content.readers(input.name()).stream().anyMatch(needed::contains)) {
        inputs.put(input, width(content, input));
      }
    }
    return inputs;
  }

  /// The width of a sample: that of the first layer that reads it, directly or behind nodes that change no width, or else
  /// the one that the model tells.
  private static int width(OnnxContent content, OnnxContent.Input input) throws FormatException {
    Set<String> seen = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(List.of(input.name()));
    while (!open.isEmpty()) {
      String value = open.pop();
      for (OnnxNode node : seen.add(value) ? content.readers(value) : List.<OnnxNode>of()) {
        if (OnnxLayers.OPERATORS.contains(node.operator()) && node.inputs().indexOf(value) == 0
            && OnnxLayers.hasMatrix(content, node)) {
          List<Long> shape = content.shape(content.untransposed(node.inputs().get(1)));
          return width(content, OnnxLayers.isTransposed(content, node) ? shape.getFirst() : shape.getLast());
        } else if (!CHANGING.contains(node.operator()) && !node.operator().equals("Shape")) {
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

  private void visit(OnnxNode node) throws FormatException {
    Optional<OnnxNode> before = node.inputs().stream().filter(behind::containsKey).map(behind::get).findFirst();
    if (before.isPresent() && !TAIL.contains(node.operator())) {
      throw values.refused(before.get(), "is only read behind the network", "leave it out, and export the model again");
    }
    if (before.isEmpty() && sizes.take(node)) {
      return;
    }
    if (node.operator().equals("Split")) {
      features.split(node);
      return;
    }
    Optional<Value> value = before.isPresent() ? Optional.empty() : value(node);
    if (value.isPresent() && !node.outputs().isEmpty()) {
      values.give(node.outputs().getFirst(), value.get());
    } else if (TAIL.contains(node.operator())) {
      tail.add(node);
      node.outputs().forEach(output -> behind.put(output, node));
    } else {
      throw values.unread(node);
    }
  }

  /// What a node makes; empty if it is none of a network.
  private Optional<Value> value(OnnxNode node) throws FormatException {
    Optional<OnnxPatterns.Match> match = patterns.at(node);
    if (match.isPresent()) {
      return Optional.of(switch (match.get().function()) {
        case OnnxPatterns.Function.Activated(Activation activation) -> activated(node, match.get().input(), activation);
        case OnnxPatterns.Function.Normalized(boolean centred, double epsilon, long axis) ->
          arithmetic.normalized(node, values.features(node, match.get().input(), axis), centred, epsilon);
        case OnnxPatterns.Function.Softened(double beta) -> arithmetic.softplus(node, match.get().input(), beta);
        case OnnxPatterns.Function.Dotted(String other) -> arithmetic.dot(node, match.get().input(), other);
      });
    }
    if (OnnxLayers.OPERATORS.contains(node.operator())) {
      return Optional.of(layers.layer(node));
    }
    Optional<Value> value = arithmetic.value(node);
    value = value.isPresent() ? value : features.value(node);
    Optional<Activation> activation = value.isPresent() ? Optional.empty() : OnnxActivations.of(content, node);
    return activation.isPresent() ? Optional.of(activated(node, OnnxValues.name(node, 0), activation.get())) : value;
  }

  private Value activated(OnnxNode node, String name, Activation activation) throws FormatException {
    Value read = values.input(node, name);
    Value value = values.added(values.builder().activate(read.node(), activation), read.width(), read.rank(),
        List.of(read));
    if (!activation.isElementwise()) {
      values.requireLastAxis(node, read, node.integer("axis", -1));
      requireOneAxis(node, read);
    }
    return value;
  }

  /// Refuses a softmax without an axis of an operator set in which that means all dimensions from axis 1 on together,
  /// unless these are the features.
  private void requireOneAxis(OnnxNode node, Value read) throws FormatException {
    if (node.attribute("axis").isEmpty() && content.operatorSet() < SOFTMAX_OF_LAST_AXIS && read.rank() != 2) {
      throw values.refused(node,
          "has no axis, which in operator set %d means all dimensions behind the first, not known to be the features alone"
              .formatted(content.operatorSet()),
          "export the model with operator set %d or newer".formatted(SOFTMAX_OF_LAST_AXIS));
    }
  }

  private Network network() throws FormatException {
    if (layers.found().isEmpty()) {
      throw new FormatException(content.path(), "has no layer, that is no Gemm or MatMul");
    }
    if (!tail.isEmpty()) {
      notes.add("the network ends before %s, which is not part of it"
          .formatted(tail.stream().map(OnnxNode::operator).collect(Collectors.joining(", "))));
    }
    layers.requireUnshared();
    List<OnnxLayer> complete = layers.withMeans();
    List<String> unbiased = complete.stream().filter(layer -> layer.mean().isPresent()).map(OnnxLayer::name).toList();
    if (!unbiased.isEmpty()) {
      notes.add("BatchNormalization: its mean takes the bias that %s %s not have".formatted(String.join(", ", unbiased),
          unbiased.size() == 1 ? "does" : "do"));
    }
    Map<Integer, String> ends = ends();
    try {
      Graph graph = ends.size() > 1 ? joined(ends) : values.builder().build();
      if (!graph.tiedText().isEmpty()) {
        notes.add("a layer that several nodes use is pruned once, for all of them: %s".formatted(graph.tiedText()));
      }
      return new Network(graph, complete, values.constants(), notes);
    } catch (MismatchException e) {
      throw new FormatException(content.path(), e.getMessage(), e);
    }
  }

  /// The nodes of the network whose values are its outputs, and what the file calls these: those that are outputs of the
  /// model, in its order, and those that only nodes behind the network read. The model may also give the logits that an
  /// end is made of; then what pruning preserves is the end.
  private Map<Integer, String> ends() {
    Map<Integer, String> ends = new LinkedHashMap<>();
    content.outputs().stream().filter(values::has).filter(name -> !values.isInput(values.node(name)))
        .forEach(name -> ends.putIfAbsent(values.node(name), name));
    Set<Integer> inner = new HashSet<>();
    for (int end : ends.keySet()) {
      if (values.builder().node(end) instanceof Node.Activate activate && OF_LOGITS.contains(activate.activation())
          && ends.containsKey(activate.input())) {
        inner.add(activate.input());
      }
    }
    inner.forEach(node -> notes.add(
        "output %s is a value within the network, and not what pruning preserves".formatted(quote(ends.remove(node)))));
    values.unread().forEach(ends::putIfAbsent);
    return ends;
  }

  /// The graph of a network of several outputs, which stand side by side.
  private Graph joined(Map<Integer, String> ends) throws FormatException {
    List<Graph.Head> heads = new ArrayList<>();
    for (Map.Entry<Integer, String> end : ends.entrySet()) {
      heads.add(new Graph.Head(end.getValue(), values.builder().node(end.getKey()).width()));
    }
    long width = heads.stream().mapToLong(Graph.Head::width).sum();
    if (width > OnnxValues.MOST_WIDTH) {
      throw new FormatException(content.path(),
          "has outputs of %d numbers, and the most are %d".formatted(width, OnnxValues.MOST_WIDTH));
    }
    values.builder().concat(ends.keySet().toArray(Integer[]::new));
    Graph graph = values.builder().build(heads);
    notes.add("the network has several outputs, side by side: %s; what is preserved is all of them"
        .formatted(graph.headsText()));
    return graph;
  }
}
