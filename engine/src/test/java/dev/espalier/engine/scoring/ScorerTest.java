package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ScorerTest {
  private final Arena arena = Arena.ofShared(); // of the test's thread and those of the CPU backend
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(9, 8, 7, 3),
      List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));

  @AfterEach
  void close() {
    arena.close();
  }

  private Dataset data(int samples) {
    MatrixView labels = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      labels.set(n, 0, n % 3);
    }
    return TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), samples, 9, 1, 3), labels);
  }

  private List<double[]> scores(Backend backend, Criterion criterion, Dataset data, int batchSize) throws IOException {
    return scores(backend, network, criterion, data, batchSize);
  }

  /// Importances of all layers, and compensations where there are any.
  private static List<double[]> scores(Backend backend, DenseNetwork network, Criterion criterion, Dataset data,
      int batchSize) throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(criterion).batchSize(batchSize).build();
    ScoringPlan plan = PruningPlan.of(options, network, Optional.of(data), backend).scoring();
    List<double[]> all = new ArrayList<>();
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan, Optional.of(data), ProgressListener.NONE)) {
      for (int i = 0; i < scores.size(); i++) {
        all.add(TestNetworks.values(backend, scores.importance(i)));
        scores.compensation(i).ifPresent(c -> all.add(TestNetworks.values(backend, c)));
        scores.meanSensitivity(i).ifPresent(s -> all.add(toDouble(s)));
      }
    }
    return all;
  }

  private static double[] toDouble(float... values) {
    double[] doubles = new double[values.length];
    Arrays.setAll(doubles, i -> values[i]);
    return doubles;
  }

  /// Each thread has a pilot mean of its own, and sums that are merged at the end. Their number changes the last bits,
  /// but no two runs differ.
  @ParameterizedTest
  @ValueSource(strings = {"ec", "wanda", "gradient"})
  void threadsShareTheSamples(String name) throws IOException {
    Criterion criterion = Criterion.parse(name);
    Dataset data = data(500);
    List<double[]> expected;
    try (Backend reference = new ReferenceBackend()) {
      expected = scores(reference, criterion, data, 64);
    }
    for (int threads = 1; threads <= Runtime.getRuntime().availableProcessors(); threads++) {
      for (int batchSize : new int[]{7, 64, 1000}) {
        try (Backend cpu = new CpuBackend(threads, Precision.FP32)) {
          List<double[]> found = scores(cpu, criterion, data, batchSize);
          List<double[]> again = scores(cpu, criterion, data, batchSize);
          assertEquals(expected.size(), found.size());
          for (int i = 0; i < found.size(); i++) {
            double largest = Arrays.stream(expected.get(i)).map(Math::abs).max().orElseThrow();
            // 500 terms are added.
            assertArrayEquals(expected.get(i), found.get(i), 500 * 0x1p-24 * largest);
            assertArrayEquals(found.get(i), again.get(i));
          }
        }
      }
    }
  }

  /// The mean gradient of many samples keeps its digits: it is the sum, scaled once.
  @Test
  void gradientsOfManySamplesKeepTheirDigits() throws IOException {
    int samples = 300_000;
    MatrixView inputs = TestNetworks.normal(arena, TestNetworks.random(5), samples, 2, 1, 0.5);
    Dataset data = TestNetworks.source(inputs, TestNetworks.normal(arena, TestNetworks.random(6), samples, 1, 1, 3));
    DenseNetwork linear = TestNetworks.network(arena, 7, List.of(2, 1), List.of(Activation.IDENTITY));
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend(2, Precision.FP32)) {
      double[] expected = scores(reference, linear, new Criterion.Gradient(), data, 512).getFirst();
      double[] found = scores(cpu, linear, new Criterion.Gradient(), data, 512).getFirst();
      for (int i = 0; i < found.length; i++) {
        // Some 600 batches are added, each of whose sums is off by a few roundings.
        assertEquals(expected[i], found[i], 1e-5 * expected[i]);
      }
    }
  }

  @Test
  void featuresOfUnevenScalesKeepTheirDigits() throws IOException {
    for (int threads = 1; threads <= 2; threads++) {
      try (Backend cpu = new CpuBackend(threads, Precision.FP32)) {
        UnevenFeatures.check(cpu);
      }
    }
  }

  @Test
  void namesTheScoreThatIsNotFinite() throws IOException {
    network.layers().get(2).weights().set(1, 4, 3e30f);
    Dataset data = data(20);
    try (Backend backend = new CpuBackend(); DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      ScoringPlan plan = PruningPlan
          .of(PruningOptions.builder().exclude("layer0", "layer1").build(), network, Optional.of(data), backend)
          .scoring();
      try (Scores scores = Scorer.score(backend, device, plan, Optional.of(data), ProgressListener.NONE)) {
        assertEquals(Optional.empty(), scores.histogram(0, 10));
        String message = assertThrows(NonFiniteException.class, () -> scores.rank(device)).getMessage();
        assertEquals(
            "the importance of layer2.weight at [1, 4] is not finite: " + "the network's values are too large for it",
            message);
      }
    }
  }
}
