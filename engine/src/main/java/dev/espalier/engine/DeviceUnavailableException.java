package dev.espalier.engine;

/// This machine or this build does not have the requested device.
public final class DeviceUnavailableException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// @param message why, and what to install or correct
  public DeviceUnavailableException(String message, Throwable cause) {
    super(message, cause);
  }
}
