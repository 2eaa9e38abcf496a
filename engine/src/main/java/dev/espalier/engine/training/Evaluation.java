package dev.espalier.engine.training;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/// The loss and accuracy of a network on labelled samples.
///
/// @param samples how many
/// @param lossName which loss
/// @param loss its mean over the samples
/// @param accuracy fraction of samples whose largest output is their class, 0..1, where labels are classes; of binary
///                 labels, the fraction that the outputs get right
public record Evaluation(long samples, Loss lossName, double loss, OptionalDouble accuracy) {
  /// Evaluates a network; sums in double.
  ///
  /// @param data labelled samples
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws dev.espalier.engine.MissingDataException if there are no labels
  /// @throws dev.espalier.engine.MismatchException if samples, labels or loss do not fit the network
  /// @throws dev.espalier.engine.NonFiniteException if a loss is NaN or infinite
  public static Evaluation of(Backend backend, DeviceNetwork network, Dataset data, Loss loss, int batchSize,
      ProgressListener listener) throws IOException {
    return EvaluationPass.run(backend, List.of(network), data, Optional.of(loss), batchSize, listener).getFirst()
        .evaluation().orElseThrow();
  }
}
