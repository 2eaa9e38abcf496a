package dev.espalier.kernels;

/// A kernel could not be launched, or failed. The message names the kernel with its tile, the launch and the shapes.
public final class KernelException extends GpuException {
  private static final long serialVersionUID = 1;

  /// @param launch of the kernel
  /// @param reason why it failed
  public KernelException(Launch launch, String reason) {
    super(launch + ": " + reason);
  }

  /// @param launch of the kernel
  /// @param cause  whose message is the reason
  KernelException(Launch launch, Throwable cause) {
    super(launch + ": " + cause.getMessage(), cause);
  }
}
