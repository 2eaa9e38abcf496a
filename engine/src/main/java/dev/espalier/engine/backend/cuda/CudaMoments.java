package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.bindings.MathMode;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.Precision;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.DualMomentsKernel;
import dev.espalier.kernels.EliminationScoresKernel;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.ReductionsKernel;

/// Sums over samples, and scores.
final class CudaMoments implements MomentOperations {
  private final CudaMemory memory;
  private final MathMode mode;
  private final DualMomentsKernel moments;
  private final EliminationScoresKernel scoring;
  private final ReductionsKernel reductions;
  private final RandomKernel random;

  CudaMoments(Driver driver, CudaMemory memory, Precision precision) {
    this.memory = memory;
    mode = CudaProducts.mode(precision);
    moments = new DualMomentsKernel(driver);
    scoring = new EliminationScoresKernel(driver);
    reductions = new ReductionsKernel(driver);
    random = new RandomKernel(driver);
  }

  /// See [dev.espalier.engine.backend.Backend#workspace].
  long workspace(int samples, int outputs, int inputs) {
    return moments.workspace(mode, samples, outputs, inputs);
  }

  private DeviceBuffer columnWorkspace(Matrix x) {
    return memory.scratch(reductions.columnSumsWorkspace(x.rows(), x.columns()));
  }

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    reductions.columnSums(1.0 / x.rows(), device(x), 0, device(means), columnWorkspace(x));
  }

  @Override
  public void addColumnSquares(Matrix x, Matrix squares) {
    reductions.columnSquareSums(1, device(x), 1, device(squares), columnWorkspace(x));
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2) {
    DeviceBuffer workspace = memory.scratch(workspace(activation.rows(), sensitivity.columns(), activation.columns()));
    moments.addMoments(mode, device(sensitivity), device(activation), device(pilotMean), device(m0), device(m1),
        device(m2), workspace);
  }

  @Override
  public double roundoff() {
    return mode == MathMode.FP32 ? 0x1p-24 : 0x1p-11;
  }

  @Override
  public void cancelled(Matrix weights, Matrix m0, Matrix m1, Matrix m2, double fraction, Matrix largest) {
    scoring.cancelled(device(weights), device(m0), device(m1), device(m2), fraction, device(largest));
  }

  @Override
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples) {
    scoring.scores(device(weights), device(m0), device(m1), device(m2), device(pilotMean), samples);
  }

  @Override
  public void absoluteProduct(double scale, Matrix weights, Matrix factor, Matrix scores) {
    scoring.absoluteProduct(scale, device(weights), device(factor), device(scores));
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    random.uniform(device(matrix), seed, stream);
  }
}
