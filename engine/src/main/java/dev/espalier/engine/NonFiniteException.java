package dev.espalier.engine;

/// A result is NaN or infinite: a score, or the loss of a training that diverged.
public final class NonFiniteException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// @param message which result, where, and the likely cause
  public NonFiniteException(String message) {
    super(message);
  }
}
