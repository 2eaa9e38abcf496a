package dev.espalier.kernels;

/// There is no such GPU, no driver, or no kernels in this build. The message says what to do.
public final class GpuUnavailableException extends GpuException {
  private static final long serialVersionUID = 1;

  /// @param message names the missing part
  public GpuUnavailableException(String message) {
    super(message);
  }

  /// @param message names the missing part
  /// @param cause   the failed step
  public GpuUnavailableException(String message, Throwable cause) {
    super(message, cause);
  }
}
