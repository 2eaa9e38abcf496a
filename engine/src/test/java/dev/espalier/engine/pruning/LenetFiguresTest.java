package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Figures of a trained LeNet-300-100 that an independent implementation in float64 has found: E‖y − y′‖² on training
/// images 50,000 to 59,999 of MNIST after pruning with images 0 to 9,999.
final class LenetFiguresTest {
  private static final String MODEL = "mnist/lenet-300-100.safetensors";

  private final Arena arena = Arena.ofShared();
  private final Backend backend = new CpuBackend();
  private DenseNetwork network;
  private Dataset calibration;
  private Dataset others;

  @BeforeEach
  void read() throws IOException {
    SharedData shared = SharedData.with(MODEL, arena);
    network = shared.network(MODEL);
    MatrixView images = shared.images("train");
    calibration = slice(images, 0);
    others = slice(images, 50_000);
  }

  private static Dataset slice(MatrixView images, int first) {
    return Dataset.of(new MatrixSamples("images", images.slice(first, 10_000)));
  }

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({"0.9, none, 78.4", "0.98, none, 299.5", "0.9, refit, 8.51", "0.98, refit, 54.2",
      "0.9, refit:iterations=100, 8.51", "0.98, refit:iterations=100, 54.2"})
  void oneShot(double sparsity, String repair, double expected) throws IOException {
    assertEquals(expected, error(PruningOptions.builder().sparsity(sparsity).repair(Repairs.parse(repair))),
        0.01 * expected);
  }

  /// Ten iterations leave 9.32 and 58.4 in the other implementation; these come closer to the exact fit: 8.98 and 56.7
  /// were measured, 5.5 and 4.6 % above it.
  @ParameterizedTest
  @CsvSource({"0.9, 9.32, 8.51", "0.98, 58.4, 54.2"})
  void fewIterationsComeAsClose(double sparsity, double other, double exact) throws IOException {
    double error = error(PruningOptions.builder().sparsity(sparsity).repair(Repairs.parse("refit:iterations=10")));
    assertTrue(error <= 1.01 * other && error >= 1.01 * exact, "error " + error);
  }

  /// Five steps of 20 iterations leave 4.46 and 26.8 in the other implementation. Those of this one converge more
  /// slowly: they leave 5.05 to 5.21 and 29.2 to 29.5, by what a machine's vectors round; 50 iterations 4.4 and 25.4.
  @ParameterizedTest
  @CsvSource({"0.9, 20, 4.46, 1.2", "0.98, 20, 26.8, 1.12", "0.9, 50, 4.46, 1.1", "0.98, 50, 26.8, 1.1"})
  void jointlyAfterARefit(double sparsity, int iterations, double other, double factor) throws IOException {
    double error = error(PruningOptions.builder().sparsity(sparsity)
        .repair(Repairs.parse("refit+joint:mse:outer=5:tolerance=0:inner=" + iterations)));
    assertTrue(error <= factor * other, "error " + error);
  }

  /// Rounds with a refit leave less than half of the error that one round leaves.
  @Test
  void inRounds() throws IOException {
    double error = error(
        PruningOptions.builder().sparsity(0.98).schedule(new Schedule.Keeping(0.75)).repair(new Repair.Refit()));
    assertTrue(error < 0.5 * 54.2, "error " + error);
  }

  private double error(PruningOptions.Builder options) throws IOException {
    try (DeviceNetwork dense = DeviceNetwork.copyOf(backend, network);
        DeviceNetwork pruned = DeviceNetwork.copyOf(backend, network)) {
      new Pruner(backend, options.sensitivity(Sensitivity.parse("fisher")).measureOutputChange(false).build())
          .pruneInPlace(pruned, Optional.of(calibration), ProgressListener.NONE);
      return OutputChange.measure(backend, dense, pruned, others, 500, ProgressListener.NONE).total();
    }
  }
}
