package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.io.OnnxValues.Value;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.LongStream;

/// Nodes of an ONNX model that are dense layers: Gemm, or MatMul and the Add behind it.
final class OnnxLayers {
  static final Set<String> OPERATORS = Set.of("Gemm", "MatMul");
  /// The input of a BatchNormalization that is its mean.
  static final int MEAN = 3;
  /// The code of float32.
  private static final int FLOAT = 1;
  /// Casts behind each other that are followed.
  static final int MOST_CASTS = 8;

  private final OnnxContent content;
  private final OnnxValues values;
  private final List<OnnxLayer> found = new ArrayList<>();
  /// By layer, the nodes of the model that use it, and the graph's node of the first.
  private final Map<OnnxLayer, List<OnnxNode>> uses = new LinkedHashMap<>();
  private final Map<OnnxLayer, Integer> first = new HashMap<>();
  /// Nodes that were read together with one before them.
  private final Set<OnnxNode> taken = Collections.newSetFromMap(new IdentityHashMap<>());

  OnnxLayers(OnnxValues values) {
    content = values.content();
    this.values = values;
  }

  /// The layers so far.
  List<OnnxLayer> found() {
    return found;
  }

  /// Whether a node was read together with one before it.
  boolean isTaken(OnnxNode node) {
    return taken.contains(node);
  }

  /// Whether the second input of a node is a constant of rows and columns, or one transposed.
  static boolean hasMatrix(OnnxContent content, OnnxNode node) throws FormatException {
    String matrix = content.untransposed(OnnxValues.name(node, 1));
    return content.isConstant(matrix) && content.shape(matrix).size() == 2;
  }

  /// Whether the weights of a layer are inputs × outputs.
  static boolean isTransposed(OnnxContent content, OnnxNode node) {
    boolean isRead = node.operator().equals("MatMul") || node.integer("transB", 0) == 0;
    return isRead == content.isConstant(node.inputs().get(1));
  }

  /// The value of a layer.
  Value layer(OnnxNode node) throws FormatException {
    boolean isGemm = node.operator().equals("Gemm");
    if (!hasMatrix(content, node) || !values.has(node.inputs().getFirst())) {
      throw values.refused(node, "is no layer of constant weights [inputs, outputs]",
          "weights must be a constant of two dimensions");
    }
    Value read = values.input(node, node.inputs().getFirst());
    values.requireFeatures(node, read);
    OnnxTensor weight = content.constant(content.untransposed(node.inputs().get(1))).orElseThrow();
    if (isGemm && (node.integer("transA", 0) != 0 || node.number("alpha", 1) != 1 || node.number("beta", 1) != 1)) {
      throw values.refused(node, "has transA, alpha or beta other than 0, 1 and 1",
          "multiply the weights and the bias by them, and export the model again");
    }
    boolean isTransposed = isTransposed(content, node);
    long inputs = weight.shape().get(isTransposed ? 0 : 1);
    long outputs = weight.shape().get(isTransposed ? 1 : 0);
    if (inputs != read.width() || outputs < 1 || outputs > Integer.MAX_VALUE) {
      throw values.wrong(node, "has weights [%d, %d] for %d inputs".formatted(outputs, inputs, read.width()));
    }
    Optional<OnnxTensor> bias = bias(node, outputs);
    String name = weight.name().replaceFirst("\\.weight$", "").replace(',', '_');
    OnnxLayer layer = new OnnxLayer(name, weight, isTransposed, bias, Optional.empty());
    Value value = values.added(use(node, layer, read.node(), (int) outputs), (int) outputs, isGemm ? 2 : read.rank(),
        List.of(read));
    taken(node).ifPresent(add -> values.give(add.outputs().getFirst(), value));
    return value;
  }

  /// The graph's node of a layer, which is used again if an earlier node has the same weights and bias.
  private int use(OnnxNode node, OnnxLayer layer, int input, int outputs) {
    Optional<OnnxLayer> same = found.stream().filter(layer::isSame).findFirst();
    if (same.isPresent()) {
      uses.get(same.get()).add(node);
      return values.builder().again(first.get(same.get()), input);
    }
    found.add(layer);
    uses.put(layer, new ArrayList<>(List.of(node)));
    first.put(layer, values.builder().dense(layer.name(), input, outputs));
    return first.get(layer);
  }

  /// All layers, with the means that take the biases of those that have none.
  List<OnnxLayer> withMeans() throws FormatException {
    List<OnnxLayer> layers = new ArrayList<>();
    for (OnnxLayer layer : found) {
      layers.add(new OnnxLayer(layer.name(), layer.weight(), layer.transposed(), layer.bias(), mean(layer)));
    }
    return layers;
  }

