package dev.espalier.engine.network;

import dev.espalier.engine.MismatchException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntUnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// The structure of a network: a directed acyclic graph of nodes in an order in which they can be computed. Node 0 is
/// the input, the last node is the output y, or several outputs side by side. Its dense nodes are its **layers**, numbered from 0 in the order of the
/// nodes; only they have weights. A **tied** layer is used by several nodes: the first of them has its place in the
/// order, and the others are repeated.
///
/// @param nodes the input first; each reads earlier nodes only
/// @param heads the outputs of a network of several, whose values are the columns of the last node from the first on; empty
///              for one output
public record Graph(List<Node> nodes, List<Head> heads) implements Serializable {
  /// One output of several.
  public record Head(String name, int width) implements Serializable {
    /// For example, `logits (10)`.
    @Override
    public String toString() {
      return "%s (%d)".formatted(name, width);
    }
  }

  /// @throws MismatchException if the nodes make no network: the message says which node does not fit
  public Graph {
    nodes = List.copyOf(nodes);
    heads = List.copyOf(heads);
    if (nodes.stream().noneMatch(Node.Dense.class::isInstance)) {
      throw new MismatchException("a network needs at least one layer");
    }
    Set<Integer> read = new HashSet<>();
    Map<String, Node.Dense> layers = new HashMap<>();
    for (int n = 0; n < nodes.size(); n++) {
      Node node = nodes.get(n);
      require((n == 0) == node instanceof Node.Input,
          "node %d: the input is the first node, and no other".formatted(n));
      for (int input : node.inputs()) {
        requireBefore(n, input);
      }
      read.addAll(node.inputs());
      requireFits(nodes, n, node);
      if (node instanceof Node.Dense dense) {
        Node.Dense first = layers.putIfAbsent(dense.name(), dense);
        if (dense.isRepeated()) {
          requireFits(dense, first);
        } else {
          require(first == null, "two layers are called %s".formatted(dense.name()));
        }
      }
    }
    for (int n = 0; n < nodes.size() - 1; n++) {
      require(read.contains(n), "node %d: no node reads its value, and it is not the last".formatted(n));
    }
    require(
        heads.isEmpty() || (heads.size() > 1 && heads.stream().allMatch(head -> head.width > 0)
            && heads.stream().mapToInt(Head::width).sum() == nodes.getLast().width()),
        "the outputs %s are not the %d numbers of the last node".formatted(heads, nodes.getLast().width()));
  }

  /// A graph of one output.
  ///
  /// @throws MismatchException as that of several
  public Graph(List<Node> nodes) {
    this(nodes, List.of());
  }

  private static void requireFits(List<Node> nodes, int n, Node node) {
    List<Integer> widths = node.inputs().stream().map(input -> nodes.get(input).width()).toList();
    switch (node) {
      case Node.Input(int width) -> require(width > 0, "node %d: a sample needs at least one number".formatted(n));
      case Node.Dense dense -> {
        require(dense.width() > 0, "layer %s has no neurons".formatted(dense.name()));
        require(widths.getFirst() == dense.inputWidth(), "layer %s takes %d inputs, the node before it has %d outputs"
            .formatted(dense.name(), dense.inputWidth(), widths.getFirst()));
      }
      case Node.Activate activate ->
        require(widths.getFirst() == activate.width(), "node %d: an activation changes no width".formatted(n));
      case Node.Add add -> require(!widths.isEmpty() && widths.stream().allMatch(width -> width == add.width()),
          "node %d adds values of the widths %s".formatted(n, widths));
      case Node.Multiply multiply -> require(widths.stream().allMatch(width -> width == multiply.width()),
          "node %d multiplies values of the widths %s".formatted(n, widths));
      case Node.Scale scale -> requireFits(n, scale, widths.getFirst());
      case Node.Normalize normalize -> {
        require(widths.getFirst() == normalize.width(), "node %d: a normalisation changes no width".formatted(n));
        require(normalize.epsilon() > 0 && Double.isFinite(normalize.epsilon()),
            "node %d: the epsilon of a normalisation is above 0, not %s".formatted(n, normalize.epsilon()));
      }
      case Node.Slice slice ->
        require(slice.first() >= 0 && slice.width() > 0 && slice.width() <= widths.getFirst() - slice.first(),
            "node %d takes the features from %d on, %d of them, of a value of %d".formatted(n, slice.first(),
                slice.width(), widths.getFirst()));
      case Node.Sum _ -> {
        // Any value has a sum.
      }
      case Node.Concat concat ->
        require(!widths.isEmpty() && widths.stream().mapToInt(Integer::intValue).sum() == concat.width(),
            "node %d joins values of the widths %s to one of %d".formatted(n, widths, concat.width()));
    }
  }

