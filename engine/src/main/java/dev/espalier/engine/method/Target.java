package dev.espalier.engine.method;

import dev.espalier.engine.matrix.MatrixView;
import java.math.BigDecimal;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;

/// The target of a pruning: how many weights it removes, and which weights are ranked together.
public sealed interface Target {
  /// How the text of [Neurons] begins.
  String NEURONS = "neurons:";

  /// A fraction of the weights of a scope.
  ///
  /// @param sparsity fraction of the prunable weights that are zero afterwards, 0..1
  record Fraction(double sparsity, Scope scope) implements Target {
    /// @throws IllegalArgumentException if the sparsity is not a fraction
    public Fraction {
      if (!(sparsity >= 0 && sparsity <= 1)) {
        throw new IllegalArgumentException(
            "sparsity %s: use a fraction from 0 to 1, for example 0.9 to remove 90 %% of the weights"
                .formatted(sparsity));
      }
    }

    @Override
    public String toString() {
      String number = BigDecimal.valueOf(sparsity).stripTrailingZeros().toPlainString();
      return scope instanceof Scope.Global ? number : scope + ":" + number;
    }
  }

  /// A fraction of the hidden neurons, which go with all weights that they read and that read them.
  ///
  /// @param sparsity fraction of the [hidden neurons][dev.espalier.engine.network.HiddenNeurons] that nothing reads
  ///                 afterwards, 0..1
  /// @param scope [Scope.Global] or [Scope.PerLayer]
  record Neurons(double sparsity, Scope scope) implements Target {
    /// @throws IllegalArgumentException if the sparsity is not a fraction, or the scope is that of rows
    public Neurons {
      if (!(sparsity >= 0 && sparsity <= 1)) {
        throw new IllegalArgumentException(
            "sparsity %s: use a fraction from 0 to 1, for example 0.5 to remove half of the neurons"
                .formatted(sparsity));
      }
      if (scope instanceof Scope.PerRow) {
        throw new IllegalArgumentException("neurons compete in the scope global or layer, not in rows");
      }
    }

    @Override
    public String toString() {
      return NEURONS + new Fraction(sparsity, scope);
    }
  }

  /// n of every m neighbours in a row stay, as sparse tensor cores need it (2:4). A last group that is narrower keeps
  /// as many, or all that it has.
  ///
  /// @param kept n, 1 up to the group's width
  /// @param groupWidth m, at least 1
  record Pattern(int kept, int groupWidth) implements Target {
    /// @throws IllegalArgumentException if a number is out of its range
    public Pattern {
      if (kept < 1 || kept > groupWidth) {
        throw new IllegalArgumentException(
            "pattern %d:%d: n:m keeps n of every m weights, with 1 ≤ n ≤ m".formatted(kept, groupWidth));
      }
    }

    /// 1 − n/m, where the columns are a multiple of m.
    @Override
    public double sparsity() {
      return 1 - (double) kept / groupWidth;
    }

    @Override
    public String toString() {
      return kept + ":" + groupWidth;
    }
  }

  /// The weights that a mask removes, whatever their importance. It has no text to parse.
  ///
  /// @param layers by the name of the layer, outputs × inputs as its weights: 1 keeps and 0 removes. Other layers are
  ///               left alone. The memory is the caller's, and read as long as the target is used
  record Mask(Map<String, MatrixView> layers) implements Target {
    /// Elements that are checked at a time.
    private static final int CHECKED = 2048;

    /// @throws IllegalArgumentException if there is no layer, or an element is neither 0 nor 1
    public Mask {
      layers = Collections.unmodifiableMap(new LinkedHashMap<>(layers));
      if (layers.isEmpty()) {
        throw new IllegalArgumentException("the mask has no layer");
      }
      layers.forEach(Mask::requireBinary);
    }

    private static void requireBinary(String layer, MatrixView mask) {
      float[] values = new float[(int) Math.min(CHECKED, mask.elements())];
      for (long first = 0; first < mask.elements(); first += values.length) {
        int count = (int) Math.min(values.length, mask.elements() - first);
        mask.load(first, values, count);
        for (int i = 0; i < count; i++) {
          if (values[i] != 0 && values[i] != 1) {
            throw new IllegalArgumentException("the mask of layer %s is %s at [%d, %d], neither 0 nor 1"
                .formatted(layer, values[i], (first + i) / mask.columns(), (first + i) % mask.columns()));
          }
        }
      }
    }

    /// How many weights it removes.
    public long removed() {
      return layers.values().stream().mapToLong(MatrixView::zeros).sum();
    }

    /// Of the weights of its layers.
    @Override
    public double sparsity() {
      return (double) removed() / layers.values().stream().mapToLong(MatrixView::elements).sum();
    }

    @Override
    public String toString() {
      return "mask";
    }
  }

  /// The fraction of weights removed, or of neurons, 0..1.
  double sparsity();

  /// A fraction of all prunable weights.
  ///
  /// @throws IllegalArgumentException if it is not from 0 to 1
  static Target sparsity(double fraction) {
    return new Fraction(fraction, new Scope.Global());
  }

  /// `0.9`, `layer:0.9`, `row:0.9`, `n:m` such as `2:4`, or `neurons:0.5`, `neurons:layer:0.5`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Target parse(String text) {
    Matcher pattern = java.util.regex.Pattern.compile("(\\d{1,6}):(\\d{1,6})").matcher(text);
    if (pattern.matches()) {
      return new Pattern(Integer.parseInt(pattern.group(1)), Integer.parseInt(pattern.group(2)));
    }
    if (text.startsWith(NEURONS) && parse(text.substring(NEURONS.length())) instanceof Fraction(double r, Scope of)) {
      return new Neurons(r, of);
    }
    int colon = text.indexOf(':');
    Scope scope = colon < 0 ? new Scope.Global() : Scope.parse(text.substring(0, colon));
    try {
      return new Fraction(Double.parseDouble(text.substring(colon + 1)), scope);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "unknown target '%s': use a fraction such as 0.9, layer:0.9 or row:0.9, or n:m such as 2:4".formatted(text),
          e);
    }
  }

  /// As [#parse] reads it, unless it is a mask.
  @Override
  String toString();
}
