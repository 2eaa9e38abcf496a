package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Sensitivity;
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
import java.util.random.RandomGenerator;

/// Features whose scales go from 10⁻⁶ to 10⁶, side by side, in a network that does not even them out: neurons are
/// sensitive where an input is small, and its variance there is 10⁻¹² of its variance elsewhere.
public final class UnevenFeatures {
  private static final int SAMPLES = 600;

  private UnevenFeatures() {}

  /// Compares importances of a backend with the reference's.
  public static void check(Backend backend) throws IOException {
    for (boolean heavyTails : new boolean[]{false, true}) {
      for (String sensitivity : List.of("jacobian", "jacobian:smooth=0.2")) {
        check(backend, heavyTails, Sensitivity.parse(sensitivity));
      }
    }
  }

  private static void check(Backend backend, boolean heavyTails, Sensitivity sensitivity) throws IOException {
    try (Arena arena = Arena.ofShared(); Backend reference = new ReferenceBackend()) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(13, 20, 15, 4),
          List.of(Activation.RELU, Activation.RELU, Activation.IDENTITY));
      Dataset data = TestNetworks.source(samples(arena, heavyTails));
      List<double[]> expected = importances(reference, network, data, sensitivity);
      List<double[]> found = importances(backend, network, data, sensitivity);
      for (int l = 0; l < expected.size(); l++) {
        double median = medianOfPositive(expected.get(l));
        assertTrue(median > 0);
        for (int at = 0; at < expected.get(l).length; at++) {
          double right = expected.get(l)[at];
          assertEquals(right, found.get(l)[at], 1e-3 * Math.max(right, median / 10),
              "%s, heavy tails %s, layer %d, index %d".formatted(sensitivity, heavyTails, l, at));
        }
      }
    }
  }

  private static MatrixView samples(Arena arena, boolean heavyTails) {
    RandomGenerator random = TestNetworks.random(2);
    MatrixView samples = MatrixView.allocate(arena, SAMPLES, 13);
    for (int n = 0; n < SAMPLES; n++) {
      for (int j = 0; j < 13; j++) {
        double value = random.nextGaussian();
        samples.set(n, j, (float) ((heavyTails ? Math.exp(2 * value) : value) * Math.pow(10, j - 6)));
      }
    }
    return samples;
  }

  private static double medianOfPositive(double... values) {
    double[] positive = Arrays.stream(values).filter(value -> value > 0).sorted().toArray();
    return positive[positive.length / 2];
  }

  private static List<double[]> importances(Backend backend, DenseNetwork network, Dataset data,
      Sensitivity sensitivity) throws IOException {
    ScoringPlan plan = PruningPlan.of(PruningOptions.builder().sensitivity(sensitivity).batchSize(200).build(), network,
        Optional.of(data), backend).scoring();
    List<double[]> all = new ArrayList<>();
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan, Optional.of(data), ProgressListener.NONE)) {
      for (int i = 0; i < scores.size(); i++) {
        all.add(TestNetworks.values(backend, scores.importance(i)));
      }
    }
    return all;
  }
}
