package dev.espalier.engine;

/// A device failed during a run, for example a GPU that fell off the bus.
public final class DeviceFailedException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// @param message which device, and what it reported
  public DeviceFailedException(String message, Throwable cause) {
    super(message, cause);
  }
}
