package dev.espalier.engine.training;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.Targets;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossGradient;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.OptionalDouble;

/// How well a network does on labelled samples.
///
/// @param samples  how many
/// @param lossName which loss
/// @param loss     its mean over the samples
/// @param accuracy fraction of samples whose largest output is their class, 0..1, where labels are classes
public record Evaluation(long samples, Loss lossName, double loss, OptionalDouble accuracy) {
  /// Evaluates a network; sums in double.
  ///
  /// @throws IOException              if a sample cannot be read or is not finite
  /// @throws IllegalArgumentException if samples, labels or loss do not fit the network
  public static Evaluation of(Backend backend, DenseNetwork network, Dataset samples, Loss loss, int batchSize,
      ProgressListener listener) throws IOException {
    samples.requireWidth(network.inputs());
    loss.requireFits(network);
    Targets targets = new Targets(
        samples.labels().orElseThrow(() -> new IllegalArgumentException("evaluation needs labels")), network.outputs());
    boolean classes = targets.areClasses() || loss == Loss.CROSS_ENTROPY;
    long total = samples.samples().samples();
    int capacity = (int) Math.min(batchSize, total);
    double sum = 0;
    long correct = 0;
    backend.enter(Phase.LOAD);
    try (Arena arena = Arena.ofConfined();
        Batches batches = new Batches(samples, capacity);
        DeviceNetwork device = new DeviceNetwork(backend, network);
        ForwardPass forward = new ForwardPass(backend, device, capacity);
        LossGradient lossGradient = new LossGradient(backend, device, loss, capacity)) {
      MatrixView t = MatrixView.allocate(arena, capacity, network.outputs());
      MatrixView y = MatrixView.allocate(arena, capacity, network.outputs());
      MatrixView losses = MatrixView.allocate(arena, capacity, 1);
      while (batches.next()) {
        int rows = batches.samples().rows();
        targets.fill(batches.labels(), t.slice(0, rows), batches.first());
        backend.enter(Phase.FORWARD);
        forward.run(device, batches.samples());
        lossGradient.load(t.slice(0, rows));
        Matrix each = lossGradient.losses(device, forward);
        backend.download(each, losses.slice(0, rows));
        backend.download(forward.output(), y.slice(0, rows));
        for (int n = 0; n < rows; n++) {
          sum += losses.get(n, 0);
          correct += largest(y, n) == largest(t, n) ? 1 : 0;
        }
        backend.enter(Phase.LOAD);
        listener.report("evaluating", batches.end(), total);
      }
    }
    return new Evaluation(total, loss, sum / total,
        classes ? OptionalDouble.of((double) correct / total) : OptionalDouble.empty());
  }

  private static int largest(MatrixView matrix, int row) {
    int largest = 0;
    for (int k = 1; k < matrix.columns(); k++) {
      if (matrix.get(row, k) > matrix.get(row, largest)) {
        largest = k;
      }
    }
    return largest;
  }
}
