package dev.espalier.engine.io;

import dev.espalier.engine.io.OnnxValues.Value;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.IntStream;

/// Nodes of an ONNX model that pick, join, sum or only rename features.
final class OnnxFeatures {
  private final OnnxContent content;
  private final OnnxValues values;
  private final OnnxSizes sizes;
  private final Set<OnnxNode> needed;

  /// @param needed nodes whose values are of use
  OnnxFeatures(OnnxValues values, OnnxSizes sizes, Set<OnnxNode> needed) {
    content = values.content();
    this.values = values;
    this.sizes = sizes;
    this.needed = needed;
  }

  /// What a node makes; empty if it is none of these, or not of features.
  Optional<Value> value(OnnxNode node) throws FormatException {
    return switch (node.operator()) {
      case "Slice" -> Optional.of(slice(node));
      case "ReduceSum", "ReduceMean" -> Optional.of(reduced(node));
      case "Squeeze" -> squeezed(node);
      case "Unsqueeze" -> unsqueezed(node);
      case "Concat" -> Optional.of(concat(node));
      case "Identity", "Dropout" -> Optional.of(values.input(node, 0));
      case "Cast" -> node.integer("to", 0) == 1 ? Optional.of(values.input(node, 0)) : Optional.empty();
      case "Flatten" -> node.integer("axis", 1) == 1 ? flat(values.input(node, 0)) : Optional.empty();
      case "Reshape" -> keepsFeatures(node) ? flat(values.input(node, 0)) : Optional.empty();
      default -> Optional.empty();
    };
  }

  private Value slice(OnnxNode node) throws FormatException {
    List<Long> starts = sizes.integers(node, "starts", 1);
    List<Long> ends = sizes.integers(node, "ends", 2);
    List<Long> axes = sizes.integers(node, "axes", 3);
    List<Long> steps = sizes.integers(node, "steps", 4);
    if (starts.size() != 1 || ends.size() != 1 || axes.size() != 1 || !(steps.isEmpty() || steps.equals(List.of(1L)))) {
      throw values.refused(node, "takes no neighbouring features",
          "slice the features alone, with a step of 1, and export the model again");
    }
    Value read = values.features(node, OnnxValues.name(node, 0), axes.getFirst());
    int first = position(starts.getFirst(), read.width());
    return sliced(node, read, first, position(ends.getFirst(), read.width()) - first);
  }

  /// Counted from the end if it is negative.
  private static int position(long index, int width) {
    return (int) Math.clamp(index < 0 ? index + width : index, 0L, width);
  }

  private Value sliced(OnnxNode node, Value read, int first, int width) throws FormatException {
    if (width < 1 || first < 0 || width > read.width() - first) {
      throw values.wrong(node, "takes %d features from %d on of %d".formatted(width, first, read.width()));
    }
    return values.added(values.builder().slice(read.node(), first, width), width, read.rank(), List.of(read));
  }

  /// Gives the parts that a Split makes.
  void split(OnnxNode node) throws FormatException {
    Value read = values.features(node, OnnxValues.name(node, 0), node.integer("axis", 0));
    List<Long> parts = sizes.integers(node, "split", 1);
    int count = node.outputs().size();
    if (parts.isEmpty()) {
      int each = Math.ceilDiv(read.width(), Math.max(1, count));
      parts = IntStream.range(0, count).mapToObj(i -> (long) Math.min(each, read.width() - i * each)).toList();
    }
    long first = 0;
    for (int i = 0; i < count && parts.size() == count; i++) {
      String output = node.outputs().get(i);
      long size = parts.get(i);
      if (size < 1 || size > read.width() - first) {
        break;
      }
      if (content.outputs().contains(output) || content.readers(output).stream().anyMatch(needed::contains)) {
        values.give(output, sliced(node, read, (int) first, (int) size));
      }
      first += size;
    }
    if (first != read.width() || parts.size() != count) {
      throw values.wrong(node, "splits %d features into %s".formatted(read.width(), parts));
    }
  }

  private Value reduced(OnnxNode node) throws FormatException {
    List<Long> axes = sizes.integers(node, "axes", 1);
    if (axes.size() != 1) {
      throw values.refused(node, "goes along the axes %s".formatted(axes),
          "only the last axis is read, that of the features");
    }
    Value read = values.features(node, OnnxValues.name(node, 0), axes.getFirst());
    boolean keeps = node.integer("keepdims", 1) == 1;
    if (!keeps && read.rank() == 0) {
      throw values.refused(node, "gives up a dimension of values whose dimensions the model does not tell",
          "export the model with the shapes of its inputs");
    }
    Value sum = values.added(values.builder().sum(read.node()), 1, keeps ? read.rank() : read.rank() - 1,
        List.of(read));
    return node.operator().equals("ReduceMean") ? values.scaled(sum, 1.0 / read.width()) : sum;
  }

  /// Without a last dimension of one feature.
  private Optional<Value> squeezed(OnnxNode node) throws FormatException {
    Value read = values.input(node, 0);
    List<Long> axes = sizes.integers(node, "axes", 1);
    boolean fits = read.rank() > 1 && read.width() == 1 && axes.size() == 1
        && OnnxValues.isLastAxis(read, axes.getFirst());
    return fits ? Optional.of(new Value(read.node(), 1, read.rank() - 1)) : Optional.empty();
  }

  /// With such a dimension again.
  private Optional<Value> unsqueezed(OnnxNode node) throws FormatException {
    Value read = values.input(node, 0);
    List<Long> axes = sizes.integers(node, "axes", 1);
    boolean fits = read.rank() == 1 && axes.size() == 1 && (axes.getFirst() == -1 || axes.getFirst() == 1);
    return fits ? Optional.of(new Value(read.node(), 1, 2)) : Optional.empty();
  }

  private Value concat(OnnxNode node) throws FormatException {
    List<Value> read = values.operands(node);
    values.requireLastAxis(node, read.getFirst(), node.integer("axis", 0));
    long width = read.stream().mapToLong(Value::width).sum();
    if (width > OnnxValues.MOST_WIDTH) {
      throw values.refused(node, "is %d wide, and the most is %d".formatted(width, OnnxValues.MOST_WIDTH),
          "prune a narrower network");
    }
    return values.added(values.builder().concat(OnnxValues.nodes(read)), (int) width, read.getFirst().rank(), read);
  }

  /// As a matrix. Only the samples may have had other dimensions, of which the width of the first layer is the product.
  private Optional<Value> flat(Value value) {
    return values.isInput(value) || value.rank() == 2
        ? Optional.of(new Value(value.node(), value.width(), 2))
        : Optional.empty();
  }

  /// Whether a Reshape makes a matrix of a known width, that of what it reads.
  private boolean keepsFeatures(OnnxNode node) throws FormatException {
    List<OnnxSizes.Size> shape = sizes.of(OnnxValues.name(node, 1)).orElse(List.of());
    if (shape.size() != 2) {
      return false;
    }
    Value read = values.input(node, 0);
    OptionalLong width = shape.getLast().value();
    OptionalLong rows = shape.getFirst().value();
    boolean isOfSamples = shape.getFirst().isSamples() || rows.equals(OptionalLong.of(0))
        || (values.isInput(read) && rows.isPresent());
    return width.equals(OptionalLong.of(read.width())) || (width.equals(OptionalLong.of(-1)) && isOfSamples);
  }
}
