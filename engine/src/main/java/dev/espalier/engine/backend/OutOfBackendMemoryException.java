package dev.espalier.engine.backend;

/// A matrix does not fit into a backend's memory.
public final class OutOfBackendMemoryException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// @param message what was asked for, what there is, and what to do
  public OutOfBackendMemoryException(String message) {
    super(message);
  }
}