  private static void requireFits(Node.Dense repeated, Node.Dense first) {
    require(first != null && !first.isRepeated(),
        "layer %s is used again before it is there".formatted(repeated.name()));
    require(first.width() == repeated.width() && first.inputWidth() == repeated.inputWidth(),
        "layer %s is %d × %d, and is used again as %d × %d".formatted(first.name(), first.width(), first.inputWidth(),
            repeated.width(), repeated.inputWidth()));
  }

  private static void requireFits(int n, Node.Scale scale, int width) {
    require(scale.width() == width && scale.shifts().size() == width,
        "node %d scales a value of the width %d by %d factors and %d shifts".formatted(n, width, scale.width(),
            scale.shifts().size()));
    require(Stream.concat(scale.factors().stream(), scale.shifts().stream()).allMatch(Float::isFinite),
        "node %d: factors and shifts are finite".formatted(n));
  }

  private static void requireBefore(int n, int input) {
    require(input >= 0 && input < n, "node %d reads node %d, which does not come before it".formatted(n, input));
  }

  private static void require(boolean condition, String message) {
    if (!condition) {
      throw new MismatchException(message);
    }
  }

  /// A chain of layers: each reads the activation of the layer before it.
  ///
  /// @throws MismatchException if there is no layer, two share a name, the widths do not chain, or softmax stands
  ///                           anywhere but last
  public static Graph chain(List<? extends LayerShape> layers) {
    if (layers.isEmpty()) {
      throw new MismatchException("a network needs at least one layer");
    }
    Builder builder = new Builder(layers.getFirst().inputs());
    int value = 0;
    for (int l = 0; l < layers.size(); l++) {
      LayerShape layer = layers.get(l);
      if (l > 0 && layer.inputs() != layers.get(l - 1).outputs()) {
        throw new MismatchException("layers do not chain: %s takes %d inputs, %s before it has %d outputs"
            .formatted(layer.name(), layer.inputs(), layers.get(l - 1).name(), layers.get(l - 1).outputs()));
      }
      if (!layer.activation().isElementwise() && l < layers.size() - 1) {
        throw new MismatchException(
            "layer %s: %s is only possible as the last activation".formatted(layer.name(), layer.activation()));
      }
      value = builder.dense(layer.name(), value, layer.outputs());
      value = builder.activate(value, layer.activation());
    }
    return builder.build();
  }

  /// Whether each layer reads the activation of the layer before it, as in a [#chain].
  public boolean isChain() {
    return IntStream.range(1, nodes.size()).allMatch(n -> switch (nodes.get(n)) {
      case Node.Dense dense -> dense.input() == n - 1 && !dense.isRepeated();
      case Node.Activate activate -> activate.input() == n - 1 && nodes.get(n - 1) instanceof Node.Dense
          && (activate.activation().isElementwise() || n == output());
      case Node.Input _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Normalize _,Node.Slice _,Node.Sum _,Node.Concat _ ->
        false;
    });
  }

  /// The width of a sample.
  public int inputs() {
    return nodes.getFirst().width();
  }

  /// The width of the output y.
  public int outputs() {
    return nodes.getLast().width();
  }

  /// The number of the last node.
  public int output() {
    return nodes.size() - 1;
  }

  /// The first uses of the layers, in the order of the nodes.
  public List<Node.Dense> layers() {
    return nodes.stream().filter(Graph::isLayer).map(Node.Dense.class::cast).toList();
  }

  private static boolean isLayer(Node node) {
    return node instanceof Node.Dense dense && !dense.isRepeated();
  }

  /// All dense nodes: the uses of all layers, in the order of the nodes.
  public List<Node.Dense> denseNodes() {
    return nodes.stream().filter(Node.Dense.class::isInstance).map(Node.Dense.class::cast).toList();
  }

  /// Weights of all layers, without biases.
  public long weights() {
    return layers().stream().mapToLong(dense -> (long) dense.width() * dense.inputWidth()).sum();
  }

  /// Multiply-adds of one sample in a forward pass: the weights of all layers, as often as they are used.
  public long multiplyAdds() {
    return denseNodes().stream().mapToLong(dense -> (long) dense.width() * dense.inputWidth()).sum();
  }

  /// The node numbers of the layers; of a tied layer, that of its first use.
  public int[] layerNodes() {
    return IntStream.range(0, nodes.size()).filter(n -> isLayer(nodes.get(n))).toArray();
  }

  /// The node numbers of all uses of a layer, ascending.
  ///
  /// @param l the number of the layer
  public int[] uses(int l) {
    String name = layers().get(l).name();
    return IntStream.range(0, nodes.size())
        .filter(n -> nodes.get(n) instanceof Node.Dense dense && dense.name().equals(name)).toArray();
  }

  /// Whether several nodes use a layer.
  ///
  /// @param l the number of the layer
  public boolean isTied(int l) {
    return uses(l).length > 1;
  }

