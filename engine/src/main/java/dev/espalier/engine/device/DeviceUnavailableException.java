package dev.espalier.engine.device;

/// A device was asked for that this machine or this build does not have.
public final class DeviceUnavailableException extends IllegalStateException {
  private static final long serialVersionUID = 1;

  public DeviceUnavailableException(IllegalStateException cause) {
    super(cause.getMessage(), cause);
  }
}
