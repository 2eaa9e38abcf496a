package dev.espalier.engine.backend;

/// The constants of Adam [Kingma & Ba 2015].
///
/// @param learningRate above 0
/// @param beta1 decay of the first moment, in [0, 1)
/// @param beta2 decay of the second moment, in [0, 1)
/// @param epsilon added to the root of the second moment, above 0
public record Adam(double learningRate, double beta1, double beta2, double epsilon) {
  /// @throws IllegalArgumentException if a constant is out of its range
  public Adam {
    if (!(learningRate > 0 && beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && epsilon > 0)) {
      throw new IllegalArgumentException(
          "learning rate %s, beta1 %s, beta2 %s, epsilon %s".formatted(learningRate, beta1, beta2, epsilon));
    }
  }

  /// The paper's constants at a learning rate.
  public static Adam of(double learningRate) {
    return new Adam(learningRate, 0.9, 0.999, 1e-8);
  }
}
