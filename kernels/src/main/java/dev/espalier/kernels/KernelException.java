package dev.espalier.kernels;

/// A kernel was not run, or failed. The message names the kernel with its tile, the launch and the shapes.
public final class KernelException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// @param launch what was asked for
  /// @param reason why it failed
  public KernelException(Launch launch, String reason) {
    super(launch + ": " + reason);
  }
}
