package dev.espalier.engine.io;

/// A factor by which samples are multiplied: numerator / denominator.
public record Scale(double numerator, double denominator) {
  /// @throws IllegalArgumentException if the factor is not finite, or zero
  public Scale {
    double factor = numerator / denominator;
    if (!Double.isFinite(factor) || factor == 0) {
      throw new IllegalArgumentException("'%s/%s' is not a factor".formatted(numerator, denominator));
    }
  }

  /// A number, or two with a slash between them, for example `1/255`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Scale parse(String text) {
    int slash = text.indexOf('/');
    try {
      return slash < 0
          ? new Scale(Double.parseDouble(text), 1)
          : new Scale(Double.parseDouble(text.substring(0, slash)), Double.parseDouble(text.substring(slash + 1)));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("'%s' is not a factor, for example 1/255 or 0.01".formatted(text), e);
    }
  }

  @Override
  public String toString() {
    return denominator == 1 ? String.valueOf(numerator) : "%s/%s".formatted(numerator, denominator);
  }
}
