package dev.espalier.bindings;

/// A native function returned a status other than success. The message is one line: the function, the status, its name
/// where the library has one, and the arguments where they help.
public final class NativeCallException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// The function that failed.
  private final String function;
  /// The status that it returned.
  private final int status;

  NativeCallException(String function, int status) {
    this(function, status, "", "");
  }

  /// @param function  that failed
  /// @param status    that it returned
  /// @param name      of the status, empty if the library has none
  /// @param arguments of the call, empty if they do not help
  public NativeCallException(String function, int status, String name, String arguments) {
    super("%s returned %d%s%s".formatted(function, status, name.isEmpty() ? "" : " (" + name + ")",
        arguments.isEmpty() ? "" : " for " + arguments));
    this.function = function;
    this.status = status;
  }

  /// The function that failed, for example `cublasGemmEx`.
  public String function() {
    return function;
  }

  /// The status that it returned.
  public int status() {
    return status;
  }
}
