package dev.espalier.kernels;

/// A GPU failed, or a call to its driver or to one of its libraries did.
public sealed class GpuException extends RuntimeException
    permits DeviceMemoryException, GpuUnavailableException, KernelException {
  private static final long serialVersionUID = 1;

  /// @param message one line, for people
  public GpuException(String message) {
    super(message);
  }

  /// @param message one line, for people
  /// @param cause   the failed call
  public GpuException(String message, Throwable cause) {
    super(message, cause);
  }
}
