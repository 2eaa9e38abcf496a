package dev.espalier.engine.network;

import dev.espalier.engine.matrix.MatrixView;
import java.util.Optional;

/// A fully-connected layer a = φ(x·Wᵀ + b).
///
/// @param name what reports and `--exclude` call it: the prefix of its tensors in a model file
/// @param weights W, outputs × inputs
/// @param bias b, 1 × outputs, where the layer has one
/// @param activation φ
public record DenseLayer(String name, MatrixView weights, Optional<MatrixView> bias,
    Activation activation) implements LayerShape {
  /// @throws IllegalArgumentException if the bias does not fit the weights, or an element is NaN or infinite;
  ///                                  the message names the tensor and the index
  public DenseLayer {
    bias.ifPresent(b -> {
      if (b.rows() != 1 || b.columns() != weights.rows()) {
        throw new IllegalArgumentException("layer %s: the bias has %d elements, the weights have %d rows"
            .formatted(name, b.elements(), weights.rows()));
      }
      requireFinite(name + ".bias", b, false);
    });
    requireFinite(name + ".weight", weights, true);
  }

  @Override
  public int outputs() {
    return weights.rows();
  }

  @Override
  public int inputs() {
    return weights.columns();
  }

  @Override
  public boolean hasBias() {
    return bias.isPresent();
  }

  private static void requireFinite(String tensor, MatrixView matrix, boolean twoIndices) {
    long i = matrix.firstNonFinite();
    if (i >= 0) {
      int row = (int) (i / matrix.columns());
      int column = (int) (i % matrix.columns());
      throw new IllegalArgumentException("tensor %s is %s at [%s]: weights and biases must be finite".formatted(tensor,
          matrix.get(row, column), twoIndices ? row + ", " + column : column));
    }
  }
}
