package dev.espalier.engine.io;

import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.Set;

/// Activations and normalisations that exporters write as several nodes, of whose values no others read any but the last.
final class OnnxPatterns {
  /// From here on, log(1 + exp(z)) is z in float32.
  private static final double LEAST_THRESHOLD = 15;

  private final OnnxContent content;
  private final IdentityHashMap<OnnxNode, Match> matches = new IdentityHashMap<>();
  private final Set<OnnxNode> inner = Collections.newSetFromMap(new IdentityHashMap<>());

  /// What several nodes compute.
  sealed interface Function {
    /// An activation.
    record Activated(Activation activation) implements Function {}

    /// A normalisation.
    ///
    /// @param axis along which
    record Normalized(boolean centred, double epsilon, long axis) implements Function {}

    /// log(1 + exp(β z)) / β.
    record Softened(double beta) implements Function {}

    /// The sum over the features of the products with another value.
    record Dotted(String other) implements Function {}
  }

  /// @param input the value that the nodes read
  /// @param inner the nodes before the last
  record Match(String input, Function function, List<OnnxNode> inner) {
    Match(String input, Kind activation, List<OnnxNode> inner) {
      this(input, new Function.Activated(Activation.of(activation)), inner);
    }
  }

  private OnnxPatterns(OnnxContent content) {
    this.content = content;
  }

  /// @param needed nodes of which a pattern may consist
  static OnnxPatterns of(OnnxContent content, Set<OnnxNode> needed) throws FormatException {
    OnnxPatterns patterns = new OnnxPatterns(content);
    for (OnnxNode node : content.nodes()) {
      Optional<Match> match = patterns.gated(node);
      match = match.isPresent() ? match : patterns.gelu(node);
      match = match.isPresent() ? match : patterns.normalization(node);
      match = match.isPresent() ? match : patterns.sine(node);
      match = match.isPresent() ? match : patterns.softplus(node);
      match = match.isPresent() ? match : patterns.softsign(node);
      match = match.isPresent() ? match : patterns.dot(node);
      match.filter(found -> needed.containsAll(found.inner)).ifPresent(found -> {
        patterns.matches.put(node, found);
        patterns.inner.addAll(found.inner);
      });
    }
    return patterns;
  }

  /// The pattern whose last node is `node`.
  Optional<Match> at(OnnxNode node) {
    return Optional.ofNullable(matches.get(node));
  }

  /// Whether `node` is part of a pattern, and not the last.
  boolean isInner(OnnxNode node) {
    return inner.contains(node);
  }

  /// z times a function of z: SiLU, Mish and HardSwish.
  private Optional<Match> gated(OnnxNode node) {
    if (!node.operator().equals("Mul") || node.inputs().size() != 2) {
      return Optional.empty();
    }
    for (int i = 0; i < 2; i++) {
      String z = node.inputs().get(1 - i);
      String gate = node.inputs().get(i);
      Optional<OnnxNode> sigmoid = content.maker(gate, "Sigmoid").filter(of -> of.inputs().equals(List.of(z)));
      if (sigmoid.isPresent()) {
        return Optional.of(new Match(z, Kind.SILU, List.of(sigmoid.get())));
      }
      Optional<OnnxNode> hard = content.maker(gate, "HardSigmoid").filter(of -> of.inputs().equals(List.of(z)))
          .filter(of -> OnnxContent.isNear(of.number("alpha", 0.2f), 1 / 6.0) && of.number("beta", 0.5f) == 0.5f);
      if (hard.isPresent()) {
        return Optional.of(new Match(z, Kind.HARDSWISH, List.of(hard.get())));
      }
      Optional<OnnxNode> tanh = content.maker(gate, "Tanh");
      Optional<OnnxNode> softplus = tanh.flatMap(of -> content.maker(of.inputs().getFirst(), "Softplus"))
          .filter(of -> of.inputs().equals(List.of(z)));
      if (softplus.isPresent()) {
        return Optional.of(new Match(z, Kind.MISH, List.of(tanh.get(), softplus.get())));
      }
    }
    return Optional.empty();
  }

