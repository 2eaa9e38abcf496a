package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.SolvingKernel;

/// Least squares.
final class CudaSolving implements SolvingOperations {
  private final SolvingKernel solving;

  CudaSolving(Driver driver) {
    solving = new SolvingKernel(driver);
  }

  @Override
  public void subtractRow(Matrix x, Matrix row, Matrix difference) {
    solving.subtractRow(device(x), device(row), device(difference));
  }

  @Override
  public void addCarrying(Matrix x, Matrix sum, Matrix carry) {
    solving.addCarrying(device(x), device(sum), device(carry));
  }

  @Override
  public void diagonal(Matrix square, Matrix diagonal) {
    solving.diagonal(device(square), device(diagonal));
  }

  @Override
  public void addWhereNonzero(Matrix x, Matrix y) {
    solving.addWhereNonzero(device(x), device(y));
  }

  @Override
  public void startConjugateGradients(Matrix weights, Matrix diagonal, double damping, Matrix residual,
      Matrix direction, Matrix norms) {
    solving.startConjugateGradients(device(weights), device(diagonal), damping, device(residual), device(direction),
        device(norms));
  }

  @Override
  public void conjugateGradientStep(Matrix weights, Matrix diagonal, double damping, Matrix product, Matrix residual,
      Matrix direction, Matrix solution, Matrix norms) {
    solving.conjugateGradientStep(device(weights), device(diagonal), damping, device(product), device(residual),
        device(direction), device(solution), device(norms));
  }
}
