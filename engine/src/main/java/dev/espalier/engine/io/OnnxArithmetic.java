package dev.espalier.engine.io;

import dev.espalier.engine.io.OnnxValues.Value;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Nodes of an ONNX model that add, multiply and normalise values, or scale them by constants.
final class OnnxArithmetic {
  /// The same two letters of both, of which the first stays.
  private static final Pattern DOT = Pattern.compile("(\\w)((?!\\1)\\w),\\1\\2->\\1");

  private final OnnxContent content;
  private final OnnxValues values;

  OnnxArithmetic(OnnxValues values) {
    content = values.content();
    this.values = values;
  }

  /// What a node makes; empty if it is none of these.
  Optional<Value> value(OnnxNode node) throws FormatException {
    return switch (node.operator()) {
      case "Add", "Sum" -> Optional.of(sum(node));
      case "Sub" -> Optional.of(difference(node));
      case "Mul" -> Optional.of(product(node));
      case "Div" -> Optional.of(quotient(node));
      case "Pow" -> Optional.of(square(node));
      case "Neg" -> Optional.of(values.scaled(values.input(node, OnnxValues.name(node, 0)), -1));
      case "Cos" -> Optional.of(cosine(node));
      case "PRelu" -> rectified(node);
      case "Einsum" -> Optional.of(dot(node));
      case "Scaler" -> Optional.of(standardized(node));
      case "BatchNormalization" -> Optional.of(batchNormalization(node));
      case "LayerNormalization", "RMSNormalization" -> Optional.of(layerNormalization(node));
      default -> Optional.empty();
    };
  }

