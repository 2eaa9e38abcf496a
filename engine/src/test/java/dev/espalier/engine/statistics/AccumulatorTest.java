package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class AccumulatorTest {
  private final Arena arena = Arena.ofConfined();
  private final Backend reference = new ReferenceBackend();

  @AfterEach
  void close() {
    reference.close();
    arena.close();
  }

  /// Shapes and batches that straddle lanes and tiles.
  @ParameterizedTest
  @CsvSource({"1, 1, 1, 1", "5, 3, 4, 5", "40, 7, 9, 8", "60, 31, 33, 7", "200, 65, 130, 64"})
  void sumsAreThoseOfAPlainLoop(int samples, int outputs, int inputs, int batch) {
    SumsOfSamples data = SumsOfSamples.random(arena, 1, samples, outputs, inputs, 3);
    try (Backend cpu = new CpuBackend()) {
      check(reference, 0x1p-53, data, batch);
      check(cpu, 0x1p-24, data, batch);
    }
  }

  private static void check(Backend backend, double roundoff, SumsOfSamples data, int batch) {
    // As many terms are added, of which each was rounded a few times.
    double tolerance = (data.samples() + 6) * roundoff;
    for (boolean shifted : new boolean[]{true, false}) {
      try (MomentsAccumulator moments = (MomentsAccumulator) new Statistic.WeightedMoments().accumulator(backend,
          data.layer(), shifted)) {
        data.addTo(backend, moments, 0, data.samples(), batch);
        double[] pilot = TestNetworks.values(backend, moments.pilotMean());
        double[] mean = shifted ? data.columnMeans(Math.min(batch, data.samples())) : new double[data.inputs()];
        for (int j = 0; j < mean.length; j++) {
          assertEquals(mean[j], pilot[j], tolerance * 10);
        }
        data.assertMoments(pilot, new double[pilot.length], new double[pilot.length], tolerance,
            TestNetworks.values(backend, moments.m0()), TestNetworks.values(backend, moments.m1()),
            TestNetworks.values(backend, moments.m2()));
        assertEquals(data.samples(), moments.samples());
      }
    }
    try (
        InputSquaresAccumulator squares = (InputSquaresAccumulator) new Statistic.InputSquares().accumulator(backend,
            data.layer(), true);
        LossGradientAccumulator gradient = (LossGradientAccumulator) new Statistic.LossGradient().accumulator(backend,
            data.layer(), true)) {
      data.addTo(backend, squares, 0, data.samples(), batch);
      data.addTo(backend, gradient, 0, data.samples(), batch);
      double[] foundSquares = TestNetworks.values(backend, squares.squares());
      double[] foundGradient = TestNetworks.values(backend, gradient.gradient());
      for (int j = 0; j < data.inputs(); j++) {
        double sum = 0;
        for (int n = 0; n < data.samples(); n++) {
          sum += Math.pow(data.input().get(n, j), 2);
        }
        assertEquals(sum, foundSquares[j], tolerance * sum);
        for (int i = 0; i < data.outputs(); i++) {
          double terms = 0;
          double absolute = 0;
          for (int n = 0; n < data.samples(); n++) {
            double term = (double) data.lossGradient().get(n, i) * data.input().get(n, j);
            terms += term;
            absolute += Math.abs(term);
          }
          assertEquals(terms, foundGradient[i * data.inputs() + j], tolerance * absolute);
        }
      }
    }
  }

  @Test
  void keepsItsAccuracyWhereTheMeanIsFarLargerThanTheSpread() {
    SumsOfSamples near = SumsOfSamples.random(arena, 2, 60, 3, 4, 0);
    SumsOfSamples far = SumsOfSamples.random(arena, 2, 60, 3, 4, 0);
    for (int n = 0; n < near.samples(); n++) {
      for (int j = 0; j < near.inputs(); j++) {
        // So that 1000 + near is exact in float32.
        near.input().set(n, j, Math.round(near.input().get(n, j) * 1024) / 1024f);
        far.input().set(n, j, 1000 + near.input().get(n, j));
      }
    }
    double[] expected = importance(near, 7);
    double[] actual = importance(far, 7);
    for (int at = 0; at < expected.length; at++) {
      assertEquals(expected[at], actual[at], 1e-11 * expected[at]);
    }
  }

  /// A batch that comes again and again, so that float32 rounds each sum the same way.
  @Test
  void sumsOverManyBatchesDoNotDrift() {
    SumsOfSamples data = SumsOfSamples.random(arena, 3, 1, 3, 5, 0);
    int times = 20 * Accumulator.BATCHES + 7;
    try (Backend cpu = new CpuBackend()) {
      for (Statistic statistic : List.of(new Statistic.WeightedMoments(), new Statistic.InputSquares(),
          new Statistic.LossGradient())) {
        Sums one = sums(cpu, statistic, data, 1);
        Sums all = sums(cpu, statistic, data, times);
        assertEquals(times, all.samples());
        double drift = 0;
        for (Statistic.Array array : statistic.arrays(data.outputs(), data.inputs())) {
          for (long i = 0; i < array.rows() * (long) array.columns(); i++) {
            float term = one.array(array.name()).segment().getAtIndex(MatrixView.ELEMENT, i);
            float naive = 0;
            for (int n = 0; n < times; n++) {
              naive += term;
            }
            double expected = times * (double) term;
            float found = all.array(array.name()).segment().getAtIndex(MatrixView.ELEMENT, i);
            // A term may be rounded differently where it is added to others; so may each of the 512 sums.
            assertEquals(expected, found, (Accumulator.BATCHES / 2 + 8) * 0x1p-24 * Math.abs(expected) + 1e-30,
                "%s of %s at %d".formatted(array.name(), statistic, i));
            drift = term == 0 ? drift : Math.max(drift, Math.abs(naive / expected - 1));
          }
        }
        assertTrue(drift > (Accumulator.BATCHES / 2 + 8) * 0x1p-24, statistic + " drifts by " + drift);
      }
    }
  }

  private Sums sums(Backend backend, Statistic statistic, SumsOfSamples data, int times) {
    try (Accumulator accumulator = statistic.accumulator(backend, data.layer(), false)) {
      for (int i = 0; i < times; i++) {
        data.addTo(backend, accumulator, 0, 1, 1);
      }
      return accumulator.sums(arena);
    }
  }

  @Test
  void importanceDoesNotDependOnBatches() {
    SumsOfSamples data = SumsOfSamples.random(arena, 3, 60, 3, 4, 20);
    double[] whole = importance(data, 60);
    for (int batch : new int[]{1, 7, 59}) {
      double[] split = importance(data, batch);
      for (int at = 0; at < whole.length; at++) {
        assertEquals(whole[at], split[at], 1e-12 * Math.max(1, whole[at]));
      }
    }
  }

  /// Of weights of 1.
  private double[] importance(SumsOfSamples data, int batch) {
    float[] ones = new float[data.outputs() * data.inputs()];
    Arrays.fill(ones, 1);
    try (
        MomentsAccumulator moments = (MomentsAccumulator) new Statistic.WeightedMoments().accumulator(reference,
            data.layer(), true);
        Matrix weights = TestNetworks.upload(reference, MatrixView.of(arena, data.outputs(), data.inputs(), ones))) {
      data.addTo(reference, moments, 0, data.samples(), batch);
      reference.moments().eliminationScores(weights, moments.m0(), moments.m1(), moments.m2(), moments.pilotMean(),
          moments.samples());
      return TestNetworks.values(reference, moments.m2());
    }
  }

  /// What was added before is forgotten, and the pilot mean of the loaded sums stays.
  @Test
  void goesOnFromLoadedSums() {
    SumsOfSamples data = SumsOfSamples.random(arena, 4, 50, 3, 5, 10);
    for (Statistic statistic : Statistic.all()) {
      try (Accumulator first = statistic.accumulator(reference, data.layer(), true);
          Accumulator second = statistic.accumulator(reference, data.layer(), true);
          Accumulator whole = statistic.accumulator(reference, data.layer(), true)) {
        data.addTo(reference, first, 0, 20, 20);
        data.addTo(reference, second, 35, 50, 5);
        second.load(first.sums(arena));
        assertEquals(20, second.samples());
        SumsOfSamples.assertSameBits(first.sums(arena), second.sums(arena));
        data.addTo(reference, second, 20, 50, 30);
        data.addTo(reference, whole, 0, 20, 20);
        whole.load(whole.sums(arena)); // rounds to float32, as the other was
        data.addTo(reference, whole, 20, 50, 30);
        SumsOfSamples.assertSameBits(whole.sums(arena), second.sums(arena));
      }
    }
  }

  /// On the CPU the sums are merged where they lie, by several threads where they are large.
  @Test
  void mergesOtherSumsAsSumsDo() {
    SumsOfSamples data = SumsOfSamples.random(arena, 4, 50, 300, 500, 10);
    try (Backend cpu = Device.CPU.open()) {
      for (Backend backend : List.of(reference, cpu)) {
        for (Statistic statistic : Statistic.all()) {
          try (Accumulator first = statistic.accumulator(backend, data.layer(), true);
              Accumulator second = statistic.accumulator(backend, data.layer(), true)) {
            data.addTo(backend, first, 0, 20, 20);
            data.addTo(backend, second, 20, 50, 15);
            Sums merged = first.sums(arena).merge(second.sums(arena), arena);
            first.merge(second.onHost(arena));
            SumsOfSamples.assertSameBits(merged, first.sums(arena));
          }
        }
      }
    }
  }

  @Test
  void refusesSumsOfAnotherStatisticOrShape() {
    SumsOfSamples data = SumsOfSamples.random(arena, 5, 2, 2, 3, 0);
    SumsOfSamples turned = SumsOfSamples.random(arena, 5, 2, 3, 2, 0);
    try (Accumulator moments = new Statistic.WeightedMoments().accumulator(reference, data.layer(), true);
        Accumulator other = new Statistic.WeightedMoments().accumulator(reference, turned.layer(), true);
        Accumulator squares = new Statistic.InputSquares().accumulator(reference, data.layer(), true)) {
      for (Accumulator wrong : List.of(other, squares)) {
        Sums sums = wrong.sums(arena);
        assertEquals(
            "%s of a %d × %d layer do not merge with moments of a 2 × 3 layer".formatted(sums.statistic(),
                sums.outputs(), sums.inputs()),
            assertThrows(IllegalArgumentException.class, () -> moments.load(sums)).getMessage());
      }
    }
  }

  @Test
  void sumsAreRoundedCopies() {
    SumsOfSamples data = SumsOfSamples.random(arena, 6, 9, 2, 3, 1);
    try (MomentsAccumulator moments = (MomentsAccumulator) new Statistic.WeightedMoments().accumulator(reference,
        data.layer(), true)) {
      data.addTo(reference, moments, 0, 9, 4);
      Sums sums = moments.sums(arena);
      float[] m2 = sums.array("m2").toArray();
      double[] unrounded = TestNetworks.values(reference, moments.m2());
      for (int at = 0; at < m2.length; at++) {
        assertEquals((float) unrounded[at], m2[at]);
      }
      data.addTo(reference, moments, 0, 9, 4);
      assertArrayEquals(m2, sums.array("m2").toArray());
      assertTrue(moments.sums(arena).array("m2").get(0, 0) > m2[0]);
    }
  }
}
