package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// An ONNX model with other tensors in the places of some, which may be of other shapes. All else stays as it is, except
/// that the shapes of values within the graph are left out, which are optional and would be wrong.
final class OnnxTensors {
  private OnnxTensors() {}

  /// @param changed by their names
  /// @param arena takes the memory of the model
  /// @throws FormatException if a tensor is none of the graph's own, or stands among its inputs
  static MemorySegment replace(Path path, MemorySegment content, Map<String, OnnxTensor> changed, Arena arena)
      throws FormatException {
    List<MemorySegment> parts = new ArrayList<>();
    int replaced = 0;
    for (Protobuf.Field field : Protobuf.parse(path, content).fields()) {
      if (field.number() != OnnxContent.MODEL_GRAPH) {
        parts.add(field.whole());
        continue;
      }
      List<MemorySegment> graph = new ArrayList<>();
      for (Protobuf.Field part : Protobuf.parse(path, field.bytes()).fields()) {
        boolean isTensor = part.number() == OnnxContent.GRAPH_INITIALIZER;
        String name = isTensor || part.number() == OnnxContent.GRAPH_INPUT
            ? Protobuf.parse(path, part.bytes()).text(isTensor ? OnnxContent.TENSOR_NAME : OnnxContent.VALUE_NAME)
            : "";
        if (part.number() == OnnxContent.GRAPH_INPUT && changed.containsKey(name)) {
          throw new FormatException(path,
              "tensor %s stands among the inputs; export the model with a newer version".formatted(quote(name)));
        } else if (isTensor && changed.containsKey(name)) {
          graph.addAll(Protobuf.field(OnnxContent.GRAPH_INITIALIZER,
              tensor(Protobuf.parse(path, part.bytes()), changed.get(name))));
          replaced++;
        } else if (part.number() != OnnxContent.GRAPH_VALUE) {
          graph.add(part.whole());
        }
      }
      parts.addAll(Protobuf.field(OnnxContent.MODEL_GRAPH, graph));
    }
    if (replaced != changed.size()) {
      throw new FormatException(path, "has weights in nodes of the operator Constant; export them as initializers");
    }
    return Protobuf.joined(parts, arena);
  }

  private static List<MemorySegment> tensor(Protobuf old, OnnxTensor tensor) {
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