  /// ½ z (1 + erf(z / √2)), or as [#isTanhOf] approximates it, its factors in any order.
  private Optional<Match> gelu(OnnxNode node) throws FormatException {
    Optional<Product> product = node.operator().equals("Mul") ? product(node.inputs(), 2) : Optional.empty();
    if (product.isEmpty() || product.get().factors.size() != 2 || !OnnxContent.isNear(product.get().scale, 0.5)) {
      return Optional.empty();
    }
    List<OnnxNode> nodes = new ArrayList<>(product.get().nodes);
    for (int i = 0; i < 2; i++) {
      String factor = product.get().factors.get(i);
      String z = product.get().factors.get(1 - i);
      if (isErfOf(factor, z, nodes)) {
        return Optional.of(new Match(z, Kind.GELU, nodes));
      }
      if (isTanhOf(factor, z, nodes)) {
        return Optional.of(new Match(z, Kind.GELU_TANH, nodes));
      }
    }
    return Optional.empty();
  }

  /// Products and third powers within each other, taken apart.
  ///
  /// @param scale of the constants of one element
  /// @param factors all others
  private record Product(double scale, List<String> factors, List<OnnxNode> nodes) {}

  /// @param inputs what is multiplied
  /// @param most   factors
  private Optional<Product> product(List<String> inputs, int most) throws FormatException {
    List<OnnxNode> nodes = new ArrayList<>();
    List<String> factors = new ArrayList<>();
    double scale = 1;
    Deque<String> open = new ArrayDeque<>(inputs);
    while (!open.isEmpty() && factors.size() <= most && nodes.size() <= most) {
      String factor = open.pop();
      Optional<OnnxNode> product = content.maker(factor, "Mul");
      Optional<OnnxNode> power = content.maker(factor, "Pow");
      OptionalDouble constant = scalar(factor);
      if (constant.isPresent()) {
        scale *= constant.getAsDouble();
      } else if (product.isPresent()) {
        nodes.add(product.get());
        open.addAll(product.get().inputs());
      } else if (power.isPresent() && content.isConstant(OnnxValues.name(power.get(), 1), 3)) {
        nodes.add(power.get());
        factors.addAll(Collections.nCopies(3, power.get().inputs().getFirst()));
      } else {
        factors.add(factor);
      }
    }
    return open.isEmpty() && factors.size() <= most
        ? Optional.of(new Product(scale, factors, nodes))
        : Optional.empty();
  }

  /// Whether a value is 1 + erf(z / √2); then its nodes join `nodes`.
  private boolean isErfOf(String value, String z, List<OnnxNode> nodes) throws FormatException {
    Optional<OnnxNode> sum = content.maker(value, "Add");
    Optional<OnnxNode> erf = sum.isPresent()
        ? withConstant(sum.get(), 1).flatMap(e -> content.maker(e, "Erf"))
        : Optional.empty();
    if (erf.isEmpty() || erf.get().inputs().size() != 1) {
      return false;
    }
    String argument = erf.get().inputs().getFirst();
    Optional<OnnxNode> quotient = content.maker(argument, "Div").filter(node -> node.inputs().indexOf(z) == 0);
    Optional<OnnxNode> product = content.maker(argument, "Mul");
    Optional<OnnxNode> scaled = quotient.or(() -> product);
    double factor = quotient.isPresent() ? Math.sqrt(2) : Math.sqrt(0.5);
    if (scaled.isEmpty() || !withConstant(scaled.get(), factor).equals(Optional.of(z))) {
      return false;
    }
    nodes.addAll(List.of(sum.get(), erf.get(), scaled.get()));
    return true;
  }

