package dev.espalier.engine.backend;

/// The operations of training: losses with their gradients, and optimiser steps.
public interface TrainingOperations {
  /// Softmax cross-entropy L = −Σₖ tₖ ln pₖ with p = softmax(z), and its gradient p Σₖ tₖ − t.
  ///
  /// @param logits z, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  void crossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses);

  /// Binary cross-entropy L = mean over outputs of −t ln p − (1 − t) ln(1 − p) with p = σ(z), and its gradient
  /// (p − t) / outputs.
  ///
  /// @param logits z, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  void binaryCrossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses);

  /// Squared error L = mean over outputs of (y − t)², and its gradient 2 (y − t) / outputs.
  ///
  /// @param output y, samples × outputs
  /// @param targets t, samples × outputs
  /// @param gradient samples × outputs, written
  /// @param losses samples × 1, written
  void squaredError(Matrix output, Matrix targets, Matrix gradient, Matrix losses);

  /// One step of Adam; all matrices have one shape.
  ///
  /// @param step 1 for the first; it corrects the bias of the moments
  /// @param keepZeros whether elements of the parameter that are 0 stay 0: pruned weights
  void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros);
}
