package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;

/// E‖y − y′‖²: how far a network's output moved, in squared output units, sums in double.
///
/// @param total    with all layers changed
/// @param perLayer with that layer alone changed
public record OutputChange(double total, List<Double> perLayer) {
  /// Measures what turned `before` into `after`, networks of the same shapes.
  ///
  /// @param source samples
  /// @throws IOException if a sample cannot be read or is not finite
  public static OutputChange measure(Backend backend, DenseNetwork before, DenseNetwork after, Dataset source,
      int batchSize, ProgressListener listener) throws IOException {
    try (DeviceNetwork original = new DeviceNetwork(backend, before);
        DeviceNetwork changed = new DeviceNetwork(backend, after)) {
      return measure(backend, original, changed, source, batchSize, listener);
    }
  }

  static OutputChange measure(Backend backend, DeviceNetwork before, DeviceNetwork after, Dataset source, int batchSize,
      ProgressListener listener) throws IOException {
    int layers = before.layers().size();
    int outputs = before.outputs();
    int rows = (int) Math.min(batchSize, source.samples().samples());
    Dataset unlabelled = Dataset.of(source.samples());
    double total = 0;
    double[] perLayer = new double[layers];
    backend.enter(Phase.LOAD);
    try (Arena arena = Arena.ofConfined();
        Batches batches = new Batches(unlabelled, batchSize);
        ForwardPass original = new ForwardPass(backend, before, rows);
        ForwardPass changed = new ForwardPass(backend, before, rows)) {
      MatrixView expected = MatrixView.allocate(arena, rows, outputs);
      MatrixView actual = MatrixView.allocate(arena, rows, outputs);
      while (batches.next()) {
        backend.enter(Phase.FORWARD);
        int samples = batches.samples().rows();
        original.run(before, batches.samples());
        backend.download(original.output(), expected.slice(0, samples));
        changed.run(after, 0, layers, original.input(0));
        total += distance(backend, changed.output(), expected, actual);
        for (int l = 0; l < layers; l++) {
          changed.run(after, l, l + 1, original.input(l));
          changed.run(before, l + 1, layers, changed.activation(l));
          perLayer[l] += distance(backend, changed.output(), expected, actual);
        }
        backend.enter(Phase.LOAD);
        listener.report("measuring", batches.end(), source.samples().samples());
      }
    }
    long n = source.samples().samples();
    return new OutputChange(total / n, Arrays.stream(perLayer).map(sum -> sum / n).boxed().toList());
  }

  private static double distance(Backend backend, Matrix output, MatrixView expected, MatrixView buffer) {
    MatrixView actual = buffer.slice(0, output.rows());
    backend.download(output, actual);
    double sum = 0;
    for (long i = 0; i < actual.elements(); i++) {
      double difference = (double) actual.segment().getAtIndex(MatrixView.ELEMENT, i)
          - expected.segment().getAtIndex(MatrixView.ELEMENT, i);
      sum += difference * difference;
    }
    return sum;
  }
}
