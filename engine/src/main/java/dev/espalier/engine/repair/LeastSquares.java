package dev.espalier.engine.repair;

import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;

/// The least-squares fit of the weights that are left in one layer.
///
/// With the covariance H of its inputs a and the covariances C of what its pre-activations lack, e, with its inputs, it
/// finds the change D of the weights that minimises E‖e − D(a − ā)‖² + λ h ‖D‖², where h is the mean of H's diagonal: a
/// bias takes up the means, so it is not part of the search. Rows and columns without weights are in no system; h is the
/// mean over all inputs.
final class LeastSquares {
  /// The spread of an input, relative to its mean, that rounding to float32 may make.
  private static final double CONSTANT = 0x1p-21;

  private LeastSquares() {}

  /// Elements that [#solve] takes.
  static long elements(int outputs, int inputs) {
    return 3L * outputs * inputs + 2L * outputs + inputs;
  }

  /// The change D, by conjugate gradients; 0 where weights are removed.
  ///
  /// @param name the layer's
  /// @param part of the layer's weights, outside which D is 0
  /// @param weights of the part; they stay as they are
  /// @param inputs ā, H's diagonal and, of the part, H, times the number of samples
  /// @param cross C of the part times the number of samples; overwritten
  /// @param damping λ, above 0
  /// @param change D of the part, zeros; written
  /// @throws NonFiniteException if the inputs are too large for their squares
  static void solve(Backend backend, String name, LayerPart part, Matrix weights, LayerSums.Inputs inputs, Matrix cross,
      double damping, int iterations, Matrix change) {
    try (Resources memory = new Resources()) {
      float[] squares = squares(backend, name, inputs);
      double mean = mean(squares);
      if (mean == 0) {
        return; // the inputs are constant: a bias does all that can be done
      }
      Matrix diagonal = memory.own(backend.allocate(1, part.columns()));
      try (Arena arena = Arena.ofConfined()) {
        backend.upload(MatrixView.of(arena, 1, part.columns(), part.ofColumns(squares)), diagonal);
      }
      Matrix direction = memory.own(backend.allocate(part.rows(), part.columns()));
      Matrix product = memory.own(backend.allocate(part.rows(), part.columns()));
      Matrix norms = memory.own(backend.allocate(part.rows(), 2));
      backend.solving().startConjugateGradients(weights, diagonal, damping * mean, cross, direction, norms);
      for (int i = 0; i < iterations; i++) {
        backend.network().product(1, direction, false, inputs.gram(), false, 0, product);
        backend.solving().conjugateGradientStep(weights, diagonal, damping * mean, product, cross, direction, change,
            norms);
      }
    }
  }

  /// The diagonal of H; 0 of an input that is constant, up to rounding.
  private static float[] squares(Backend backend, String name, LayerSums.Inputs inputs) {
    try (Arena arena = Arena.ofConfined()) {
      float[] squares = backend.download(inputs.squares(), arena).toArray();
      float[] means = backend.download(inputs.mean(), arena).toArray();
      for (int j = 0; j < squares.length; j++) {
        if (!Float.isFinite(squares[j])) {
          throw new NonFiniteException(
              "layer %s: the sum of the squares of input %d is not finite: the network's values are too large for a refit"
                  .formatted(name, j));
        }
        double rounding = CONSTANT * means[j];
        squares[j] = squares[j] <= inputs.samples() * rounding * rounding ? 0 : squares[j];
      }
      return squares;
    }
  }

  private static double mean(float... values) {
    double sum = 0;
    for (float value : values) {
      sum += value;
    }
    return sum / values.length;
  }
}
