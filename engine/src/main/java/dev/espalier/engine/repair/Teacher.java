package dev.espalier.engine.repair;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import java.io.IOException;
import java.lang.foreign.Arena;

/// What the dense network makes of the samples, and the objective that compares it with what a pruned one makes of them.
///
/// @param outputs samples × outputs: y of the dense network, or softmax(y / T) for a divergence
record Teacher(Objective objective, MatrixView outputs) {
  /// Runs the dense network.
  ///
  /// @param arena takes the memory of the outputs
  /// @throws IOException       if a sample cannot be read or is not finite
  /// @throws MismatchException if there are more samples than a matrix has rows
  static Teacher of(DeviceNetwork dense, Backend backend, Objective objective, SampleSource samples, int batchSize,
      ProgressListener listener, Arena arena) throws IOException {
    if (samples.samples() > Integer.MAX_VALUE) {
      throw new MismatchException("%s has %d samples, and the repair holds the dense network's outputs: %d at the most"
          .formatted(samples.name(), samples.samples(), Integer.MAX_VALUE));
    }
    int count = (int) samples.samples();
    MatrixView outputs = MatrixView.allocate(arena, count, dense.outputs());
    int rows = Math.min(batchSize, count);
    try (ForwardPass forward = ForwardPass.allocate(backend, dense.graph(), rows);
        Matrix scaled = backend.allocate(rows, dense.outputs());
        Matrix probabilities = backend.allocate(rows, dense.outputs());
        SampleBatches batches = SampleBatches.open(backend, Dataset.of(samples), rows)) {
      while (batches.next()) {
        int read = batches.rows();
        backend.enter(Phase.FORWARD);
        forward.load(batches);
        forward.run(dense);
        Matrix compared = switch (objective) {
          case Objective.SquaredError() -> forward.output();
          case Objective.Divergence(double temperature) -> {
            Matrix divided = scaled.slice(0, read);
            backend.clear(divided);
            backend.network().add(1 / temperature, forward.value(dense.graph().logits()), divided);
            backend.network().activate(Activation.SOFTMAX, divided, probabilities.slice(0, read));
            yield probabilities.slice(0, read);
          }
        };
        backend.download(compared, outputs.slice((int) batches.first(), read));
        listener.report("running the dense network", batches.end(), batches.total());
        backend.enter(Phase.LOAD);
      }
    }
    return new Teacher(objective, outputs);
  }

  /// The objective as a loss whose targets are the outputs: the divergence is a cross-entropy and a constant.
  Loss loss() {
    return switch (objective) {
      case Objective.SquaredError() -> new Loss.SquaredError();
      case Objective.Divergence _ -> new Loss.CrossEntropy();
    };
  }

  /// Of the loss.
  double temperature() {
    return switch (objective) {
      case Objective.SquaredError() -> 1;
      case Objective.Divergence(double temperature) -> temperature;
    };
  }

  /// What the sum of the losses over all samples cannot be below: the entropy of the outputs for a divergence.
  double least() {
    double least = 0;
    if (objective instanceof Objective.Divergence) {
      for (float p : outputs.toArray()) {
        least -= p == 0 ? 0 : p * Math.log(p);
      }
    }
    return least;
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  LossPass lossPass(Backend backend, Graph graph, int batchSize) {
    return LossPass.allocate(backend, graph, loss(), temperature(), batchSize);
  }
}