  /// Whether a value is 1 + tanh(√(2/π) (z + 0.044715 z³)); then its nodes join `nodes`.
  private boolean isTanhOf(String value, String z, List<OnnxNode> nodes) throws FormatException {
    Optional<OnnxNode> sum = content.maker(value, "Add");
    Optional<OnnxNode> tanh = sum.isPresent()
        ? withConstant(sum.get(), 1).flatMap(t -> content.maker(t, "Tanh"))
        : Optional.empty();
    Optional<OnnxNode> scaled = tanh.flatMap(of -> content.maker(of.inputs().getFirst(), "Mul"));
    Optional<OnnxNode> polynomial = scaled.isPresent()
        ? withConstant(scaled.get(), Math.sqrt(2 / Math.PI)).flatMap(p -> content.maker(p, "Add"))
        : Optional.empty();
    if (polynomial.isEmpty() || polynomial.get().inputs().size() != 2 || !polynomial.get().inputs().contains(z)) {
      return false;
    }
    Optional<Product> cubic = product(List.of(other(polynomial.get(), z)), 3);
    if (cubic.isEmpty() || !cubic.get().factors.equals(List.of(z, z, z))
        || !OnnxContent.isNear(cubic.get().scale, 0.044715)) {
      return false;
    }
    nodes.addAll(List.of(sum.get(), tanh.get(), scaled.get(), polynomial.get()));
    nodes.addAll(cubic.get().nodes);
    return true;
  }

  /// The other input of a node of two, of which one is a constant about equal to `expected`.
  private Optional<String> withConstant(OnnxNode node, double expected) throws FormatException {
    for (int i = 0; i < 2 && node.inputs().size() == 2; i++) {
      if (content.isConstant(node.inputs().get(i), expected)) {
        return Optional.of(node.inputs().get(1 - i));
      }
    }
    return Optional.empty();
  }

  /// sin(p z).
  private Optional<Match> sine(OnnxNode node) throws FormatException {
    Optional<OnnxNode> product = node.operator().equals("Sin")
        ? content.maker(node.inputs().getFirst(), "Mul")
        : Optional.empty();
    for (int i = 0; product.isPresent() && i < 2 && product.get().inputs().size() == 2; i++) {
      Optional<OnnxTensor> factor = content.constant(product.get().inputs().get(i));
      double frequency = factor.isPresent() && factor.get().elements() == 1 ? factor.get().value(0) : 0;
      if (Double.isFinite(frequency) && frequency != 0) {
        return Optional.of(new Match(product.get().inputs().get(1 - i),
            new Function.Activated(new Activation(Kind.SIN, OnnxActivations.decimal(frequency))),
            product.stream().toList()));
      }
    }
    return Optional.empty();
  }

  /// z where β z is above a threshold, elsewhere log(1 + exp(β z)) / β, which there differs by less than float32 holds.
  private Optional<Match> softplus(OnnxNode node) throws FormatException {
    Optional<OnnxNode> greater = node.operator().equals("Where") && node.inputs().size() == 3
        ? content.maker(node.inputs().getFirst(), "Greater").filter(of -> of.inputs().size() == 2)
        : Optional.empty();
    if (greater.isEmpty() || scalar(greater.get().inputs().get(1)).orElse(0) < LEAST_THRESHOLD) {
      return Optional.empty();
    }
    String z = node.inputs().get(1);
    String scaled = greater.get().inputs().getFirst();
    List<OnnxNode> nodes = new ArrayList<>(List.of(greater.get()));
    Optional<OnnxNode> quotient = content.maker(node.inputs().get(2), "Div");
    double divisor = quotient.isPresent() ? scalar(OnnxValues.name(quotient.get(), 1)).orElse(0) : 1;
    quotient.ifPresent(nodes::add);
    Optional<OnnxNode> softplus = content
        .maker(quotient.isPresent() ? quotient.get().inputs().getFirst() : node.inputs().get(2), "Softplus")
        .filter(of -> of.inputs().equals(List.of(scaled)));
    softplus.ifPresent(nodes::add);
    double factor = 1;
    if (!scaled.equals(z)) {
      Optional<OnnxNode> product = content.maker(scaled).filter(of -> of.operator().equals("Mul"))
          .filter(of -> of.inputs().size() == 2 && of.inputs().contains(z) && of.outputs().size() == 1)
          .filter(_ -> !content.outputs().contains(scaled) && nodes.containsAll(content.readers(scaled)));
      factor = product.isPresent() ? scalar(other(product.get(), z)).orElse(0) : 0;
      product.ifPresent(nodes::add);
    }
    boolean isSoftplus = softplus.isPresent() && factor > 0 && OnnxContent.isNear(divisor, factor);
    return isSoftplus && Double.isFinite(factor)
        ? Optional.of(new Match(z, new Function.Softened(factor), nodes))
        : Optional.empty();
  }