  /// Whether node `n` uses a tied layer.
  boolean usesTied(int n) {
    return nodes.get(n) instanceof Node.Dense dense
        && denseNodes().stream().anyMatch(other -> other.isRepeated() && other.name().equals(dense.name()));
  }

  /// The tied layers and how often each is used, such as `encoder (2 times)`; empty without one.
  public String tiedText() {
    return IntStream.range(0, layers().size()).filter(this::isTied)
        .mapToObj(l -> "%s (%d times)".formatted(layers().get(l).name(), uses(l).length))
        .collect(Collectors.joining(", "));
  }

  /// The numbers of the nodes that read the value of node `n`, one for each time that they do.
  public List<Integer> readers(int n) {
    return IntStream.range(0, nodes.size()).boxed()
        .flatMap(reader -> nodes.get(reader).inputs().stream().filter(input -> input == n).map(_ -> reader)).toList();
  }

  /// The nodes whose values change with those of some nodes, themselves among them.
  public boolean[] downstream(int... of) {
    boolean[] changed = new boolean[nodes.size()];
    for (int n : of) {
      changed[n] = true;
    }
    for (int n = 0; n < changed.length; n++) {
      changed[n] |= nodes.get(n).inputs().stream().anyMatch(input -> changed[input]);
    }
    return changed;
  }

  /// The activation that reads the value of a layer, of its first use if it is tied; identity if there is none.
  ///
  /// @param l the number of the layer
  public Activation activation(int l) {
    return readers(layerNodes()[l]).stream().map(nodes::get).filter(Node.Activate.class::isInstance)
        .map(node -> ((Node.Activate) node).activation()).findFirst().orElse(Activation.IDENTITY);
  }

  /// The activation of the output: identity if the last node is not one.
  public Activation lastActivation() {
    return nodes.getLast() instanceof Node.Activate last ? last.activation() : Activation.IDENTITY;
  }

  /// Whether the output is class probabilities or their logarithms: whether it ends in a softmax.
  public boolean endsInSoftmax() {
    return !lastActivation().isElementwise();
  }

  /// Whether the output can be taken for class probabilities, their logarithms, or logits: whether it is one output of
  /// several numbers, and ends in a softmax or no activation.
  public boolean givesClasses() {
    return heads.isEmpty() && outputs() > 1 && (endsInSoftmax() || lastActivation().equals(Activation.IDENTITY));
  }

  /// Refuses several outputs.
  ///
  /// @param what is defined for one output only
  /// @param instead what to use
  /// @throws MismatchException if there are several
  public void requireOneOutput(Object what, String instead) {
    require(heads.isEmpty(),
        "%s is of one output, and the network has several, %s: use %s".formatted(what, headsText(), instead));
  }

  /// The outputs of a network of several, and their widths.
  public String headsText() {
    return heads.stream().map(Head::toString).collect(Collectors.joining(", "));
  }

  /// The part of a network of several outputs that computes one of them: its nodes in their order, and their layers.
  ///
  /// @throws MismatchException if no output has the name
  public Graph head(String name) {
    int h = heads.stream().map(Head::name).toList().indexOf(name);
    require(h >= 0,
        heads.isEmpty()
            ? "the network has one output, and none called %s".formatted(name)
            : "the network has no output called %s, but %s".formatted(name, headsText()));
    int first = heads.stream().limit(h).mapToInt(Head::width).sum();
    List<Node> all = new ArrayList<>(nodes);
    int end = output();
    if (nodes.getLast() instanceof Node.Concat joined && joined.inputs().size() == heads.size()
        && nodes.get(joined.inputs().get(h)).width() == heads.get(h).width()) {
      end = joined.inputs().get(h);
    } else {
      all.add(new Node.Slice(end, first, heads.get(h).width()));
      end = all.size() - 1;
    }
    boolean[] isPart = new boolean[all.size()];
    isPart[end] = true;
    for (int n = end; n >= 0; n--) {
      if (isPart[n]) {
        all.get(n).inputs().forEach(input -> isPart[input] = true);
      }
    }
    isPart[0] = true;
    int[] places = new int[all.size()];
    Set<String> layers = new HashSet<>();
    List<Node> part = new ArrayList<>();
    for (int n = 0; n <= end; n++) {
      if (isPart[n]) {
        places[n] = part.size();
        part.add(moved(all.get(n), input -> places[input], layers));
      }
    }
    return new Graph(part);
  }

