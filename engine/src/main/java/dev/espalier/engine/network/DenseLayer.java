package dev.espalier.engine.network;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.util.Optional;

/// A fully-connected layer a = φ(x·Wᵀ + b).
///
/// @param name used in reports and exclusion patterns: the prefix of its tensors in a model file
/// @param weights W, outputs × inputs
/// @param bias b, 1 × outputs, where the layer has one
/// @param activation φ
public record DenseLayer(String name, MatrixView weights, Optional<MatrixView> bias,
    Activation activation) implements LayerShape {
  /// @throws MismatchException if the bias does not fit the weights, or the slope of a PReLU is not known
  public DenseLayer {
    if (activation.equals(Activation.PRELU)) {
      throw new MismatchException(
          "layer %s: the slope of prelu is not known; name a slope, as in leaky_relu:0.25".formatted(name));
    }
    bias.ifPresent(b -> {
      if (b.rows() != 1 || b.columns() != weights.rows()) {
        throw new MismatchException("layer %s: the bias has %s, the weights have %s".formatted(name,
            Nouns.counted(b.elements(), "element"), Nouns.counted(weights.rows(), "row")));
      }
    });
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

  /// The fraction of weights that are zero, 0..1.
  public double sparsity() {
    return (double) weights.zeros() / weights.elements();
  }

  void requireFits(Node.Dense node, Activation follows) {
    if (!node.name().equals(name) || node.width() != outputs() || node.inputWidth() != inputs()
        || !follows.equals(activation)) {
      throw new MismatchException("layer %s, %d × %d, %s, is not layer %s, %d × %d, %s of the graph".formatted(name,
          outputs(), inputs(), activation, node.name(), node.width(), node.inputWidth(), follows));
    }
  }

  void requireFinite() {
    bias.ifPresent(b -> requireFinite(name + ".bias", b, false));
    requireFinite(name + ".weight", weights, true);
  }

  private static void requireFinite(String tensor, MatrixView matrix, boolean twoIndices) {
    long i = matrix.firstNonFinite();
    if (i >= 0) {
      int row = (int) (i / matrix.columns());
      int column = (int) (i % matrix.columns());
      throw new NonFiniteException("tensor %s is %s at [%s]: weights and biases must be finite".formatted(tensor,
          matrix.get(row, column), twoIndices ? row + ", " + column : column));
    }
  }
}