  /// z / (1 + |z|).
  private Optional<Match> softsign(OnnxNode node) throws FormatException {
    Optional<OnnxNode> sum = node.operator().equals("Div") && node.inputs().size() == 2
        ? content.maker(node.inputs().getLast(), "Add")
        : Optional.empty();
    Optional<OnnxNode> absolute = sum.isPresent()
        ? withConstant(sum.get(), 1).flatMap(value -> content.maker(value, "Abs"))
        : Optional.empty();
    String z = OnnxValues.name(node, 0);
    return absolute.filter(of -> of.inputs().equals(List.of(z)))
        .map(of -> new Match(z, Kind.SOFTSIGN, List.of(sum.get(), of)));
  }

  /// The dot product of two values of samples and features, as a product of matrices [n, 1, k] and [n, k, 1] without one of
  /// its last two dimensions.
  private Optional<Match> dot(OnnxNode node) throws FormatException {
    List<OnnxNode> nodes = new ArrayList<>();
    if (!node.operator().equals("Squeeze") || !isAlong(node, 1, 2)) {
      return Optional.empty();
    }
    Optional<OnnxNode> product = behindCasts(node.inputs().getFirst(), "MatMul", nodes);
    if (product.isEmpty() || product.get().inputs().size() != 2) {
      return Optional.empty();
    }
    Optional<OnnxNode> row = behindCasts(product.get().inputs().getFirst(), "Unsqueeze", nodes);
    Optional<OnnxNode> column = behindCasts(product.get().inputs().getLast(), "Unsqueeze", nodes);
    return row.isPresent() && column.isPresent() && isAlong(row.get(), 1) && isAlong(column.get(), 2)
        ? Optional
            .of(new Match(row.get().inputs().getFirst(), new Function.Dotted(column.get().inputs().getFirst()), nodes))
        : Optional.empty();
  }

  /// The node that makes a value, which is the operator's alone, before Casts to float32; all of these join `nodes`.
  private Optional<OnnxNode> behindCasts(String value, String operator, List<OnnxNode> nodes) {
    String made = value;
    Optional<OnnxNode> cast = content.maker(made, "Cast").filter(OnnxLayers::isCast);
    for (int i = 0; i < OnnxLayers.MOST_CASTS && cast.isPresent(); i++) {
      nodes.add(cast.get());
      made = OnnxValues.name(cast.get(), 0);
      cast = content.maker(made, "Cast").filter(OnnxLayers::isCast);
    }
    Optional<OnnxNode> node = content.maker(made, operator);
    node.ifPresent(nodes::add);
    return node;
  }

  /// Whether a node adds or leaves out one of some dimensions of three.
  private boolean isAlong(OnnxNode node, int... dimensions) throws FormatException {
    List<Long> attribute = node.integers(content.path(), "axes");
    OptionalDouble input = scalar(OnnxValues.name(node, 1));
    double axis = attribute.size() == 1 ? attribute.getFirst() : input.orElse(Double.NaN);
    return Arrays.stream(dimensions).anyMatch(dimension -> axis == dimension || axis == dimension - 3);
  }

  private static String other(OnnxNode node, String input) {
    return node.inputs().get(node.inputs().getFirst().equals(input) ? 1 : 0);
  }

  /// The element of a constant of one.
  private OptionalDouble scalar(String name) throws FormatException {
    Optional<OnnxTensor> constant = content.constant(name).filter(tensor -> tensor.elements() == 1);
    return constant.isPresent() ? OptionalDouble.of(constant.get().value(0)) : OptionalDouble.empty();
  }

