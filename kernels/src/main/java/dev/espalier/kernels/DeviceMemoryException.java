package dev.espalier.kernels;

/// A GPU or its host has less memory than a caller asked for.
public final class DeviceMemoryException extends GpuException {
  private static final long serialVersionUID = 1;

  /// @param message how much the caller asked for, and how much is free
  public DeviceMemoryException(String message) {
    super(message);
  }

  /// @param message how much the caller asked for, and how much is free
  /// @param cause   the failed allocation
  DeviceMemoryException(String message, Throwable cause) {
    super(message, cause);
  }
}
