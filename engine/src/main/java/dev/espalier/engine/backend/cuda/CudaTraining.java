package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.TrainingOperations;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.LossesKernel;
import dev.espalier.kernels.UpdatesKernel;

/// Losses and optimiser steps.
final class CudaTraining implements TrainingOperations {
  private final LossesKernel losses;
  private final UpdatesKernel updates;

  CudaTraining(Driver driver) {
    losses = new LossesKernel(driver);
    updates = new UpdatesKernel(driver);
  }

  @Override
  public void crossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix each) {
    losses.crossEntropy(device(logits), device(targets), device(gradient), device(each));
  }

  @Override
  public void binaryCrossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix each) {
    losses.binaryCrossEntropy(device(logits), device(targets), device(gradient), device(each));
  }

  @Override
  public void squaredError(Matrix output, Matrix targets, Matrix gradient, Matrix each) {
    losses.squaredError(device(output), device(targets), device(gradient), device(each));
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
    updates.adamStep(device(parameter), device(gradient), device(firstMoment), device(secondMoment),
        adam.learningRate(), adam.beta1(), adam.beta2(), adam.epsilon(), step, keepZeros);
  }
}
