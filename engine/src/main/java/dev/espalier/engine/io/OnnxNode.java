package dev.espalier.engine.io;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A node of an ONNX graph.
///
/// @param label    its name, or else its first output
/// @param operator with its domain, if that is not ONNX's own
record OnnxNode(String label, String operator, List<String> inputs, List<String> outputs,
    Map<String, Protobuf> attributes) {
  private static final int INPUT = 1;
  private static final int OUTPUT = 2;
  private static final int NAME = 3;
  private static final int OPERATOR = 4;
  private static final int ATTRIBUTE = 5;
  private static final int DOMAIN = 7;
  private static final int ATTRIBUTE_NAME = 1;
  private static final int ATTRIBUTE_FLOAT = 2;
  private static final int ATTRIBUTE_INTEGER = 3;
  private static final int ATTRIBUTE_TEXT = 4;
  private static final int ATTRIBUTE_FLOATS = 7;
  private static final int ATTRIBUTE_INTEGERS = 8;

  static OnnxNode of(Path path, Protobuf node) throws FormatException {
    Map<String, Protobuf> attributes = new HashMap<>();
    for (Protobuf attribute : node.messages(path, ATTRIBUTE)) {
      attributes.put(attribute.text(ATTRIBUTE_NAME), attribute);
    }
    List<String> outputs = node.texts(OUTPUT);
    String label = node.text(NAME).isEmpty() && !outputs.isEmpty() ? outputs.getFirst() : node.text(NAME);
    String domain = node.text(DOMAIN);
    boolean isOwn = domain.isEmpty() || domain.equals("ai.onnx") || domain.equals("ai.onnx.ml");
    return new OnnxNode(label, (isOwn ? "" : domain + ".") + node.text(OPERATOR), node.texts(INPUT), outputs,
        attributes);
  }

  Optional<Protobuf> attribute(String name) {
    return Optional.ofNullable(attributes.get(name));
  }

  long integer(String name, long otherwise) {
    return attribute(name).map(attribute -> attribute.integer(ATTRIBUTE_INTEGER).orElse(0)).orElse(otherwise);
  }

  List<Long> integers(Path path, String name) throws FormatException {
    return attributes.containsKey(name) ? attributes.get(name).integers(path, ATTRIBUTE_INTEGERS) : List.of();
  }

  List<Float> numbers(String name) {
    return attribute(name).map(attribute -> attribute.floats(ATTRIBUTE_FLOATS)).orElse(List.of());
  }

  float number(String name, float otherwise) {
    return attribute(name).map(attribute -> Float.intBitsToFloat((int) attribute.integer(ATTRIBUTE_FLOAT).orElse(0)))
        .orElse(otherwise);
  }

  String text(String name) {
    return attribute(name).map(attribute -> attribute.text(ATTRIBUTE_TEXT)).orElse("");
  }
}
