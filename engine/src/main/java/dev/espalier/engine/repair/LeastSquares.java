package dev.espalier.engine.repair;

import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.pass.DeviceNetwork;
import java.lang.foreign.Arena;

/// The least-squares fit of the weights that are left in one layer.
///
/// With the covariance H of its inputs a and the covariances C of what its pre-activations lack, e, with its inputs, it
/// finds the change D of the weights that minimises E‖e − D(a − ā)‖² + λ h ‖D‖², where h is the mean of H's diagonal: a
/// bias takes up the means, so it is not part of the search.
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
  /// @param layer whose weights are fitted; they stay as they are
  /// @param inputs ā and H times the number of samples
  /// @param cross C times the number of samples, outputs × inputs; overwritten
  /// @param damping λ, above 0
  /// @param change D, outputs × inputs, zeros; written
  /// @throws NonFiniteException if the inputs are too large for their squares
  static void solve(Backend backend, DeviceNetwork.Layer layer, LayerSums.Inputs inputs, Matrix cross, double damping,
      int iterations, Matrix change) {
    try (Resources memory = new Resources()) {
      Matrix diagonal = memory.own(backend.allocate(1, layer.inputs()));
      double mean = diagonal(backend, layer, inputs, diagonal);
      if (mean == 0) {
        return; // the inputs are constant: a bias does all that can be done
      }
      Matrix direction = memory.own(backend.allocate(layer.outputs(), layer.inputs()));
      Matrix product = memory.own(backend.allocate(layer.outputs(), layer.inputs()));
      Matrix norms = memory.own(backend.allocate(layer.outputs(), 2));
      backend.solving().startConjugateGradients(layer.weights(), diagonal, damping * mean, cross, direction, norms);
      for (int i = 0; i < iterations; i++) {
        backend.network().product(1, direction, false, inputs.gram(), false, 0, product);
        backend.solving().conjugateGradientStep(layer.weights(), diagonal, damping * mean, product, cross, direction,
            change, norms);
      }
    }
  }

  /// The diagonal of H; 0 of an input that is constant, up to rounding.
  ///
  /// @return its mean
  private static double diagonal(Backend backend, LayerShape layer, LayerSums.Inputs inputs, Matrix diagonal) {
    backend.solving().diagonal(inputs.gram(), diagonal);
    try (Arena arena = Arena.ofConfined()) {
      float[] values = backend.download(diagonal, arena).toArray();
      float[] means = backend.download(inputs.mean(), arena).toArray();
      double sum = 0;
      for (int j = 0; j < values.length; j++) {
        if (!Float.isFinite(values[j])) {
          throw new NonFiniteException(
              "layer %s: the sum of the squares of input %d is not finite: the network's values are too large for a refit"
                  .formatted(layer.name(), j));
        }
        double rounding = CONSTANT * means[j];
        values[j] = values[j] <= inputs.samples() * rounding * rounding ? 0 : values[j];
        sum += values[j];
      }
      backend.upload(MatrixView.of(arena, 1, values.length, values), diagonal);
      return sum / values.length;
    }
  }
}
