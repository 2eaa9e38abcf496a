package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.random.RandomGenerator;

/// What the passes found of some samples at one layer, and the sums of it by plain loops in double.
///
/// @param input a, samples × inputs
/// @param sensitivity s, samples × outputs, at least 0
/// @param lossGradient samples × outputs
record SumsOfSamples(DenseLayer layer, MatrixView input, MatrixView sensitivity, MatrixView lossGradient) {
  static SumsOfSamples random(Arena arena, long seed, int samples, int outputs, int inputs, double mean) {
    RandomGenerator random = TestNetworks.random(seed);
    MatrixView sensitivity = TestNetworks.normal(arena, random, samples, outputs, 1, 0);
    for (long i = 0; i < sensitivity.elements(); i++) {
      float value = sensitivity.segment().getAtIndex(MatrixView.ELEMENT, i);
      sensitivity.segment().setAtIndex(MatrixView.ELEMENT, i, value * value);
    }
    return new SumsOfSamples(
        new DenseLayer("0", MatrixView.allocate(arena, outputs, inputs), Optional.empty(), Activation.IDENTITY),
        TestNetworks.normal(arena, random, samples, inputs, 1, mean), sensitivity,
        TestNetworks.normal(arena, random, samples, outputs, 1, 0));
  }

  int samples() {
    return input.rows();
  }

  int outputs() {
    return sensitivity.columns();
  }

  int inputs() {
    return input.columns();
  }

  /// Adds the samples from `first` to before `end`, in batches.
  void addTo(Backend backend, Accumulator accumulator, int first, int end, int batch) {
    for (int at = first; at < end; at += batch) {
      int rows = Math.min(batch, end - at);
      try (Matrix a = TestNetworks.upload(backend, input.slice(at, rows));
          Matrix s = TestNetworks.upload(backend, sensitivity.slice(at, rows));
          Matrix g = TestNetworks.upload(backend, lossGradient.slice(at, rows))) {
        LayerBatch found = new LayerBatch(a, Optional.of(s), Optional.of(g));
        accumulator.begin(found, 1);
        accumulator.add(found);
      }
    }
  }

  /// Sums of some samples in one batch.
  Sums sums(Backend backend, Statistic statistic, int first, int end, Arena arena) {
    try (Accumulator accumulator = statistic.accumulator(backend, layer, true)) {
      addTo(backend, accumulator, first, end, end - first);
      return accumulator.sums(arena);
    }
  }

  /// Of the first samples.
  double[] columnMeans(int samples) {
    double[] means = new double[inputs()];
    for (int j = 0; j < means.length; j++) {
      for (int n = 0; n < samples; n++) {
        means[j] += input.get(n, j);
      }
      means[j] /= samples;
    }
    return means;
  }

  /// Compares moments around a pilot mean with plain sums.
  ///
  /// @param pilotError by input, how much it may have been rounded after the sums were taken
  /// @param apart by input, how much larger |a − c| may have been where the sums were taken
  /// @param tolerance as a fraction of the sum of all terms' absolute values
  void assertMoments(double[] pilot, double[] pilotError, double[] apart, double tolerance, double[] m0, double[] m1,
      double[] m2) {
    for (int i = 0; i < outputs(); i++) {
      double sum0 = 0;
      for (int n = 0; n < samples(); n++) {
        sum0 += sensitivity.get(n, i);
      }
      assertEquals(sum0, m0[i], tolerance * sum0);
      for (int j = 0; j < inputs(); j++) {
        double sum1 = 0;
        double sum2 = 0;
        double error1 = 0;
        double error2 = 0;
        for (int n = 0; n < samples(); n++) {
          double s = sensitivity.get(n, i);
          double a = input.get(n, j) - pilot[j];
          double size = Math.abs(a) + apart[j];
          sum1 += s * a;
          sum2 += s * a * a;
          error1 += s * (tolerance * size + pilotError[j]);
          error2 += s * (tolerance * size * size + (2 * size + pilotError[j]) * pilotError[j]);
        }
        String where = "[%d, %d]".formatted(i, j);
        assertEquals(sum1, m1[i * inputs() + j], error1, where);
        assertEquals(sum2, m2[i * inputs() + j], error2, where);
      }
    }
  }

  static void assertSameBits(Sums expected, Sums actual) {
    assertEquals(expected.statistic(), actual.statistic());
    assertEquals(expected.outputs(), actual.outputs());
    assertEquals(expected.inputs(), actual.inputs());
    assertEquals(expected.samples(), actual.samples());
    assertEquals(expected.arrays().keySet(), actual.arrays().keySet());
    expected.arrays().forEach((name, array) -> assertArrayEquals(array.segment().toArray(ValueLayout.JAVA_BYTE),
        actual.array(name).segment().toArray(ValueLayout.JAVA_BYTE), name));
  }
}
