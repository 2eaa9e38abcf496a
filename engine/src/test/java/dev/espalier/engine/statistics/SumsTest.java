package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
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

  /// Those of a neuron whose sensitivity is always 1.
  @Test
  void momentsOfInputsMergeAsWeightedOnes() {
    SumsOfSamples data = SumsOfSamples.random(arena, 5, 60, 1, 7, 10);
    for (int n = 0; n < 60; n++) {
      data.sensitivity().set(n, 0, 1);
    }
    Sums expected = merge(parts(data, new Statistic.WeightedMoments(), 9));
    List<Sums> parts = parts(data, new Statistic.InputMoments(), 9);
    SumsTotal total = new SumsTotal(parts.getFirst());
    parts.stream().skip(1).forEach(total::add);
    for (Sums sums : List.of(merge(parts), total.sums(arena))) {
      assertEquals(60, sums.samples());
      for (String array : List.of("pilot_mean", "m1", "m2")) {
        double[] values = values(sums, array);
        double largest = Arrays.stream(values(expected, array)).map(Math::abs).max().orElseThrow();
        for (int at = 0; at < values.length; at++) {
          assertEquals(values(expected, array)[at], values[at], 10 * FLOAT32 * largest, array + " " + at);
        }
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

  /// As merged, but each part is rounded once and the total once, however many there are.
  @Test
  void totalsRoundOnce() {
    SumsOfSamples data = SumsOfSamples.random(arena, 8, 60, 7, 9, 20);
    List<Sums> parts = parts(data, new Statistic.WeightedMoments(), 1);
    SumsTotal total = new SumsTotal(parts.getFirst());
    parts.stream().skip(1).forEach(total::add);
    Sums sums = total.sums(arena);
    assertEquals(60, sums.samples());
    double[] pilot = values(sums, "pilot_mean");
    assertArrayEquals(values(parts.getFirst(), "pilot_mean"), pilot);
    double[] apart = new double[pilot.length];
    double[] rounded = new double[pilot.length];
    for (Sums part : parts) {
      for (int j = 0; j < pilot.length; j++) {
        double other = part.array("pilot_mean").get(0, j);
        apart[j] = Math.max(apart[j], 2 * Math.abs(other - pilot[j]));
        rounded[j] = Math.max(rounded[j], 2 * FLOAT32 * Math.abs(other));
      }
    }
    data.assertMoments(pilot, rounded, apart, 2 * FLOAT32, values(sums, "m0"), values(sums, "m1"), values(sums, "m2"));
  }

  @Test
  void totalsOfOtherStatisticsAddUp() {
    SumsOfSamples data = SumsOfSamples.random(arena, 9, 40, 3, 5, 1);
    for (Statistic statistic : List.of(new Statistic.InputSquares(), new Statistic.LossGradient())) {
      List<Sums> parts = parts(data, statistic, 9);
      SumsTotal total = new SumsTotal(parts.getFirst());
      parts.stream().skip(1).forEach(total::add);
      String array = statistic.arrays(3, 5).getFirst().name();
      double[] expected = new double[values(parts.getFirst(), array).length];
      for (Sums part : parts) {
        for (int at = 0; at < expected.length; at++) {
          expected[at] += values(part, array)[at];
        }
      }
      double[] actual = values(total.sums(arena), array);
      for (int at = 0; at < expected.length; at++) {
        assertEquals((float) expected[at], (float) actual[at], array + " " + at);
      }
      assertThrows(IllegalArgumentException.class,
          () -> total.add(data.sums(backend, new Statistic.WeightedMoments(), 0, 40, arena)));
    }
  }

  /// Of parts, around means of their own, whose float32 rounds once; the total rounds once more.
  @Test
  void totalsOfCovariancesAreThoseOfAllSamples() {
    SumsOfSamples data = SumsOfSamples.random(arena, 12, 60, 7, 9, 3);
    Statistic statistic = new Statistic.Covariance(Statistic.Covariance.Pair.ERRORS);
    SumsTotal total = new SumsTotal(covariance(data, statistic, 0, 20));
    total.add(covariance(data, statistic, 20, 21));
    total.add(covariance(data, statistic, 21, 60));
    Sums found = total.sums(arena);
    Sums expected = covariance(data, statistic, 0, 60);
    assertEquals(60, found.samples());
    for (int i = 0; i < 7; i++) {
      assertEquals(expected.array("row_mean").get(0, i), found.array("row_mean").get(0, i), 4 * FLOAT32 * 10);
      for (int j = 0; j < 9; j++) {
        // No term is larger than (5 spreads)² in 60 samples, and means of 3 are off by 3 u.
        assertEquals(expected.array("products").get(i, j), found.array("products").get(i, j), 60 * 25 * 4 * FLOAT32);
      }
    }
    assertThrows(IllegalArgumentException.class, () -> found.merge(expected, arena));
  }

  private Sums covariance(SumsOfSamples data, Statistic statistic, int first, int end) {
    double[] rows = means(data.lossGradient(), first, end);
    double[] columns = means(data.input(), first, end);
    MatrixView products = MatrixView.allocate(arena, rows.length, columns.length);
    for (int i = 0; i < rows.length; i++) {
      for (int j = 0; j < columns.length; j++) {
        double sum = 0;
        for (int n = first; n < end; n++) {
          sum += (data.lossGradient().get(n, i) - rows[i]) * (data.input().get(n, j) - columns[j]);
        }
        products.set(i, j, (float) sum);
      }
    }
    return new Sums(statistic, rows.length, columns.length, end - first,
        Map.of("row_mean", row(rows), "column_mean", row(columns), "products", products));
  }

  private static double[] means(MatrixView values, int first, int end) {
    double[] means = new double[values.columns()];
    for (int j = 0; j < means.length; j++) {
      for (int n = first; n < end; n++) {
        means[j] += (double) values.get(n, j) / (end - first);
      }
    }
    return means;
  }

  private MatrixView row(double... values) {
    MatrixView row = MatrixView.allocate(arena, 1, values.length);
    for (int j = 0; j < values.length; j++) {
      row.set(0, j, (float) values[j]);
    }
    return row;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 100})
  void blocksMakeTheWhole(int side) {
    SumsOfSamples data = SumsOfSamples.random(arena, 10, 20, 7, 9, 10);
    for (Statistic statistic : Statistic.all()) {
      Sums whole = data.sums(backend, statistic, 0, 20, arena);
      Map<String, MatrixView> zeros = new LinkedHashMap<>();
      statistic.arrays(7, 9)
          .forEach(array -> zeros.put(array.name(), MatrixView.allocate(arena, array.rows(), array.columns())));
      Sums copy = new Sums(statistic, 7, 9, 20, zeros);
      for (Block block : Block.grid(statistic, 7, 9, side)) {
        boolean isOfInputs = statistic instanceof Statistic.InputSquares || statistic instanceof Statistic.InputMoments;
        assertTrue(block.inputs() <= side && (block.outputs() <= side || isOfInputs));
        copy.put(block, whole.block(block, arena));
      }
      SumsOfSamples.assertSameBits(whole, copy);
    }
  }

  /// A block's sums merge without the rest of the layer.
  @Test
  void blocksMergeAsTheWhole() {
    SumsOfSamples data = SumsOfSamples.random(arena, 11, 20, 7, 9, 10);
    Sums first = data.sums(backend, new Statistic.WeightedMoments(), 0, 12, arena);
    Sums second = data.sums(backend, new Statistic.WeightedMoments(), 12, 20, arena);
    for (Block block : Block.grid(first.statistic(), 7, 9, 4)) {
      SumsOfSamples.assertSameBits(first.merge(second, arena).block(block, arena),
          first.block(block, arena).merge(second.block(block, arena), arena));
    }
    Block corner = new Block(0, 4, 0, 4);
    assertThrows(IllegalArgumentException.class, () -> first.put(corner, second.block(corner, arena)));
    assertThrows(IllegalArgumentException.class, () -> first.put(corner, first.block(new Block(0, 4, 0, 5), arena)));
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
