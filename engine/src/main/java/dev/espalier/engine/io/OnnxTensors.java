package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// An ONNX model with other tensors in the places of some, which may be of other shapes. All else stays as it is, except
/// that the shapes of values that change are left out, which are optional and would be wrong.
final class OnnxTensors {
  private OnnxTensors() {}

  /// @param changed by their names
  /// @param reshaped names of the values whose shapes change
  /// @param arena takes the memory of the model
  /// @throws FormatException if a tensor is none of the graph's own, or stands among its inputs
  static MemorySegment replace(Path path, MemorySegment content, Map<String, OnnxTensor> changed, Set<String> reshaped,
      Arena arena) throws FormatException {
    return replace(path, content, changed.keySet(), tensor -> Protobuf.field(OnnxContent.GRAPH_INITIALIZER,
        tensor(tensor, changed.get(tensor.text(OnnxContent.TENSOR_NAME)))), reshaped, arena);
  }

  /// The parts of the graph that a tensor becomes.
  interface Replacement {
    List<MemorySegment> of(Protobuf tensor);
  }

  /// As the other.
  ///
  /// @param reshaped names of the values whose shapes change
  static MemorySegment replace(Path path, MemorySegment content, Set<String> names, Replacement replacement,
      Set<String> reshaped, Arena arena) throws FormatException {
    Set<String> left = new HashSet<>(names);
    MemorySegment whole = rewrite(path, content, part -> {
      boolean isTensor = part.number() == OnnxContent.GRAPH_INITIALIZER;
      boolean isInner = part.number() == OnnxContent.GRAPH_VALUE;
      Protobuf named = isTensor || isInner || part.number() == OnnxContent.GRAPH_INPUT
          ? Protobuf.parse(path, part.bytes())
          : new Protobuf(List.of());
      String name = named.text(isTensor ? OnnxContent.TENSOR_NAME : OnnxContent.VALUE_NAME);
      if (!isTensor && !isInner && names.contains(name)) {
        throw new FormatException(path,
            "tensor %s stands among the inputs; export the model with a newer version".formatted(quote(name)));
      } else if (isTensor && left.remove(name)) {
        return replacement.of(named);
      }
      return isInner && reshaped.contains(name) ? List.of() : List.of(part.whole());
    }, arena);
    if (!left.isEmpty()) {
      throw new FormatException(path, "has weights in nodes of the operator Constant; export them as initializers");
    }
    return whole;
  }

  /// What a part of the graph becomes.
  interface Rewriting {
    List<MemorySegment> of(Protobuf.Field part) throws FormatException;
  }

  /// The model with other parts of its graph.
  static MemorySegment rewrite(Path path, MemorySegment content, Rewriting rewriting, Arena arena)
      throws FormatException {
    return Protobuf.joined(parts(path, content, rewriting), arena);
  }

  /// As [#rewrite], in parts.
  static List<MemorySegment> parts(Path path, MemorySegment content, Rewriting rewriting) throws FormatException {
    List<MemorySegment> parts = new ArrayList<>();
    for (Protobuf.Field field : Protobuf.parse(path, content).fields()) {
      if (field.number() != OnnxContent.MODEL_GRAPH) {
        parts.add(field.whole());
        continue;
      }
      List<MemorySegment> graph = new ArrayList<>();
      for (Protobuf.Field part : Protobuf.parse(path, field.bytes()).fields()) {
        graph.addAll(rewriting.of(part));
      }
      parts.addAll(Protobuf.field(OnnxContent.MODEL_GRAPH, graph));
    }
    return parts;
  }

  /// A tensor with other elements and another shape.
  static List<MemorySegment> tensor(Protobuf old, OnnxTensor tensor) {
    List<MemorySegment> parts = new ArrayList<>();
    tensor.shape().forEach(dimension -> parts.add(Protobuf.field(OnnxTensor.DIMS, dimension)));
    for (Protobuf.Field field : old.fields()) {
      if (!OnnxTensor.CONTENT.contains(field.number())) {
        parts.add(field.whole());
      }
    }
    parts.addAll(Protobuf.field(OnnxTensor.RAW_DATA, List.of(tensor.data())));
    return parts;
  }
}
