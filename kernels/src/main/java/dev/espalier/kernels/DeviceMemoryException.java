package dev.espalier.kernels;

/// A GPU or its host has not as much memory as was asked for.
public final class DeviceMemoryException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// @param message how much was asked for, and how much there is
  public DeviceMemoryException(String message) {
    super(message);
  }
}
