package dev.espalier.engine.method;

/// What is changed in the network to make up for removed weights.
public enum Compensation {
  /// Nothing.
  NONE,
  /// Each bias gains the sum of Δb of the weights removed from its row [Ballini et al. 2026]; for any set of weights of
  /// one row that is the best single change (METHOD.md, joint compensation).
  BIAS;

  /// `none` or `bias`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Compensation parse(String name) {
    return switch (name) {
      case "none" -> NONE;
      case "bias" -> BIAS;
      default -> throw new IllegalArgumentException("unknown compensation '%s': use none or bias".formatted(name));
    };
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return switch (this) {
      case NONE -> "none";
      case BIAS -> "bias";
    };
  }
}
