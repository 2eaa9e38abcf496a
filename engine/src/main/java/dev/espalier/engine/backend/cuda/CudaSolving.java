package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.SolvingKernel;

/// Least squares.
final class CudaSolving implements SolvingOperations {
  private final CudaMemory memory;
  private final CudaTransfers transfers;
  private final SolvingKernel solving;

  CudaSolving(Driver driver, CudaMemory memory, CudaTransfers transfers) {
    this.memory = memory;
    this.transfers = transfers;
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

  @Override
  public double dot(Matrix x, Matrix y) {
    long before = CudaMemory.rounded(Double.BYTES); // buffers are aligned
    long workspace = solving.dotWorkspace(x.elements());
    DeviceBuffer total = memory.scratch(before + workspace);
    solving.dot(device(x), device(y), new DeviceBuffer(total.address() + before, workspace), total);
    return Double.longBitsToDouble(transfers.words(total.address(), 1)[0]);
  }

  @Override
  public void addProduct(double alpha, Matrix x, Matrix y, Matrix z) {
    solving.addProduct(alpha, device(x), device(y), device(z));
  }

  @Override
  public void dividedByDiagonal(Matrix weights, Matrix residual, Matrix diagonal, double scale, double shift,
      Matrix quotient) {
    solving.divide(device(weights), device(residual), device(diagonal), scale, shift, device(quotient));
  }
}
