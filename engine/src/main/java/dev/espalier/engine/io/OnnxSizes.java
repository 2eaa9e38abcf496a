package dev.espalier.engine.io;

import dev.espalier.engine.io.OnnxValues.Value;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.LongBinaryOperator;

/// Whole numbers that nodes of an ONNX model compute of the shapes of values, as exporters write parts and reshapes of
/// values whose number of samples varies. The number of features is known, and what is computed of it.
final class OnnxSizes {
  private static final Set<String> SAME = Set.of("Identity", "Cast", "Squeeze", "Unsqueeze");
  private static final Map<String, LongBinaryOperator> ARITHMETIC = Map.of("Add", (a, b) -> a + b, "Sub",
      (a, b) -> a - b, "Mul", (a, b) -> a * b, "Div", (a, b) -> b == 0 ? 0 : a / b);
  private static final Size UNKNOWN = new Size(OptionalLong.empty(), false);
  private static final Size SAMPLES = new Size(OptionalLong.empty(), true);
  private static final int MOST_SIZES = 64;

  private final OnnxContent content;
  private final OnnxValues values;
  private final Map<String, List<Size>> sizes = new HashMap<>();

  /// A dimension, or what is computed of some.
  ///
  /// @param value     if it is known
  /// @param isSamples whether it is the number of samples
  record Size(OptionalLong value, boolean isSamples) {
    static Size of(long value) {
      return new Size(OptionalLong.of(value), false);
    }
  }

  OnnxSizes(OnnxValues values) {
    content = values.content();
    this.values = values;
  }

  /// Whether a node computes sizes, which then are known by the name of its output.
  boolean take(OnnxNode node) throws FormatException {
    if (node.outputs().size() != 1 || node.inputs().isEmpty()) {
      return false;
    }
    Optional<List<Size>> made = node.operator().equals("Shape")
        ? shape(node)
        : node.inputs().stream().anyMatch(sizes::containsKey) ? computed(node) : Optional.empty();
    made.ifPresent(all -> sizes.put(node.outputs().getFirst(), all));
    return made.isPresent();
  }

  /// The sizes of this name, computed or constant; empty if there are none.
  Optional<List<Size>> of(String name) throws FormatException {
    if (sizes.containsKey(name) || !content.isConstant(name)) {
      return Optional.ofNullable(sizes.get(name));
    }
    Optional<OnnxTensor> constant = content.constant(name)
        .filter(tensor -> tensor.dtype() == DType.I64 || tensor.dtype() == DType.I32)
        .filter(tensor -> tensor.shape().size() <= 1 && tensor.elements() <= MOST_SIZES);
    return constant.isEmpty() ? Optional.empty() : Optional.of(content.integers(name).stream().map(Size::of).toList());
  }

  /// As those of the content, of constants or of sizes that are known.
  List<Long> integers(OnnxNode node, String attribute, int input) throws FormatException {
    List<Size> computed = sizes.getOrDefault(OnnxValues.name(node, input), List.of());
    boolean isKnown = !computed.isEmpty() && computed.stream().allMatch(size -> size.value.isPresent());
    return isKnown
        ? computed.stream().map(size -> size.value.getAsLong()).toList()
        : content.integers(node, attribute, input);
  }

  /// The dimensions of a value of the network, of which those between the first and the last are not known.
  private Optional<List<Size>> shape(OnnxNode node) {
    if (!values.has(node.inputs().getFirst()) || node.attribute("start").isPresent()
        || node.attribute("end").isPresent()) {
      return Optional.empty();
    }
    Value value = values.value(node.inputs().getFirst());
    boolean isUnflattened = value.rank() == OnnxValues.UNFLATTENED;
    int rank = isUnflattened || value.rank() == 0 ? MOST_SIZES : value.rank();
    if (rank > MOST_SIZES) {
      return Optional.empty();
    }
    List<Size> dimensions = new ArrayList<>(Collections.nCopies(rank, UNKNOWN));
    dimensions.set(rank - 1, isUnflattened ? UNKNOWN : Size.of(value.width()));
    dimensions.set(0, SAMPLES);
    return Optional.of(dimensions);
  }

  private Optional<List<Size>> computed(OnnxNode node) throws FormatException {
    List<List<Size>> read = new ArrayList<>();
    for (String name : node.inputs()) {
      Optional<List<Size>> each = of(name);
      if (each.isEmpty()) {
        return Optional.empty();
      }
      read.add(each.get());
    }
    if (SAME.contains(node.operator())) {
      return Optional.of(read.getFirst());
    }
    boolean isAlongFirst = node.integer("axis", 0) == 0;
    return switch (node.operator()) {
      case "Gather" -> isAlongFirst && read.size() == 2 ? gathered(read.getFirst(), read.getLast()) : Optional.empty();
      case "Concat" -> Optional.of(read.stream().flatMap(List::stream).toList())
          .filter(all -> isAlongFirst && all.size() <= MOST_SIZES);
      default -> read.size() == 2 && ARITHMETIC.containsKey(node.operator())
          ? combined(ARITHMETIC.get(node.operator()), read.getFirst(), read.getLast())
          : Optional.empty();
    };
  }

  private static Optional<List<Size>> gathered(List<Size> from, List<Size> indices) {
    List<Size> gathered = new ArrayList<>();
    for (Size index : indices) {
      long at = index.value.orElse(from.size());
      at += at < 0 ? from.size() : 0;
      if (at < 0 || at >= from.size()) {
        return Optional.empty();
      }
      gathered.add(from.get((int) at));
    }
    return Optional.of(gathered);
  }

  private static Optional<List<Size>> combined(LongBinaryOperator operator, List<Size> left, List<Size> right) {
    int count = Math.max(left.size(), right.size());
    boolean fits = count > 0 && (left.size() == count || left.size() == 1)
        && (right.size() == count || right.size() == 1);
    List<Size> combined = new ArrayList<>();
    for (int i = 0; fits && i < count; i++) {
      OptionalLong a = left.get(left.size() == 1 ? 0 : i).value;
      OptionalLong b = right.get(right.size() == 1 ? 0 : i).value;
      combined
          .add(a.isPresent() && b.isPresent() ? Size.of(operator.applyAsLong(a.getAsLong(), b.getAsLong())) : UNKNOWN);
    }
    return fits ? Optional.of(combined) : Optional.empty();
  }
}
