package dev.espalier.engine.backend;

/// A device was asked for that this machine or this build does not have.
public final class DeviceUnavailableException extends IllegalStateException {
  private static final long serialVersionUID = 1;

  DeviceUnavailableException(RuntimeException cause) {
    super(cause.getMessage(), cause);
  }
}
