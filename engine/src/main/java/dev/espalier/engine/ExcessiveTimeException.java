package dev.espalier.engine;

import java.time.Duration;

/// A run would take very long, by an estimate made before it.
public final class ExcessiveTimeException extends EspalierException {
  private static final long serialVersionUID = 1;

  private final Duration estimate;

  /// @param message what would take how long, and why
  public ExcessiveTimeException(String message, Duration estimate) {
    super(message);
    this.estimate = estimate;
  }

  /// How long it would take.
  public Duration estimate() {
    return estimate;
  }
}