  /// A node with other numbers of those that it reads.
  ///
  /// @param layers that were there before, to which its own is added
  private static Node moved(Node node, IntUnaryOperator places, Set<String> layers) {
    return switch (node) {
      case Node.Input input -> input;
      case Node.Dense(String name, int input, int inputWidth, int width, _) ->
        new Node.Dense(name, places.applyAsInt(input), inputWidth, width, !layers.add(name));
      case Node.Activate(int input, Activation activation, int width) ->
        new Node.Activate(places.applyAsInt(input), activation, width);
      case Node.Add(List<Integer> inputs, int width) -> new Node.Add(moved(inputs, places), width);
      case Node.Multiply(int left, int right, int width) ->
        new Node.Multiply(places.applyAsInt(left), places.applyAsInt(right), width);
      case Node.Scale(int input, List<Float> factors, List<Float> shifts) ->
        new Node.Scale(places.applyAsInt(input), factors, shifts);
      case Node.Normalize(int input, boolean centred, double epsilon, int width) ->
        new Node.Normalize(places.applyAsInt(input), centred, epsilon, width);
      case Node.Slice(int input, int first, int width) -> new Node.Slice(places.applyAsInt(input), first, width);
      case Node.Sum(int input) -> new Node.Sum(places.applyAsInt(input));
      case Node.Concat(List<Integer> inputs, int width) -> new Node.Concat(moved(inputs, places), width);
    };
  }

  private static List<Integer> moved(List<Integer> inputs, IntUnaryOperator places) {
    return inputs.stream().map(places::applyAsInt).toList();
  }

  /// The node of the logits: the one that a softmax at the end reads, or else the output.
  public int logits() {
    return endsInSoftmax() ? nodes.getLast().inputs().getFirst() : output();
  }

  /// Collects nodes; each method returns the number of the node that it adds, and throws a [MismatchException] if that
  /// is to read a node that was not added yet. A graph's last node is its output.
  public static final class Builder {
    private final List<Node> nodes = new ArrayList<>();

    /// @param inputs the width of a sample, which is the value of node 0
    public Builder(int inputs) {
      nodes.add(new Node.Input(inputs));
    }

    /// A dense layer that reads node `input`.
    public int dense(String name, int input, int outputs) {
      return add(new Node.Dense(name, input, width(input), outputs));
    }

    /// The layer of a dense node, once more: it reads node `input` with the same weights and bias.
    ///
    /// @param dense the number of a node of the layer
    public int again(int dense, int input) {
      requireBefore(nodes.size(), dense);
      require(nodes.get(dense) instanceof Node.Dense, "node %d is no layer to be used again".formatted(dense));
      return add(
          new Node.Dense(((Node.Dense) nodes.get(dense)).name(), input, width(input), nodes.get(dense).width(), true));
    }

    /// An activation of node `input`; identity adds no node.
    public int activate(int input, Activation activation) {
      return activation.equals(Activation.IDENTITY) ? input : add(new Node.Activate(input, activation, width(input)));
    }

    /// The sum of nodes.
    public int add(Integer... inputs) {
      return add(new Node.Add(List.of(inputs), inputs.length == 0 ? 0 : width(inputs[0])));
    }

    /// The product of two nodes, element by element.
    public int multiply(int left, int right) {
      return add(new Node.Multiply(left, right, width(left)));
    }

    /// Node `input` times constant factors, plus constant shifts, one of each for each feature.
    public int scale(int input, List<Float> factors, List<Float> shifts) {
      requireBefore(nodes.size(), input);
      return add(new Node.Scale(input, factors, shifts));
    }

    /// Node `input` normalised by rows.
    ///
    /// @param centred whether the mean is subtracted
    /// @param epsilon what is added to the variance, above 0
    public int normalize(int input, boolean centred, double epsilon) {
      return add(new Node.Normalize(input, centred, epsilon, width(input)));
    }

    /// Features `first` to `first + width − 1` of node `input`.
    public int slice(int input, int first, int width) {
      requireBefore(nodes.size(), input);
      return add(new Node.Slice(input, first, width));
    }

    /// The sum of the features of node `input`.
    public int sum(int input) {
      requireBefore(nodes.size(), input);
      return add(new Node.Sum(input));
    }

    /// The values of nodes side by side.
    public int concat(Integer... inputs) {
      return add(new Node.Concat(List.of(inputs), List.of(inputs).stream().mapToInt(this::width).sum()));
    }

    /// A node that was added.
    public Node node(int n) {
      requireBefore(nodes.size(), n);
      return nodes.get(n);
    }

    private int width(int input) {
      requireBefore(nodes.size(), input);
      return nodes.get(input).width();
    }

    private int add(Node node) {
      nodes.add(node);
      return nodes.size() - 1;
    }

    /// The graph.
    ///
    /// @throws MismatchException if the nodes make no network
    public Graph build() {
      return new Graph(nodes);
    }

    /// The graph of a network of several outputs.
    ///
    /// @param heads the outputs, which the last node has side by side
    /// @throws MismatchException if the nodes make no network
    public Graph build(List<Head> heads) {
      return new Graph(nodes, heads);
    }
  }
}
