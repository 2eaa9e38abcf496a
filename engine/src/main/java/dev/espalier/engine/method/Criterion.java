package dev.espalier.engine.method;

/// What the importance of a weight is. The least important weights are removed.
public enum Criterion {
  /// What the best change of the adjacent bias cannot repair of the weight's removal: `W² E[s] Var_s(a)`,
  /// with s the sensitivity of the output to the neuron [Ballini et al. 2026; as factored in METHOD.md].
  ELIMINATION_COMPENSATION("ec"),
  /// |W|
  MAGNITUDE("magnitude"),
  /// |W ∂L/∂W|, with L the mean loss over the labelled calibration samples
  GRADIENT("gradient"),
  /// `|W| √E[a²]` [Sun et al. 2024], with a the weight's input
  WANDA("wanda"),
  /// Uniform random numbers
  RANDOM("random");

  private final String text;

  Criterion(String text) {
    this.text = text;
  }

  /// The criterion that the command line calls `name`, for example `ec`.
  ///
  /// @throws IllegalArgumentException if there is none; the message lists those there are
  public static Criterion parse(String name) {
    for (Criterion criterion : values()) {
      if (criterion.text.equals(name)) {
        return criterion;
      }
    }
    throw new IllegalArgumentException(
        "unknown criterion '%s': use ec, magnitude, gradient, wanda or random".formatted(name));
  }

  /// Whether it looks at calibration samples.
  public boolean needsSamples() {
    return this != MAGNITUDE && this != RANDOM;
  }

  /// Whether it looks at labels.
  public boolean needsLabels() {
    return this == GRADIENT;
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return text;
  }
}