  /// d / √(mean(d²) + ε), with d = x − mean(x) or x itself: a quotient, or a product with a reciprocal.
  private Optional<Match> normalization(OnnxNode node) throws FormatException {
    for (int i = 0; i < node.inputs().size() && node.inputs().size() == 2; i++) {
      List<OnnxNode> nodes = new ArrayList<>();
      String d = node.inputs().get(i);
      String divisor = node.inputs().get(1 - i);
      if (node.operator().equals("Mul")) {
        Optional<OnnxNode> inverse = content.maker(divisor, "Reciprocal").or(() -> content.maker(divisor, "Div"));
        boolean isOne = inverse.isPresent() && (inverse.get().operator().equals("Reciprocal")
            || content.isConstant(inverse.get().inputs().getFirst(), 1));
        if (!isOne) {
          continue;
        }
        nodes.add(inverse.get());
      } else if (!node.operator().equals("Div") || i > 0) {
        continue;
      }
      Optional<Match> match = normalization(node, d, nodes.isEmpty() ? divisor : nodes.getFirst().inputs().getLast(),
          nodes);
      if (match.isPresent()) {
        return match;
      }
    }
    return Optional.empty();
  }

  /// @param root   √(mean(d²) + ε), if it is that
  /// @param nodes  gain those of the pattern
  private Optional<Match> normalization(OnnxNode last, String d, String root, List<OnnxNode> nodes)
      throws FormatException {
    Optional<OnnxNode> sqrt = content.maker(root, "Sqrt");
    Optional<OnnxNode> sum = sqrt.flatMap(node -> content.maker(node.inputs().getFirst(), "Add"));
    Optional<OnnxNode> mean = Optional.empty();
    double epsilon = 0;
    for (int i = 0; sum.isPresent() && i < 2 && sum.get().inputs().size() == 2; i++) {
      Optional<OnnxTensor> constant = content.constant(sum.get().inputs().get(i));
      if (constant.isPresent() && constant.get().elements() == 1) {
        epsilon = constant.get().value(0);
        mean = content.maker(sum.get().inputs().get(1 - i), "ReduceMean");
      }
    }
    if (mean.isEmpty() || !(epsilon > 0)) {
      return Optional.empty();
    }
    String squares = mean.get().inputs().getFirst();
    Optional<OnnxNode> power = content.maker(squares, "Pow");
    Optional<OnnxNode> square = power.isPresent() ? power : content.maker(squares, "Mul");
    boolean isSquare = square.isPresent() && square.get().inputs().size() == 2
        && square.get().inputs().getFirst().equals(d)
        && (power.isPresent()
            ? content.isConstant(square.get().inputs().get(1), 2)
            : square.get().inputs().get(1).equals(d));
    OptionalLong axis = axis(mean.get());
    if (!isSquare || axis.isEmpty()) {
      return Optional.empty();
    }
    nodes.addAll(List.of(sqrt.get(), sum.get(), mean.get(), square.get()));
    Optional<OnnxNode> difference = content.maker(d).filter(node -> node.operator().equals("Sub"))
        .filter(node -> node.inputs().size() == 2 && node.outputs().size() == 1 && !content.outputs().contains(d)
            && content.readers(d).stream().allMatch(reader -> reader.equals(last) || nodes.contains(reader)));
    Optional<OnnxNode> centre = difference.flatMap(node -> content.maker(node.inputs().get(1), "ReduceMean"));
    boolean isCentred = centre.isPresent()
        && centre.get().inputs().getFirst().equals(difference.get().inputs().getFirst())
        && axis(centre.get()).equals(axis);
    if (isCentred) {
      nodes.addAll(List.of(difference.get(), centre.get()));
    }
    return Optional.of(new Match(isCentred ? difference.get().inputs().getFirst() : d,
        new Function.Normalized(isCentred, epsilon, axis.getAsLong()), nodes));
  }

  /// The only axis along which a mean is taken that keeps it.
  private OptionalLong axis(OnnxNode mean) throws FormatException {
    List<Long> axes = content.integers(mean, "axes", 1);
    return axes.size() == 1 && mean.integer("keepdims", 1) == 1
        ? OptionalLong.of(axes.getFirst())
        : OptionalLong.empty();
  }
}
