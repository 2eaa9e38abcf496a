package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.block;
import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.RandomOrigin;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.network.Activation;
import dev.espalier.kernels.DenseForwardKernel;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import dev.espalier.kernels.Nonlinearity;
import dev.espalier.kernels.NormalizationKernel;
import dev.espalier.kernels.RandomKernel;
import dev.espalier.kernels.UpdatesKernel;
import java.util.Optional;

/// Forward and backward passes.
final class CudaNetwork implements NetworkOperations {
  private final CudaMemory memory;
  private final MatrixProducts products;
  private final CudaTransfers transfers;
  private final DenseForwardKernel dense;
  private final UpdatesKernel updates;
  private final NormalizationKernel normalization;
  private final RandomKernel random;

  CudaNetwork(Driver driver, CudaMemory memory, MatrixProducts products, CudaTransfers transfers) {
    this.memory = memory;
    this.products = products;
    this.transfers = transfers;
    dense = new DenseForwardKernel(driver);
    updates = new UpdatesKernel(driver);
    normalization = new NormalizationKernel(driver);
    random = new RandomKernel(driver);
  }

  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c) {
    products.multiply(alpha, block(a), transposeA, block(b), transposeB, beta, block(c));
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Matrix preActivation) {
    multiplyForward(input, weights, preActivation);
    dense.addBias(device(preActivation), device(bias));
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated) {
    multiplyForward(input, weights, preActivation);
    finish(preActivation, bias, activation, activated);
  }

  /// a = φ(z + b)
  ///
  /// @param product without the bias
  void finish(Matrix product, Matrix bias, Activation activation, Matrix activated) {
    if (activation.isElementwise()) {
      dense.forward(nonlinearity(activation), device(product), device(bias), device(activated));
    } else if (activation.equals(Activation.LOG_SOFTMAX)) {
      dense.logSoftmaxForward(device(product), device(bias), device(activated));
    } else {
      dense.softmaxForward(device(product), device(bias), device(activated));
    }
  }

  /// z = x·Wᵀ
  private void multiplyForward(Matrix input, Matrix weights, Matrix preActivation) {
    MatrixBlock x = block(input);
    MatrixBlock z = block(preActivation);
    forEachRows(weights, (w, first) -> products.multiply(1, x, false, w, true, 0, z.columns(first, w.rows())));
  }

  /// All rows at once of a matrix on the device, blocks of rows of one that lies on the host.
  private void forEachRows(Matrix matrix, CudaTransfers.RowsUse use) {
    CudaMatrix weights = CudaMatrix.of(matrix);
    if (weights.memory().isOnHost()) {
      transfers.forEachRows(weights, use);
    } else {
      use.accept(weights.asBlock(), 0);
    }
  }

  private static Nonlinearity nonlinearity(Activation activation) {
    Nonlinearity.Kind kind = switch (activation.kind()) {
      case IDENTITY -> Nonlinearity.Kind.IDENTITY;
      case RELU -> Nonlinearity.Kind.RELU;
      case RELU6 -> Nonlinearity.Kind.RELU6;
      case LEAKY_RELU -> Nonlinearity.Kind.LEAKY_RELU;
      case ELU -> Nonlinearity.Kind.ELU;
      case SELU -> Nonlinearity.Kind.SELU;
      case GELU -> Nonlinearity.Kind.GELU;
      case GELU_TANH -> Nonlinearity.Kind.GELU_TANH;
      case SILU -> Nonlinearity.Kind.SILU;
      case MISH -> Nonlinearity.Kind.MISH;
      case HARDSWISH -> Nonlinearity.Kind.HARDSWISH;
      case HARDSIGMOID -> Nonlinearity.Kind.HARDSIGMOID;
      case SOFTPLUS -> Nonlinearity.Kind.SOFTPLUS;
      case SOFTSIGN -> Nonlinearity.Kind.SOFTSIGN;
      case TANH -> Nonlinearity.Kind.TANH;
      case SIGMOID -> Nonlinearity.Kind.SIGMOID;
      case SIN -> Nonlinearity.Kind.SIN;
      case SOFTMAX, LOG_SOFTMAX -> throw new IllegalArgumentException("%s needs a whole row".formatted(activation));
    };
    return new Nonlinearity(kind, (float) activation.parameter());
  }

  @Override
  public void activate(Activation activation, Matrix preActivation, Matrix activated) {
    if (activation.isElementwise()) {
      dense.activate(nonlinearity(activation), device(preActivation), device(activated));
    } else if (activation.equals(Activation.LOG_SOFTMAX)) {
      dense.logSoftmax(device(preActivation), device(activated));
    } else {
      dense.softmax(device(preActivation), device(activated));
    }
  }

  @Override
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient) {
    if (activation.isElementwise()) {
      dense.backward(nonlinearity(activation), device(preActivation), device(upstream), device(gradient));
    } else if (activation.equals(Activation.LOG_SOFTMAX)) {
      dense.logSoftmaxBackward(device(activated), device(upstream), device(gradient));
    } else {
      dense.softmaxBackward(device(activated), device(upstream), device(gradient));
    }
  }

  @Override
  public void activationTangent(Activation activation, Matrix preActivation, Matrix activated, Matrix tangent,
      Matrix result) {
    if (activation.equals(Activation.LOG_SOFTMAX)) {
      dense.logSoftmaxTangent(device(activated), device(tangent), device(result));
    } else {
      activationBackward(activation, preActivation, activated, tangent, result);
    }
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix gradient, Optional<Squares> squares) {
    MatrixBlock h = block(gradientAbove);
    MatrixBlock g = block(gradient);
    forEachRows(weightsAbove,
        (v, first) -> products.multiply(1, h.columns(first, v.rows()), false, v, false, first == 0 ? 0 : 1, g));
    if (squares.isPresent()) {
      dense.backwardAddingSquares(nonlinearity(activation), device(preActivation), device(gradient), device(gradient),
          device(squares.get().sensitivity()), squares.get().scale());
    } else {
      dense.backward(nonlinearity(activation), device(preActivation), device(gradient), device(gradient));
    }
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    dense.addSquares(scale, device(gradient), device(sensitivity));
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    updates.add(alpha, device(x), device(y));
  }

  @Override
  public void multiply(Matrix x, Matrix factor, Matrix product) {
    updates.multiply(device(x), device(factor), device(product));
  }

  @Override
  public void addMultiplied(Matrix x, Matrix factor, Matrix sum) {
    updates.addMultiplied(device(x), device(factor), device(sum));
  }

  @Override
  public void normalize(boolean centred, double epsilon, Matrix x, Matrix normalized) {
    normalization.normalize(centred, epsilon, device(x), device(normalized));
  }

  @Override
  public void normalizeBackward(boolean centred, double epsilon, Matrix x, Matrix normalized, Matrix upstream,
      Matrix gradient) {
    normalization.backward(centred, epsilon, device(x), device(normalized), device(upstream), device(gradient));
  }

  @Override
  public void copyColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    updates.copyColumns(block(from).columns(firstFrom, count), block(to).columns(firstTo, count));
  }

  @Override
  public void addColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    updates.addColumns(block(from).columns(firstFrom, count), block(to).columns(firstTo, count));
  }

  @Override
  public void gatherRows(Matrix from, Matrix numbers, int first, Matrix to) {
    updates.gatherRows(device(from), device(numbers), first, device(to));
  }

  @Override
  public void gatherColumns(Matrix from, Matrix numbers, Matrix to) {
    updates.gatherColumns(device(from), device(numbers), device(to));
  }

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    random.unitVectors(device(upstream), samples, firstOutput);
  }

  @Override
  public RandomOrigin randomOrigin() {
    return new CudaRandomOrigin(memory, random);
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, RandomOrigin origin) {
    random.rademacherVectors(device(upstream), samples, firstProbe, CudaRandomOrigin.buffer(origin));
  }

  @Override
  public void fisherVectors(Matrix probabilities, Matrix upstream, int firstClass, double scale) {
    random.fisherVectors(device(probabilities), device(upstream), firstClass, scale);
  }

  @Override
  public void drawnFisherVectors(Matrix probabilities, Matrix upstream, int firstDraw, RandomOrigin origin,
      double scale) {
    random.drawnFisherVectors(device(probabilities), device(upstream), firstDraw, CudaRandomOrigin.buffer(origin),
        scale);
  }
}
