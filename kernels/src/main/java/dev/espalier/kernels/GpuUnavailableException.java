package dev.espalier.kernels;

/// There is no such GPU, no driver, or no kernels in this build. The message says what to do.
public final class GpuUnavailableException extends GpuException {
  private static final long serialVersionUID = 1;

  /// @param message what is missing
  public GpuUnavailableException(String message) {
    super(message);
  }

  /// @param message what is missing
  /// @param cause   how it was noticed
  public GpuUnavailableException(String message, Throwable cause) {
    super(message, cause);
  }
}
