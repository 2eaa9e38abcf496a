package dev.espalier.engine.training;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.method.Loss;
import java.util.Set;

/// The options of a training.
///
/// @param epochs passes over the samples, at least 1
/// @param batchSize samples in a step, at least 1
/// @param adam the optimiser's constants
/// @param finalRate the learning rate at the end, as a part of that at the start, to which it falls by a cosine
///                  [Loshchilov and Hutter 2017]; 1: it stays
/// @param loss the function that is minimised
/// @param temperature what a cross-entropy divides the logits by, above 0
/// @param seed of the order of samples
/// @param keepZeros whether weights that are zero stay zero, as fine-tuning a pruned network needs
/// @param frozen names of layers whose weights and biases stay as they are
public record TrainingOptions(int epochs, int batchSize, Adam adam, double finalRate, Loss loss, double temperature,
    long seed, boolean keepZeros, Set<String> frozen) {
  /// @throws IllegalArgumentException if a number is out of its range
  public TrainingOptions {
    frozen = Set.copyOf(frozen);
    if (epochs < 1 || batchSize < 1) {
      throw new IllegalArgumentException("epochs %d, batch size %d: use at least 1".formatted(epochs, batchSize));
    }
    if (!(finalRate > 0 && finalRate <= 1 && temperature > 0)) {
      throw new IllegalArgumentException(
          "final rate %s, temperature %s: use up to 1, and above 0".formatted(finalRate, temperature));
    }
  }

  /// Options of a training at a learning rate that stays.
  ///
  /// @throws IllegalArgumentException if a number is below 1
  public TrainingOptions(int epochs, int batchSize, Adam adam, Loss loss, long seed, boolean keepZeros,
      Set<String> frozen) {
    this(epochs, batchSize, adam, 1, loss, 1, seed, keepZeros, frozen);
  }

  /// Options of a training of all layers.
  ///
  /// @throws IllegalArgumentException if a number is below 1
  public TrainingOptions(int epochs, int batchSize, Adam adam, Loss loss, long seed, boolean keepZeros) {
    this(epochs, batchSize, adam, loss, seed, keepZeros, Set.of());
  }

  /// The optimiser's constants at a step.
  ///
  /// @param part of the steps that are done, from 0 to 1
  Adam adamAt(double part) {
    double rate = finalRate + (1 - finalRate) * (1 + Math.cos(Math.PI * part)) / 2;
    return new Adam(adam.learningRate() * rate, adam.beta1(), adam.beta2(), adam.epsilon());
  }
}
