package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class SumsTest {
  private static final double FLOAT32 = 0x1p-24;

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// Each part has a pilot mean of its own. A part is rounded to float32 once, and each merge rounds once more.
  @ParameterizedTest
  @ValueSource(ints = {60, 31, 9, 1})
  void momentsOfPartsMergeToThoseOfAllSamplesInAnyOrder(int samplesOfAPart) {
    SumsOfSamples data = SumsOfSamples.random(arena, 1, 60, 7, 9, 20);
    List<Sums> parts = new ArrayList<>(parts(data, new Statistic.WeightedMoments(), samplesOfAPart));
    for (int seed = 0; seed < 5; seed++) {
      Collections.shuffle(parts, new Random(seed));
      Sums merged = merge(parts);
      assertEquals(60, merged.samples());
      double[] pilot = values(merged, "pilot_mean");
      assertArrayEquals(values(parts.getFirst(), "pilot_mean"), pilot);
      // |a − c| + |c − c′| of a part is at most |a − c′| + 2 |c − c′|.
      double[] apart = new double[pilot.length];
      double[] rounded = new double[pilot.length];
      for (Sums part : parts) {
        for (int j = 0; j < pilot.length; j++) {
          double other = part.array("pilot_mean").get(0, j);
          apart[j] = Math.max(apart[j], 2 * Math.abs(other - pilot[j]));
          rounded[j] = Math.max(rounded[j], 2 * FLOAT32 * Math.abs(other));
        }
      }
      data.assertMoments(pilot, rounded, apart, (parts.size() + 1) * FLOAT32, values(merged, "m0"),
          values(merged, "m1"), values(merged, "m2"));
    }
  }

  /// What scores are made of does not depend on the pilot mean: M2 − M1²/M0, and c + M1/M0.
  @Test
  void scoresOfMergedMomentsDifferInTheLastBitsOnly() {
    SumsOfSamples data = SumsOfSamples.random(arena, 2, 60, 7, 9, 20);
    Sums whole = data.sums(backend, new Statistic.WeightedMoments(), 0, 60, arena);
    List<Sums> parts = new ArrayList<>(parts(data, new Statistic.WeightedMoments(), 9));
    for (int seed = 0; seed < 5; seed++) {
      Collections.shuffle(parts, new Random(seed));
      Sums merged = merge(parts);
      for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 9; j++) {
          assertEquals(residual(whole, i, j), residual(merged, i, j), 50 * FLOAT32 * residual(whole, i, j));
          assertEquals(mean(whole, i, j), mean(merged, i, j), 4 * FLOAT32 * mean(whole, i, j));
        }
      }
    }
  }

  private static double residual(Sums moments, int i, int j) {
    double m1 = moments.array("m1").get(i, j);
    return moments.array("m2").get(i, j) - m1 * m1 / moments.array("m0").get(0, i);
  }

  private static double mean(Sums moments, int i, int j) {
    return moments.array("pilot_mean").get(0, j)
        + (double) moments.array("m1").get(i, j) / moments.array("m0").get(0, i);
  }

  @Test
  void otherSumsAddUp() {
    SumsOfSamples data = SumsOfSamples.random(arena, 3, 60, 5, 2049, 1); // more than are merged at a time
    for (Statistic statistic : List.of(new Statistic.InputSquares(), new Statistic.LossGradient())) {
      Sums whole = data.sums(backend, statistic, 0, 60, arena);
      List<Sums> parts = parts(data, statistic, 9);
      Sums merged = merge(parts);
      assertEquals(60, merged.samples());
      String array = statistic.arrays(5, 2049).getFirst().name();
      double[] expected = values(whole, array);
      double[] actual = values(merged, array);
      double[] sizes = new double[expected.length];
      for (Sums part : parts) {
        double[] values = values(part, array);
        for (int at = 0; at < sizes.length; at++) {
          sizes[at] += Math.abs(values[at]);
        }
      }
      for (int at = 0; at < expected.length; at++) {
        assertEquals(expected[at], actual[at], (parts.size() + 1) * FLOAT32 * sizes[at], array + " " + at);
      }
    }
  }

  @Test
  void mergingWithSumsOfNoSamplesChangesNoBit() {
    SumsOfSamples data = SumsOfSamples.random(arena, 4, 20, 3, 5, 10);
    for (Statistic statistic : Statistic.all()) {
      Sums some = data.sums(backend, statistic, 0, 20, arena);
      try (Accumulator empty = statistic.accumulator(backend, data.layer(), true)) {
        Sums none = empty.sums(arena);
        SumsOfSamples.assertSameBits(some, some.merge(none, arena));
        SumsOfSamples.assertSameBits(some, none.merge(some, arena));
        SumsOfSamples.assertSameBits(none, none.merge(none, arena));
      }
    }
  }

  @Test
  void mergingLeavesBothAsTheyAre() {
    SumsOfSamples data = SumsOfSamples.random(arena, 5, 20, 3, 5, 10);
    Statistic statistic = new Statistic.WeightedMoments();
    Sums first = data.sums(backend, statistic, 0, 12, arena);
    Sums second = data.sums(backend, statistic, 12, 20, arena);
    Sums merged = first.merge(second, arena);
    SumsOfSamples.assertSameBits(data.sums(backend, statistic, 0, 12, arena), first);
    SumsOfSamples.assertSameBits(data.sums(backend, statistic, 12, 20, arena), second);
    assertNotEquals(first.array("m2").get(0, 0), merged.array("m2").get(0, 0));
  }

  @Test
  void refusesWhatIsOfAnotherStatisticOrShape() {
    SumsOfSamples data = SumsOfSamples.random(arena, 6, 2, 2, 3, 0);
    SumsOfSamples turned = SumsOfSamples.random(arena, 6, 2, 3, 2, 0);
    Sums moments = data.sums(backend, new Statistic.WeightedMoments(), 0, 2, arena);
    Sums other = turned.sums(backend, new Statistic.WeightedMoments(), 0, 2, arena);
    Sums squares = data.sums(backend, new Statistic.InputSquares(), 0, 2, arena);
    refused("moments of a 3 × 2 layer do not merge with moments of a 2 × 3 layer", () -> moments.merge(other, arena));
    refused("input_squares of a 2 × 3 layer do not merge with moments of a 2 × 3 layer",
        () -> moments.merge(squares, arena));
  }

  @Test
  void refusesArraysThatAreNotTheStatistics() {
    Map<String, MatrixView> arrays = new LinkedHashMap<>(SumsOfSamples.random(arena, 7, 2, 2, 3, 0)
        .sums(backend, new Statistic.WeightedMoments(), 0, 2, arena).arrays());
    refused("-1 samples", () -> new Sums(new Statistic.WeightedMoments(), 2, 3, -1, arrays));
    refused("m0 of moments is 1 × 2, not 1 × 3", () -> new Sums(new Statistic.WeightedMoments(), 3, 3, 2, arrays));
    arrays.put("m3", MatrixView.allocate(arena, 1, 1));
    refused("[pilot_mean, m0, m1, m2, m3] are not the 4 arrays of moments",
        () -> new Sums(new Statistic.WeightedMoments(), 2, 3, 2, arrays));
    arrays.remove("m0");
    refused("m0 of moments is missing, not 1 × 2", () -> new Sums(new Statistic.WeightedMoments(), 2, 3, 2, arrays));
  }

  private static void refused(String message, Runnable action) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, action::run).getMessage());
  }

  private List<Sums> parts(SumsOfSamples data, Statistic statistic, int samples) {
    List<Sums> parts = new ArrayList<>();
    for (int first = 0; first < data.samples(); first += samples) {
      parts.add(data.sums(backend, statistic, first, Math.min(data.samples(), first + samples), arena));
    }
    return parts;
  }

  private Sums merge(List<Sums> parts) {
    return parts.stream().reduce((a, b) -> a.merge(b, arena)).orElseThrow();
  }

  private static double[] values(Sums sums, String array) {
    float[] values = sums.array(array).toArray();
    return IntStream.range(0, values.length).mapToDouble(i -> values[i]).toArray();
  }
}