  private Value sum(OnnxNode node) throws FormatException {
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      return scaled(node, of.value, ones(of.value), of.constant);
    }
    List<Value> read = values.operands(node);
    values.requireOneWidth(node, read);
    return values.added(values.builder().add(OnnxValues.nodes(read)), read.getFirst().width(), read.getFirst().rank(),
        read);
  }

  private Value difference(OnnxNode node) throws FormatException {
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      boolean isNegated = of.constantFirst;
      List<Double> factors = Collections.nCopies(of.value.width(), isNegated ? -1.0 : 1.0);
      return scaled(node, of.value, factors, isNegated ? of.constant : of.constant.stream().map(c -> -c).toList());
    }
    List<Value> read = values.operands(node);
    values.requireOneWidth(node, read);
    if (read.size() != 2) {
      throw values.wrong(node, "has %d inputs".formatted(read.size()));
    }
    Value negated = values.scaled(read.getLast(), -1);
    return values.added(values.builder().add(read.getFirst().node(), negated.node()), negated.width(), negated.rank(),
        List.of(read.getFirst(), negated));
  }

  private Value product(OnnxNode node) throws FormatException {
    if (node.inputs().stream().anyMatch(content::isConstant)) {
      Operands of = withConstant(node);
      return scaled(node, of.value, of.constant, zeros(of.value));
    }
    List<Value> read = values.operands(node);
    if (read.size() != 2) {
      throw values.wrong(node, "has %d inputs".formatted(read.size()));
    }
    return product(node, read);
  }

  private Value product(OnnxNode node, List<Value> read) throws FormatException {
    values.requireOneWidth(node, read);
    return values.added(values.builder().multiply(read.getFirst().node(), read.getLast().node()),
        read.getFirst().width(), read.getFirst().rank(), read);
  }

  private Value square(OnnxNode node) throws FormatException {
    if (!content.isConstant(OnnxValues.name(node, 1), 2)) {
      throw values.refused(node, "has an exponent other than 2",
          "write the power as products, and export the model again");
    }
    Value read = values.input(node, OnnxValues.name(node, 0));
    return values.added(values.builder().multiply(read.node(), read.node()), read.width(), read.rank(), List.of(read));
  }

  private Value quotient(OnnxNode node) throws FormatException {
    if (!content.isConstant(OnnxValues.name(node, 1))) {
      throw values.refused(node, "divides by what is no constant", "only constant divisors are read");
    }
    Operands of = withConstant(node);
    return scaled(node, of.value, of.constant.stream().map(c -> 1 / c).toList(), zeros(of.value));
  }

  /// cos(z) = sin(z + π/2).
  private Value cosine(OnnxNode node) throws FormatException {
    Value read = values.input(node, OnnxValues.name(node, 0));
    Value shifted = scaled(node, read, ones(read), Collections.nCopies(read.width(), Math.PI / 2));
    return activated(shifted, Activation.of(Kind.SIN));
  }

  /// max(0, z) + slope · min(0, z), with a slope for each feature; empty if there is one for all.
  private Optional<Value> rectified(OnnxNode node) throws FormatException {
    Optional<OnnxTensor> slope = content.constant(OnnxValues.name(node, 1));
    if (slope.isEmpty() || slope.get().elements() == 1) {
      return Optional.empty();
    }
    Value read = values.input(node, OnnxValues.name(node, 0));
    List<Double> factors = values.perFeature(node, read, OnnxValues.name(node, 1)).stream().map(each -> -each).toList();
    Value positive = activated(read, Activation.RELU);
    Value negative = activated(values.scaled(read, -1), Activation.RELU);
    Value sloped = scaled(node, negative, factors, zeros(read));
    return Optional.of(values.added(values.builder().add(positive.node(), sloped.node()), read.width(), read.rank(),
        List.of(positive, sloped)));
  }

  /// log(1 + exp(β z)) / β.
  Value softplus(OnnxNode node, String name, double beta) throws FormatException {
    Value read = values.input(node, name);
    Activation activation = Activation.of(Kind.SOFTPLUS);
    return beta == 1
        ? activated(read, activation)
        : values.scaled(activated(values.scaled(read, beta), activation), 1 / beta);
  }

  private Value activated(Value read, Activation activation) {
    return values.added(values.builder().activate(read.node(), activation), read.width(), read.rank(), List.of(read));
  }

  /// The sum over the features of the products of two values of samples and features.
  private Value dot(OnnxNode node) throws FormatException {
    if (!DOT.matcher(node.text("equation").replace(" ", "")).matches()) {
      throw values.refused(node, "is no \"bi,bi->b\"",
          "no other equation is read; write it with other operators, and export the model again");
    }
    return dot(node, product(node), 1);
  }

  /// The same, with a dimension for its one feature.
  Value dot(OnnxNode node, String left, String right) throws FormatException {
    List<Value> read = List.of(values.input(node, left), values.input(node, right));
    if (read.stream().anyMatch(value -> value.rank() != 2)) {
      throw values.refused(node, "is a dot product of values that are not known to be [samples, features]",
          "give them these two dimensions, and export the model again");
    }
    return dot(node, product(node, read), 2);
  }

  private Value dot(OnnxNode node, Value product, int rank) throws FormatException {
    values.requireFeatures(node, product);
    return values.added(values.builder().sum(product.node()), 1, rank, List.of(product));
  }

  /// (x − offset) · scale, of scikit-learn.
  private Value standardized(OnnxNode node) throws FormatException {
    Value read = values.input(node, OnnxValues.name(node, 0));
    List<Double> offset = numbers(node, "offset", read.width());
    List<Double> scale = numbers(node, "scale", read.width());
    return scaled(node, read, scale,
        IntStream.range(0, read.width()).mapToObj(i -> -offset.get(i) * scale.get(i)).toList());
  }

  /// A number for each feature, or one for all.
  private List<Double> numbers(OnnxNode node, String attribute, int width) throws FormatException {
    List<Double> numbers = node.numbers(attribute).stream().map(Float::doubleValue).toList();
    if (numbers.size() != 1 && numbers.size() != width) {
      throw values.wrong(node, "has %d numbers of %s for %d features".formatted(numbers.size(), attribute, width));
    }
    return numbers.size() == width ? numbers : Collections.nCopies(width, numbers.getFirst());
  }

  /// @param constant an element for each feature of the value
  private record Operands(Value value, List<Double> constant, boolean constantFirst) {}

  /// A value and a constant, which a node of two inputs reads.
  private Operands withConstant(OnnxNode node) throws FormatException {
    boolean isFirst = content.isConstant(OnnxValues.name(node, 0));
    if (node.inputs().size() != 2 || content.isConstant(OnnxValues.name(node, isFirst ? 1 : 0))) {
      throw values.refused(node, "reads no single value of the network beside a constant",
          "fold its constants into one, and export the model again");
    }
    Value value = values.input(node, OnnxValues.name(node, isFirst ? 1 : 0));
    return new Operands(value, values.perFeature(node, value, OnnxValues.name(node, isFirst ? 0 : 1)), isFirst);
  }

  private static List<Double> ones(Value value) {
    return Collections.nCopies(value.width(), 1.0);
  }

  private static List<Double> zeros(Value value) {
    return Collections.nCopies(value.width(), 0.0);
  }

  private Value scaled(OnnxNode node, Value value, List<Double> factors, List<Double> shifts) throws FormatException {
    List<Float> scale = factors.stream().map(Double::floatValue).toList();
    List<Float> shift = shifts.stream().map(Double::floatValue).toList();
    if (!Stream.concat(scale.stream(), shift.stream()).allMatch(Float::isFinite)) {
      throw values.wrong(node, "has constants that are not finite");
    }
    return values.added(values.builder().scale(value.node(), scale, shift), value.width(), value.rank(),
        List.of(value));
  }

  /// In inference: the means and variances are constants.
  private Value batchNormalization(OnnxNode node) throws FormatException {
    Value read = values.input(node, OnnxValues.name(node, 0));
    if (read.rank() != 2 || node.integer("training_mode", 0) != 0 || node.inputs().size() != 5) {
      throw values.refused(node, "is no normalisation of features by constants",
          "export the model in evaluation mode, after model.eval()");
    }
    List<Double> scale = values.perFeature(node, read, OnnxValues.name(node, 1));
    List<Double> shift = values.perFeature(node, read, OnnxValues.name(node, 2));
    List<Double> mean = values.perFeature(node, read, OnnxValues.name(node, 3));
    List<Double> variance = values.perFeature(node, read, OnnxValues.name(node, 4));
    double epsilon = node.number("epsilon", 1e-5f);
    List<Double> factors = BatchNorm.factors(scale, variance, epsilon);
    return scaled(node, read, factors, BatchNorm.shifts(shift, mean, factors));
  }

  private Value layerNormalization(OnnxNode node) throws FormatException {
    Value read = values.features(node, OnnxValues.name(node, 0), node.integer("axis", -1));
    Value normalized = normalized(node, read, node.operator().equals("LayerNormalization"),
        node.number("epsilon", 1e-5f));
    if (OnnxValues.name(node, 1).isEmpty() && OnnxValues.name(node, 2).isEmpty()) {
      return normalized;
    }
    return scaled(node, normalized,
        OnnxValues.name(node, 1).isEmpty() ? ones(read) : values.perFeature(node, read, OnnxValues.name(node, 1)),
        OnnxValues.name(node, 2).isEmpty() ? zeros(read) : values.perFeature(node, read, OnnxValues.name(node, 2)));
  }

  /// A normalisation by rows.
  Value normalized(OnnxNode node, Value read, boolean centred, double epsilon) throws FormatException {
    if (!(epsilon > 0)) {
      throw values.wrong(node, "has an epsilon of %s; it must be above 0".formatted(epsilon));
    }
    return values.added(values.builder().normalize(read.node(), centred, epsilon), read.width(), read.rank(),
        List.of(read));
  }
}
