package dev.espalier.engine.training;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.method.Loss;
import java.util.Set;

/// The options of a training.
///
/// @param epochs passes over the samples, at least 1
/// @param batchSize samples in a step, at least 1
/// @param adam the optimiser's constants
/// @param loss the function that is minimised
/// @param seed of the order of samples
/// @param keepZeros whether weights that are zero stay zero, as fine-tuning a pruned network needs
/// @param frozen names of layers whose weights and biases stay as they are
public record TrainingOptions(int epochs, int batchSize, Adam adam, Loss loss, long seed, boolean keepZeros,
    Set<String> frozen) {
  /// @throws IllegalArgumentException if a number is below 1
  public TrainingOptions {
    frozen = Set.copyOf(frozen);
    if (epochs < 1 || batchSize < 1) {
      throw new IllegalArgumentException("epochs %d, batch size %d: use at least 1".formatted(epochs, batchSize));
    }
  }

  /// Options of a training of all layers.
  ///
  /// @throws IllegalArgumentException if a number is below 1
  public TrainingOptions(int epochs, int batchSize, Adam adam, Loss loss, long seed, boolean keepZeros) {
    this(epochs, batchSize, adam, loss, seed, keepZeros, Set.of());
  }
}
