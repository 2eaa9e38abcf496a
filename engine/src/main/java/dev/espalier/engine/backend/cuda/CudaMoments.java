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
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.MomentsByProducts;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.ReductionsKernel;
import java.util.Optional;

/// Sums over samples, and scores.
final class CudaMoments implements MomentOperations {
  private final CudaMemory memory;
  private final MathMode mode;
  private final DualMomentsKernel moments;
  /// Where a library multiplies, and rounds as moments do.
  private final Optional<MomentsByProducts> byProducts;
  private final EliminationScoresKernel scoring;
  private final ReductionsKernel reductions;
  private final RandomKernel random;

  CudaMoments(Driver driver, CudaMemory memory, MatrixProducts products, Precision precision) {
    this.memory = memory;
    mode = CudaProducts.mode(precision);
    moments = new DualMomentsKernel(driver);
    byProducts = products.isLibrary() && mode != MathMode.BF16
        ? Optional.of(new MomentsByProducts(driver, products, mode))
        : Optional.empty();
    scoring = new EliminationScoresKernel(driver);
    reductions = new ReductionsKernel(driver);
    random = new RandomKernel(driver);
  }

  /// See [dev.espalier.engine.backend.Backend#workspace].
  long workspace(int samples, int outputs, int inputs) {
    return faster(outputs, inputs).map(products -> products.workspace(samples, outputs, inputs))
        .orElseGet(() -> moments.workspace(mode, samples, outputs, inputs));
  }

  /// The products of a library, if they take less time for a layer than our own kernel.
  private Optional<MomentsByProducts> faster(int outputs, int inputs) {
    return byProducts.filter(products -> products.isFaster(outputs, inputs));
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
    Optional<MomentsByProducts> products = faster(sensitivity.columns(), activation.columns());
    if (products.isPresent()) {
      products.get().addMoments(device(sensitivity), device(activation), device(pilotMean), device(m0), device(m1),
          device(m2), workspace);
    } else {
      moments.addMoments(mode, device(sensitivity), device(activation), device(pilotMean), device(m0), device(m1),
          device(m2), workspace);
    }
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
  public void addOuterProduct(double kept, Matrix sums, double scale, Matrix column, Matrix row) {
    scoring.addOuterProduct(kept, device(sums), scale, device(column), device(row));
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    random.uniform(device(matrix), seed, stream);
  }
}
