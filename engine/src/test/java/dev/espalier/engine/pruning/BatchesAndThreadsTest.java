package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What the batch size and the number of threads change: the order of sums, and what follows from that.
final class BatchesAndThreadsTest {
  private static final int SAMPLES = 700;
  private static final int[] BATCHES = {512, 97};

  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(20, 70, 40, 5),
      List.of(Activation.TANH, Activation.RELU, Activation.IDENTITY));
  private final MatrixView samples = TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, 20, 1, 0.3);

  @AfterEach
  void close() {
    arena.close();
  }

  private DenseNetwork prune(PruningOptions.Builder options, int threads, int batch) throws IOException {
    try (Backend backend = new CpuBackend(threads, Precision.FP32);
        DeviceNetwork pruned = DeviceNetwork.copyOf(backend, network)) {
      new Pruner(backend, options.batchSize(batch).measureOutputChange(false).build()).pruneInPlace(pruned,
          Optional.of(Dataset.of(new MatrixSamples("samples", samples))), ProgressListener.NONE);
      return pruned.download(arena);
    }
  }

  private static PruningOptions.Builder options(String repair, String schedule) {
    return PruningOptions.builder().sparsity(0.8).repair(Repairs.parse(repair)).schedule(Schedule.parse(schedule))
        .seed(3);
  }

  /// Weights and biases, layer after layer.
  private static List<float[]> parameters(DenseNetwork network) {
    return network.layers().stream()
        .flatMap(layer -> Stream.of(layer.weights().toArray(), layer.bias().orElseThrow().toArray())).toList();
  }

  private static void assertSameBits(DenseNetwork expected, DenseNetwork actual, String where) {
    List<float[]> other = parameters(actual);
    List<float[]> one = parameters(expected);
    for (int i = 0; i < one.size(); i++) {
      assertArrayEquals(one.get(i), other.get(i), where);
    }
  }

  /// Scores and a refit differ by the rounding of sums; those of a refit go through a system whose condition number is
  /// at most 1 + columns/damping. A distillation sums the gradients of 128 samples in each of its 12 steps.
  @ParameterizedTest
  @CsvSource({"none, 0", "refit:damping=0.01, 7000", "distill:mse:last=2, 1536",
      "refit:damping=0.01+distill:mse:last=2, 8536"})
  void oneRoundIsTheSameWithinRounding(String repair, double roundings) throws IOException {
    DenseNetwork expected = prune(options(repair, "oneshot"), 1, BATCHES[0]);
    List<float[]> one = parameters(expected);
    for (int threads = 1; threads <= 2; threads++) {
      for (int batch : BATCHES) {
        String where = "threads %d, batch size %d".formatted(threads, batch);
        DenseNetwork actual = prune(options(repair, "oneshot"), threads, batch);
        assertSameBits(actual, prune(options(repair, "oneshot"), threads, batch), "again, " + where);
        List<float[]> other = parameters(actual);
        for (int i = 0; i < one.size(); i++) {
          float[] x = one.get(i);
          float[] y = other.get(i);
          double largest = IntStream.range(0, x.length).mapToDouble(j -> Math.abs(x[j])).max().orElseThrow();
          for (int j = 0; j < x.length; j++) {
            assertEquals(x[j] == 0, y[j] == 0, where + ", mask");
            assertEquals(x[j], y[j], (roundings + 10) * 0x1p-24 * largest, where);
          }
        }
      }
    }
  }

  /// Steps of a joint repair amplify rounding, and end when one gains less than 2 %: what they leave of the output's
  /// change differs by little, and so do the outputs.
  @ParameterizedTest
  @CsvSource({"joint:mse, oneshot", "refit:damping=0.01+joint:mse, oneshot",
      "refit:damping=0.01+joint:mse, geometric:6"})
  void jointOutputsDifferByLittle(String repair, String schedule) throws IOException {
    DenseNetwork expected = prune(options(repair, schedule), 1, BATCHES[0]);
    double change = change(network, expected);
    for (int threads = 1; threads <= 2; threads++) {
      for (int batch : BATCHES) {
        String where = "threads %d, batch size %d".formatted(threads, batch);
        DenseNetwork actual = prune(options(repair, schedule), threads, batch);
        assertSameBits(actual, prune(options(repair, schedule), threads, batch), "again, " + where);
        assertEquals(change, change(network, actual), 0.05 * change, where);
        double difference = change(expected, actual);
        assertTrue(difference <= 0.1 * change, "%s: %g of %g".formatted(where, difference, change));
      }
    }
  }

  /// E‖y − y′‖² on the samples.
  private double change(DenseNetwork one, DenseNetwork other) throws IOException {
    try (Backend backend = new CpuBackend();
        DeviceNetwork x = DeviceNetwork.copyOf(backend, one);
        DeviceNetwork y = DeviceNetwork.copyOf(backend, other)) {
      return OutputChange
          .measure(backend, x, y, Dataset.of(new MatrixSamples("samples", samples)), 500, ProgressListener.NONE)
          .total();
    }
  }
}
