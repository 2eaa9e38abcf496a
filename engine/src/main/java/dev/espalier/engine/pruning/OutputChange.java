package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;

/// E‖y − y′‖²: how far a network's output moved, in squared output units, summed in double.
///
/// @param total with all layers changed
/// @param perLayer with that layer alone changed
/// @param outputSquare E‖y‖² of the unchanged network
public record OutputChange(double total, List<Double> perLayer, double outputSquare) {
  /// Measures what turned `before` into `after`, networks of one graph and the same shapes.
  ///
  /// @throws IOException if a sample cannot be read or is not finite
  public static OutputChange measure(Backend backend, DeviceNetwork before, DeviceNetwork after, Dataset data,
      int batchSize, ProgressListener listener) throws IOException {
    int layers = before.layers().size();
    long samples = data.samples().samples();
    int rows = (int) Math.min(batchSize, samples);
    double total = 0;
    double square = 0;
    double[] perLayer = new double[layers];
    backend.enter(Phase.LOAD);
    try (Arena arena = Arena.ofConfined();
        SampleBatches batches = SampleBatches.open(backend, Dataset.of(data.samples()), batchSize);
        ForwardPass original = ForwardPass.allocate(backend, before.graph(), rows);
        ForwardPass changed = ForwardPass.allocate(backend, before.graph(), rows)) {
      MatrixView expected = MatrixView.allocate(arena, rows, before.outputs());
      MatrixView actual = MatrixView.allocate(arena, rows, before.outputs());
      while (batches.next()) {
        backend.enter(Phase.FORWARD);
        original.load(batches);
        original.run(before);
        backend.download(original.output(), expected.slice(0, batches.rows()));
        square += expected.slice(0, batches.rows()).squaredNorm();
        changed.load(batches);
        changed.run(after);
        total += distance(backend, changed.output(), expected, actual);
        for (int l = 0; l < layers; l++) {
          changed.runFrom(l, after, before, original);
          perLayer[l] += distance(backend, changed.output(), expected, actual);
        }
        backend.enter(Phase.LOAD);
        listener.report("measuring", batches.end(), samples);
      }
    }
    return new OutputChange(total / samples, Arrays.stream(perLayer).map(sum -> sum / samples).boxed().toList(),
        square / samples);
  }

  private static double distance(Backend backend, Matrix output, MatrixView expected, MatrixView buffer) {
    MatrixView actual = buffer.slice(0, output.rows());
    backend.download(output, actual);
    return actual.squaredDistance(expected.slice(0, actual.rows()));
  }
}