  /// The mean of the batch normalisation behind a layer that one node uses. It must be read there alone, and lie in a file,
  /// as numbers in an attribute do not.
  private Optional<OnnxTensor> mean(OnnxLayer layer) throws FormatException {
    Optional<OnnxNode> norm = uses.get(layer).size() == 1
        ? norm(content, uses.get(layer).getFirst())
        : Optional.empty();
    if (norm.isEmpty()) {
      return Optional.empty();
    }
    long outputs = layer.weight().shape().get(layer.transposed() ? 1 : 0);
    return content.constant(OnnxValues.name(norm.get(), MEAN))
        .filter(mean -> mean.elements() == outputs && mean.data().isNative() && content.uses(mean) == 1)
        .filter(mean -> norm.get().inputs().stream().map(content::tensorName).filter(mean.name()::equals).count() == 1)
        .filter(mean -> LongStream.range(0, outputs).allMatch(i -> Float.isFinite((float) mean.value(i))));
  }

  /// The batch normalisation that alone reads what a node makes, if that is the product of a layer without a bias.
  static Optional<OnnxNode> norm(OnnxContent content, OnnxNode node) throws FormatException {
    boolean isUnbiased = OPERATORS.contains(node.operator()) && hasMatrix(content, node)
        && OnnxValues.name(node, 2).isEmpty() && node.outputs().size() == 1;
    String result = isUnbiased ? node.outputs().getFirst() : "";
    List<OnnxNode> readers = content.readers(result);
    return isUnbiased && readers.size() == 1 && !content.outputs().contains(result)
        ? readers.stream().filter(reader -> reader.operator().equals("BatchNormalization"))
            .filter(reader -> reader.inputs().lastIndexOf(result) == 0).findFirst()
        : Optional.empty();
  }

  /// Refuses a layer whose weights or bias something else reads.
  void requireUnshared() throws FormatException {
    for (Map.Entry<OnnxLayer, List<OnnxNode>> layer : uses.entrySet()) {
      List<OnnxTensor> tensors = new ArrayList<>(List.of(layer.getKey().weight()));
      layer.getKey().bias().ifPresent(tensors::add);
      for (OnnxTensor tensor : tensors) {
        if (content.uses(tensor) != layer.getValue().size()) {
          throw values.refused(layer.getValue().getFirst(),
              "shares its tensor %s with another".formatted(quote(tensor.name())),
              "give each node a tensor of its own");
        }
      }
    }
  }

  /// The Add that alone reads what a node makes, behind Casts to float32 that change nothing, as Keras writes them: these
  /// nodes, the Add last; none if there is no such Add.
  static List<OnnxNode> added(OnnxContent content, OnnxNode node) {
    List<OnnxNode> behind = new ArrayList<>();
    OnnxNode last = node;
    while (behind.size() <= MOST_CASTS && last.outputs().size() == 1) {
      List<OnnxNode> readers = content.readers(last.outputs().getFirst());
      if (readers.size() != 1 || content.outputs().contains(last.outputs().getFirst())) {
        return List.of();
      }
      last = readers.getFirst();
      behind.add(last);
      if (!isCast(last)) {
        return last.operator().equals("Add") ? behind : List.of();
      }
    }
    return List.of();
  }

  /// The node that makes a value, before Casts to float32.
  static Optional<OnnxNode> maker(OnnxContent content, String value) {
    Optional<OnnxNode> maker = content.maker(value);
    for (int i = 0; i < MOST_CASTS && maker.isPresent() && isCast(maker.get()); i++) {
      maker = content.maker(OnnxValues.name(maker.get(), 0));
    }
    return maker;
  }

  /// Whether a node casts to float32.
  static boolean isCast(OnnxNode node) {
    return node.operator().equals("Cast") && node.integer("to", 0) == FLOAT;
  }

  /// The Add behind a MatMul that is its bias.
  private Optional<OnnxNode> taken(OnnxNode node) {
    return added(content, node).stream().filter(taken::contains).reduce((_, last) -> last);
  }

  private Optional<OnnxTensor> bias(OnnxNode node, long outputs) throws FormatException {
    String name = "";
    List<OnnxNode> behind = added(content, node);
    if (node.operator().equals("Gemm")) {
      name = OnnxValues.name(node, 2);
    } else if (!behind.isEmpty()) {
      OnnxNode add = behind.getLast();
      String other = add.inputs().stream().filter(content::isConstant).findFirst().orElse("");
      if (!other.isEmpty() && add.outputs().size() == 1
          && (outputs == 1 || content.constant(other).orElseThrow().elements() != 1)) {
        name = other;
        taken.addAll(behind);
      }
    }
    if (name.isEmpty()) {
      return Optional.empty();
    }
    Optional<OnnxTensor> bias = content.constant(name);
    if (bias.isEmpty() || bias.get().elements() != outputs || bias.get().shape().isEmpty()
        || bias.get().shape().getLast() != outputs) {
      throw values.wrong(node, "has a bias %s that is not of shape [%d]".formatted(quote(name), outputs));
    }
    return bias;
  }
}
