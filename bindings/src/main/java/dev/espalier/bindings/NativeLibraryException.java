package dev.espalier.bindings;

/// A native library cannot be used on this machine. The message is one line: which library, why, and what to do.
public final class NativeLibraryException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// @param message one line: which library, why, and what to do
  public NativeLibraryException(String message) {
    super(message);
  }

  NativeLibraryException(String message, Throwable cause) {
    super(message, cause);
  }
}
