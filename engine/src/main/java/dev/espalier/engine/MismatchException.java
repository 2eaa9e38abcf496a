package dev.espalier.engine;

/// Inputs do not fit together: samples and network, labels and loss, or options and layers.
public final class MismatchException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// @param message what does not fit what, with the numbers
  public MismatchException(String message) {
    super(message);
  }
}
