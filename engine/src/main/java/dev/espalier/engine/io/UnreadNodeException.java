package dev.espalier.engine.io;

/// A node of an ONNX model that is not understood. A network may begin behind it ([ModelReading#from]).
public final class UnreadNodeException extends FormatException {
  private static final long serialVersionUID = 1;

  UnreadNodeException(Object where, String problem) {
    super(where, problem);
  }
}
