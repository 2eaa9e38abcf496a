package dev.espalier.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Everything here is a function of constants, so that the statistical bounds, of five standard deviations, hold every
/// time or never.
final class CounterRandomTest {
  private static final int COUNT = 100_000;

  /// Results must stay the same over releases: runs are resumed with them. SplitMix64 from seed 0 begins with these
  /// words, and stream −1 mixes the seed 0 to itself.
  @Test
  void isSplitMix() {
    assertEquals(0xe220a8397b1dcdafL, CounterRandom.bits(0, -1, 0));
    assertEquals(0x6e789e6aa1b965f4L, CounterRandom.bits(0, -1, 1));
    assertEquals(0x06c45d188009454fL, CounterRandom.bits(0, -1, 2));
  }

  @Test
  void wordsDifferByPositionStreamAndSeed() {
    List<Long> streams = List.of(0L, 1L, 2L, CounterRandom.WEIGHTS, CounterRandom.WEIGHTS + 1, CounterRandom.SHUFFLES);
    long[] words = LongStream.range(0, 1000).boxed()
        .flatMap(index -> streams.stream()
            .flatMap(stream -> LongStream.of(0, 1, 42).mapToObj(seed -> CounterRandom.bits(seed, stream, index))))
        .mapToLong(Long::longValue).toArray();
    assertEquals(1000 * 6 * 3, Arrays.stream(words).distinct().count());
  }

  @Test
  void streamsAreUncorrelated() {
    double sum = IntStream.range(0, COUNT)
        .mapToDouble(i -> (CounterRandom.uniform(7, 3, i) - 0.5) * (CounterRandom.uniform(7, 4, i) - 0.5)).sum();
    assertEquals(0, sum / COUNT, 5 / 12.0 / Math.sqrt(COUNT));
  }

  @Test
  void bitsAreBalanced() {
    for (int bit = 0; bit < Long.SIZE; bit++) {
      int shift = bit;
      long ones = LongStream.range(0, COUNT).filter(i -> (CounterRandom.bits(1, 2, i) >>> shift & 1) == 1).count();
      assertEquals(COUNT / 2.0, (double) ones, 5 * Math.sqrt(COUNT) / 2, "bit " + bit);
    }
  }

  @Test
  void uniformNumbersAreMultiplesBelowOne() {
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
      float value = CounterRandom.uniform(42, 3, i);
      assertTrue(value >= 0 && value < 1 && value * 0x1p24f == Math.rint(value * 0x1p24f),
          "number " + i + ": " + value);
      sum += value;
    }
    assertEquals(0.5, sum / COUNT, 5 / Math.sqrt(12.0 * COUNT));
  }

  @Test
  void signsAreTheBitsOfWords() {
    int positive = 0;
    for (int k = 0; k < 130; k++) {
      long word = CounterRandom.bits(42, 5, 1000 * 3 + k / 64);
      int expected = (word >>> (k % 64) & 1) == 0 ? 1 : -1;
      assertEquals(expected, CounterRandom.sign(42, 5, 1000, k, 130), "output " + k);
      positive += expected > 0 ? 1 : 0;
    }
    assertEquals(65, positive, 5 * Math.sqrt(130) / 2);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7, 10, 97})
  void wholeNumbersAreInRangeAndUnbiased(int bound) {
    int[] counts = new int[bound];
    for (int i = 0; i < COUNT; i++) {
      counts[CounterRandom.below(bound, 1, CounterRandom.SHUFFLES, i)]++; // out of range fails
    }
    double expected = (double) COUNT / bound;
    double squares = Arrays.stream(counts).mapToDouble(count -> (count - expected) * (count - expected) / expected)
        .sum();
    // χ² of bound − 1 degrees of freedom has this mean and variance.
    assertEquals(bound - 1, squares, 5 * Math.sqrt(2.0 * (bound - 1)));
  }

  @Test
  void largeBoundsUseAllBits() {
    double sum = IntStream.range(0, COUNT).mapToDouble(i -> CounterRandom.below(Integer.MAX_VALUE, 1, 0, i)).sum();
    double spread = Integer.MAX_VALUE / Math.sqrt(12.0 * COUNT);
    assertEquals(Integer.MAX_VALUE / 2.0, sum / COUNT, 5 * spread);
    assertTrue(IntStream.range(0, COUNT).allMatch(i -> CounterRandom.below(Integer.MAX_VALUE, 1, 0, i) >= 0));
  }

  @Test
  void gaussiansHaveTheMomentsOfTheNormalDistribution() {
    double[] values = IntStream.range(0, COUNT).mapToDouble(i -> CounterRandom.gaussian(1, CounterRandom.WEIGHTS, i))
        .toArray();
    // E[xᵏ] = 0, 1, 0, 3; the variance of xᵏ is E[x²ᵏ] − E[xᵏ]².
    assertEquals(0, moment(1, values), 5 / Math.sqrt(COUNT));
    assertEquals(1, moment(2, values), 5 * Math.sqrt(2.0 / COUNT));
    assertEquals(0, moment(3, values), 5 * Math.sqrt(15.0 / COUNT));
    assertEquals(3, moment(4, values), 5 * Math.sqrt(96.0 / COUNT));
    double largest = Arrays.stream(values).map(Math::abs).max().orElseThrow();
    assertTrue(largest > 3.5 && largest < 8.6, "largest: " + largest); // at most √(2·53·ln 2)
  }

  private static double moment(int power, double... values) {
    return Arrays.stream(values).map(x -> Math.pow(x, power)).sum() / values.length;
  }
}
