package dev.espalier.engine;

/// A device does not support the requested precision.
public final class UnsupportedPrecisionException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// @param precision its name, for example `bf16`
  /// @param reason what the device lacks
  public UnsupportedPrecisionException(String precision, String reason) {
    super("precision %s: %s".formatted(precision, reason));
  }
}
