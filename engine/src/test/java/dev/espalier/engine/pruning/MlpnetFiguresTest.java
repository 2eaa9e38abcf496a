package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Figures of the public MLPNet (784-40-20-10) that an independent implementation in float64 has found: accuracy in %
/// on MNIST's test images, after pruning with the first 10,000 training images.
final class MlpnetFiguresTest {
  private static final String MODEL = "mlpnet/mlpnet.safetensors";
  /// One image in 10,000, which rounding may move over the border between two classes, and a half.
  private static final double ONE_IMAGE = 0.015;

  private final Arena arena = Arena.ofShared();
  private final Backend backend = new CpuBackend();
  private DenseNetwork network;
  private Dataset calibration;
  private Dataset test;

  @BeforeEach
  void read() throws IOException {
    SharedData shared = SharedData.with(MODEL, arena);
    network = shared.network(MODEL);
    calibration = Dataset.of(normalised(shared.images("train").slice(0, 10_000)));
    test = new Dataset(normalised(shared.images("t10k")), Optional.of(SampleFiles.labels(shared.labels("t10k"))));
  }

  private MatrixSamples normalised(MatrixView images) {
    MatrixView values = images.copy(arena);
    for (int n = 0; n < values.rows(); n++) {
      for (int j = 0; j < values.columns(); j++) {
        values.set(n, j, (float) ((values.get(n, j) - 0.1307) / 0.3081));
      }
    }
    return new MatrixSamples("images", values);
  }

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  @Test
  void magnitude() throws IOException {
    assertAccuracies(ONE_IMAGE, PruningOptions.builder().criterion(new Criterion.Magnitude()),
        List.of(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98), 93.93, 93.78, 93.62, 92.88, 90.28, 83.64, 32.25);
  }

  /// With new biases.
  @Test
  void eliminationCompensation() throws IOException {
    assertAccuracies(5 * ONE_IMAGE, PruningOptions.builder().newBias(true), List.of(0.9, 0.95, 0.98), 88.84, 66.92,
        14.05);
  }

  private void assertAccuracies(double tolerance, PruningOptions.Builder options, List<Double> sparsities,
      double... expected) throws IOException {
    for (int i = 0; i < expected.length; i++) {
      double sparsity = sparsities.get(i);
      try (DeviceNetwork pruned = DeviceNetwork.copyOf(backend, network)) {
        new Pruner(backend, options.sparsity(sparsity).measureOutputChange(false).build()).pruneInPlace(pruned,
            Optional.of(calibration), ProgressListener.NONE);
        assertEquals(expected[i], accuracy(pruned), tolerance, "at " + sparsity);
      }
    }
  }

  /// The other implementation's 40 rounds of an unknown schedule have 93.4, 92.3 and 88.8 %; these lose at most 0.3
  /// points more, and at 98 % a whole one, where single trials differ by half of that.
  @Test
  void refittedIn40Rounds() throws IOException {
    List<Target> stops = DoubleStream.of(0.9, 0.95, 0.98).<Target>mapToObj(Target::sparsity).toList();
    PruningOptions options = PruningOptions.builder().sensitivity(Sensitivity.parse("fisher"))
        .schedule(new Schedule.Geometric(40)).repair(new Repair.Refit()).measureOutputChange(false).build()
        .withPath(stops);
    double[] least = {93.4 - 0.3, 92.3 - 0.3, 88.8 - 1};
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(calibration), backend);
      List<PruningResult> results = new Pruner(backend, options).path(plan, network, device, Optional.of(calibration),
          ProgressListener.NONE, arena);
      for (int i = 0; i < least.length; i++) {
        device.load(results.get(i).network());
        double accuracy = accuracy(device);
        assertTrue(accuracy >= least[i], "%.2f at %s".formatted(accuracy, stops.get(i)));
      }
    }
  }

  private double accuracy(DeviceNetwork pruned) throws IOException {
    return 100 * Evaluation.of(backend, pruned, test, new Loss.CrossEntropy(), 500, ProgressListener.NONE).accuracy()
        .orElseThrow();
  }
}
