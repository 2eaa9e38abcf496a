package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.pass.ParameterVector;
import java.io.IOException;

/// What Gauss-Newton steps must know of the samples: the objective, its gradient, and the product of the Gauss-Newton
/// matrix and a direction, each summed over all samples.
interface JointPasses extends Resource {
  /// Weights have changed.
  void changed();

  /// The sum of the losses.
  double loss() throws IOException;

  /// The gradient of the sum of the losses.
  ///
  /// @param gradient written
  void gradient(ParameterVector gradient) throws IOException;

  /// JᵀFJ · direction, in the units of the gradient.
  ///
  /// @param product written
  void curve(ParameterVector direction, ParameterVector product) throws IOException;

  /// The diagonal of JᵀFJ, up to a factor: exact for up to 64 outputs, estimated beyond. Of a tied layer it is the sum
  /// of the diagonals of its uses, which lacks the products of different uses.
  ///
  /// @param diagonal written
  /// @return the factor
  double diagonal(ParameterVector diagonal, long seed) throws IOException;
}
