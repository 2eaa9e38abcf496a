package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/// Tensors of an ONNX model that are no initializers of its graph: those in attributes of nodes, such as a Constant's,
/// and all within inner graphs and functions. They are only written where they lie.
final class OnnxInner {
  private static final int MODEL_TRAINING = 20;
  private static final int TRAINING_INITIALIZATION = 1;
  private static final int TRAINING_ALGORITHM = 2;
  private static final int MODEL_FUNCTION = 25;
  private static final int FUNCTION_NODE = 7;
  private static final int NODE_ATTRIBUTE = 5;
  private static final int TENSOR = 5;
  private static final int GRAPH = 6;
  private static final int TENSORS = 10;
  private static final int GRAPHS = 11;
  private static final int SPARSE_TENSOR = 22;
  private static final int SPARSE_TENSORS = 23;
  private static final int SPARSE_VALUES = 1;
  private static final int SPARSE_INDICES = 2;
  private static final int MOST_DEPTH = 64;

  private final Path path;
  private final Path target;

  private OnnxInner(Path path, Path target) {
    this.path = path;
    this.target = target;
  }

  /// Refuses such tensors whose elements lie in another file, because nothing would write them.
  ///
  /// @param target the file that is to be written
  /// @throws FormatException if there is one; the message names the node
  static void requireInside(Path path, MemorySegment content, Path target) throws FormatException {
    OnnxInner inner = new OnnxInner(path, target);
    Protobuf model = Protobuf.parse(path, content);
    for (Protobuf graph : model.messages(path, OnnxContent.MODEL_GRAPH)) {
      inner.nodes(graph, OnnxContent.GRAPH_NODE, 0);
    }
    for (Protobuf function : model.messages(path, MODEL_FUNCTION)) {
      inner.nodes(function, FUNCTION_NODE, 0);
    }
    for (Protobuf training : model.messages(path, MODEL_TRAINING)) {
      inner.graphs(training, TRAINING_INITIALIZATION, "of the training", 0);
      inner.graphs(training, TRAINING_ALGORITHM, "of the training", 0);
    }
  }

  private void nodes(Protobuf graph, int field, int depth) throws FormatException {
    if (depth > MOST_DEPTH) {
      throw new FormatException(path, "has more than %d graphs within each other".formatted(MOST_DEPTH));
    }
    for (Protobuf message : graph.messages(path, field)) {
      OnnxNode node = OnnxNode.of(path, message);
      String owner = "of node %s (%s)".formatted(quote(node.label()), node.operator());
      for (Protobuf attribute : message.messages(path, NODE_ATTRIBUTE)) {
        for (int tensors : new int[]{TENSOR, TENSORS}) {
          tensors(attribute, tensors, owner);
        }
        for (int sparse : new int[]{SPARSE_TENSOR, SPARSE_TENSORS}) {
          sparse(attribute, sparse, owner);
        }
        for (int graphs : new int[]{GRAPH, GRAPHS}) {
          graphs(attribute, graphs, owner, depth);
        }
      }
    }
  }

  private void graphs(Protobuf message, int field, String owner, int depth) throws FormatException {
    for (Protobuf graph : message.messages(path, field)) {
      tensors(graph, OnnxContent.GRAPH_INITIALIZER, owner);
      sparse(graph, OnnxContent.GRAPH_SPARSE_INITIALIZER, owner);
      nodes(graph, OnnxContent.GRAPH_NODE, depth + 1);
    }
  }

  private void sparse(Protobuf message, int field, String owner) throws FormatException {
    for (Protobuf sparse : message.messages(path, field)) {
      tensors(sparse, SPARSE_VALUES, owner);
      tensors(sparse, SPARSE_INDICES, owner);
    }
  }

  private void tensors(Protobuf message, int field, String owner) throws FormatException {
    for (Protobuf tensor : message.messages(path, field)) {
      if (OnnxExternal.isOutside(tensor)) {
        throw new FormatException(target,
            "not written: a tensor %s lies in another file, which only initializers of the graph can; %s"
                .formatted(owner, "save the model with all its tensors in one file, or with initializers"));
      }
    }
  }
}
