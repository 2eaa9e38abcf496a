package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.TestBackend.filled;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.backend.TestBackend.ExpectedSums;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// [SelectionOperations], against sorting and loops written here. Scores have few distinct values, so that ties
/// straddle rows and layers.
public interface SelectionOperationsContract {
  /// The backend of a test.
  TestBackend on();

  private SelectionOperations selection() {
    return on().backend().selection();
  }

  @Test
  default void ranksZerosFirstAndFindsTheFirstNonFiniteScore() {
    Matrix weights = on().upload(2, 3, 1, 0, -2, -0.0f, 4, 5);
    Matrix scores = on().upload(2, 3, 3, 2, 1, 7, 0, 5);
    assertEquals(-1, selection().rankZerosFirst(weights, scores));
    assertArrayEquals(new float[]{3, -1, 1, -1, 0, 5}, on().download(scores));
    assertEquals(4,
        selection().rankZerosFirst(weights, on().upload(2, 3, 3, 2, 1, 7, Float.NaN, Float.POSITIVE_INFINITY)));
    assertEquals(5, selection().rankZerosFirst(weights, on().upload(2, 3, 3, 2, 1, 7, 0, Float.NEGATIVE_INFINITY)));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 33, 300})
  default void cutsExactlyAsManyAsAsked(int columns) {
    List<float[]> layers = List.of(on().ties(columns * 3), on().ties(columns), on().ties(columns * 2));
    List<Matrix> scores = layers.stream().map(s -> on().upload(s.length / columns, columns, s)).toList();
    int total = columns * 6;
    for (int count : new int[]{0, 1, total / 3, total / 2, total - 1, total}) {
      List<Cut.Below> cuts = selection().cuts(scores, count);
      List<boolean[]> expected = leastByPosition(layers, count);
      for (int l = 0; l < layers.size(); l++) {
        String what = "count %d, layer %d".formatted(count, l);
        assertEquals(count(expected.get(l)), cuts.get(l).removed(), what);
        assertEquals(equal(layers.get(l), cuts.get(l).threshold()), cuts.get(l).equal(), what);
        Matrix weights = on().upload(scores.get(l).rows(), columns, filled(layers.get(l).length, 3));
        double sum = selection().remove(weights, scores.get(l), cuts.get(l), Optional.empty());
        checkRemoved(what, expected.get(l), layers.get(l), weights, sum);
      }
    }
  }

  /// Brute force: sort all scores by score, layer, position.
  private static List<boolean[]> leastByPosition(List<float[]> layers, int count) {
    record Entry(float score, int layer, int index) {}
    List<Entry> all = new ArrayList<>();
    for (int l = 0; l < layers.size(); l++) {
      for (int i = 0; i < layers.get(l).length; i++) {
        all.add(new Entry(layers.get(l)[i], l, i));
      }
    }
    all.sort(Comparator.comparingDouble(Entry::score).thenComparingInt(Entry::layer).thenComparingInt(Entry::index));
    List<boolean[]> removed = layers.stream().map(layer -> new boolean[layer.length]).toList();
    all.subList(0, count).forEach(entry -> removed.get(entry.layer)[entry.index] = true);
    return removed;
  }

  private static long equal(float[] scores, float threshold) {
    return IntStream.range(0, scores.length).filter(i -> scores[i] == threshold).count();
  }

  private static long count(boolean[] removed) {
    return IntStream.range(0, removed.length).filter(i -> removed[i]).count();
  }

  /// That of weights which were 3 those are 0 which should be, and that the sum is that of their scores: exact, of
  /// small whole numbers.
  private void checkRemoved(String what, boolean[] removed, float[] scores, Matrix weights, double sum) {
    float[] left = on().download(weights);
    double expectedSum = 0;
    for (int i = 0; i < left.length; i++) {
      assertEquals(removed[i] ? 0 : 3, left[i], "%s, index %d".formatted(what, i));
      expectedSum += removed[i] ? Math.max(0, scores[i]) : 0;
    }
    assertEquals(expectedSum, sum, what);
  }

  @Test
  default void removingNothingChangesNothing() {
    Matrix weights = on().upload(2, 3, 1, 2, 3, 4, 5, 6);
    Matrix bias = on().upload(1, 2, 10, 20);
    Matrix scores = on().upload(2, 3, -1, 0, 1, -1, 2, 3);
    Optional<BiasChange> change = Optional.of(new BiasChange(bias, on().upload(2, 3, filled(6, 100))));
    assertEquals(List.of(Cut.NOTHING), selection().cuts(List.of(scores), 0));
    assertEquals(0, selection().remove(weights, scores, Cut.NOTHING, change));
    assertEquals(0, selection().remove(weights, scores, Cut.NOTHING, Optional.empty()));
    assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, on().download(weights));
    assertArrayEquals(new float[]{10, 20}, on().download(bias));
  }

  /// The last layer is spread over threads.
  @ParameterizedTest
  @CsvSource({"9, 1", "9, 7", "9, 33", "9, 300", "3, 5000", "600, 500"})
  default void compensatesWhatACutRemoves(int rows, int columns) {
    float[] s = on().ties(rows * columns);
    Matrix scores = on().upload(rows, columns, s);
    for (int count : rows > 9 ? new int[]{s.length / 3} : new int[]{1, s.length / 3, s.length - 1, s.length}) {
      boolean[] removed = leastByPosition(List.of(s), count).getFirst();
      checkCompensated(removed, s, scores, scores, selection().cuts(List.of(scores), count).getFirst());
    }
  }

  /// Removes with compensation.
  ///
  /// @param marked the scores that the cut looks at
  private void checkCompensated(boolean[] removed, float[] s, Matrix scores, Matrix marked, Cut.Below cut) {
    int rows = scores.rows();
    int columns = scores.columns();
    float[] b = on().normal(rows);
    float[] changes = on().normal(s.length);
    Matrix bias = on().upload(1, rows, b);
    Matrix compensation = on().upload(rows, columns, changes);
    Matrix weights = on().upload(rows, columns, filled(s.length, 3));
    double sum = selection().remove(weights, marked, cut, Optional.of(new BiasChange(bias, compensation)));
    checkRemoved(cut.toString(), removed, s, weights, sum);
    ExpectedSums expected = on().sums(rows);
    for (int i = 0; i < rows; i++) {
      expected.add(i, b[i]);
      for (int at = i * columns; at < (i + 1) * columns; at++) {
        expected.add(i, removed[at] ? changes[at] : 0);
      }
    }
    expected.check("bias after " + cut, bias);
    assertArrayEquals(s, on().download(scores));
    assertArrayEquals(changes, on().download(compensation));
  }

  @Test
  default void removesTheLeastOfEachGroup() {
    float[] s = {4, 1, 3, 2, 5, 5, /* next row */ 1, 1, 1, 1, -1, 9};
    Matrix scores = on().upload(2, 6, s);
    Matrix marked = on().upload(2, 6, filled(12, Float.NaN));
    assertEquals(4, selection().keepPerGroup(scores, 4, 2, marked)); // 2:4, the narrow last group keeps both
    float inf = Float.POSITIVE_INFINITY;
    assertArrayEquals(new float[]{inf, 1, inf, 2, inf, inf, 1, 1, inf, inf, inf, inf}, on().download(marked));
    assertArrayEquals(s, on().download(scores));
  }

  /// Groups that a row is a multiple of and others, narrower and wider than a warp; no, some and all scores removed.
  @ParameterizedTest
  @CsvSource({"9, 300, 1, 0.5", "9, 300, 1, 1", "9, 300, 2, 1", "9, 300, 4, 2", "9, 300, 4, 0", "9, 300, 4, 4",
      "9, 300, 7, 2.4", "9, 300, 32, 16", "9, 300, 33, 10.6", "9, 300, 64, 31.5", "9, 300, 299, 0.2",
      "9, 300, 300, 166.6666", "3, 5000, 5000, 3333.3", "600, 500, 8, 5.5"})
  default void removesAndCompensatesPerGroup(int rows, int columns, int groupWidth, double removedPerGroup) {
    float[] s = on().ties(rows * columns);
    Matrix scores = on().upload(rows, columns, s);
    Matrix marked = on().zeros(rows, columns);
    boolean[] removed = leastPerGroup(s, columns, groupWidth, removedPerGroup);
    long left = selection().keepPerGroup(scores, groupWidth, removedPerGroup, marked);
    assertEquals(count(removed), left);
    float[] found = on().download(marked);
    for (int at = 0; at < s.length; at++) {
      assertEquals(removed[at] ? s[at] : Float.POSITIVE_INFINITY, found[at], "index " + at);
    }
    checkCompensated(removed, s, scores, marked, new Cut.Below(Float.POSITIVE_INFINITY, left, 0, 0));
  }

  /// As the host marks what a mask keeps.
  @ParameterizedTest
  @CsvSource({"9, 1", "9, 33", "9, 300", "600, 500"})
  default void removesAndCompensatesWhatIsNotMarked(int rows, int columns) {
    float[] s = on().ties(rows * columns);
    float[] marked = s.clone();
    boolean[] removed = new boolean[s.length];
    for (int at = 0; at < s.length; at++) {
      removed[at] = Math.floorMod(at * 0x9e3779b9, 3) > 0;
      marked[at] = removed[at] ? s[at] : Float.POSITIVE_INFINITY;
    }
    checkCompensated(removed, s, on().upload(rows, columns, s), on().upload(rows, columns, marked),
        new Cut.Below(Float.POSITIVE_INFINITY, count(removed), 0, 0));
  }

  private static boolean[] leastPerGroup(float[] s, int columns, int groupWidth, double removedPerGroup) {
    boolean[] removed = new boolean[s.length];
    long group = 0;
    for (int row = 0; row < s.length; row += columns) {
      for (int start = 0; start < columns; start += groupWidth) {
        int width = Math.min(groupWidth, columns - start);
        long quota = Math.round((group + 1) * removedPerGroup) - Math.round(group * removedPerGroup);
        IntStream.range(row + start, row + start + width).boxed().sorted(Comparator.comparingDouble(at -> s[at]))
            .limit(Math.max(0, quota - (groupWidth - width))).forEach(at -> removed[at] = true);
        group++;
      }
    }
    return removed;
  }

  @Test
  default void spreadsFractionsOverGroups() {
    Matrix marked = on().zeros(3, 4);
    assertEquals(5, selection().keepPerGroup(on().upload(3, 4, on().ties(12)), 4, 5.0 / 3, marked));
    float[] left = on().download(marked);
    int[] removed = new int[3];
    for (int i = 0; i < 12; i++) {
      removed[i / 4] += left[i] < Float.POSITIVE_INFINITY ? 1 : 0;
    }
    assertArrayEquals(new int[]{2, 1, 2}, removed);
  }
}
