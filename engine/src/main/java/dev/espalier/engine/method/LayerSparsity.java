package dev.espalier.engine.method;

import java.math.BigDecimal;

/// The sparsity of some layers, instead of that of the target.
///
/// @param pattern of the layers' names
/// @param sparsity fraction of the weights of each of them that are zero afterwards, 0..1
public record LayerSparsity(LayerPattern pattern, double sparsity) {
  /// @throws IllegalArgumentException if the sparsity is not a fraction
  public LayerSparsity {
    if (!(sparsity >= 0 && sparsity <= 1)) {
      throw new IllegalArgumentException(
          "sparsity %s of layer %s: use a fraction from 0 to 1".formatted(sparsity, pattern));
    }
  }

  /// `PATTERN=FRACTION`, for example `fc2=0.5`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static LayerSparsity parse(String text) {
    int equals = text.lastIndexOf('=');
    try {
      if (equals > 0) {
        return new LayerSparsity(new LayerPattern(text.substring(0, equals)),
            Double.parseDouble(text.substring(equals + 1)));
      }
    } catch (NumberFormatException _) {
      // Refused below.
    }
    throw new IllegalArgumentException("'%s' is no sparsity of a layer, such as fc2=0.5".formatted(text));
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    return "%s=%s".formatted(pattern, BigDecimal.valueOf(sparsity).stripTrailingZeros().toPlainString());
  }
}
