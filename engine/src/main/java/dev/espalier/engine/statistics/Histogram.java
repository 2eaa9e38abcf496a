package dev.espalier.engine.statistics;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;

/// A histogram of the importances of a layer's weights, with bins of equal width in the decimal logarithm.
///
/// @param logMin log10 of the importance where the first bin begins
/// @param logMax where the last bin ends; above `logMin`
/// @param counts weights in each bin
/// @param zeros weights of importance 0, which are in no bin
public record Histogram(double logMin, double logMax, List<Long> counts, long zeros) {
  /// Importances that are looked at at a time.
  private static final int SCANNED = 2048;

  /// The bits of infinity; those of NaN are larger.
  private static final int INFINITE = 0x7f800000;

  /// @throws IllegalArgumentException if there is no bin, a count is negative, or the range is empty or not
  ///                                  finite
  public Histogram {
    if (!(logMin < logMax && Double.isFinite(logMin) && Double.isFinite(logMax))) {
      throw new IllegalArgumentException("logMin=%s, logMax=%s".formatted(logMin, logMax));
    }
    counts = List.copyOf(counts);
    if (counts.isEmpty() || zeros < 0 || counts.stream().anyMatch(count -> count < 0)) {
      throw new IllegalArgumentException("counts=%s, zeros=%d".formatted(counts, zeros));
    }
  }

  /// Counts the importances of one layer, from the smallest positive one to the largest.
  ///
  /// @param importance all ≥ 0 and finite
  /// @param bins at least 1
  /// @throws IllegalArgumentException if an importance is negative, infinite or NaN, or `bins` is below 1
  public static Histogram of(MatrixView importance, int bins) {
    if (bins < 1) {
      throw new IllegalArgumentException("bins=" + bins);
    }
    int least = Integer.MAX_VALUE;
    int largest = 0;
    int[] bits = new int[(int) Math.min(SCANNED, importance.elements())];
    for (long first = 0; first < importance.elements(); first += bits.length) {
      int count = load(importance, first, bits);
      least = Math.min(least, leastPositive(bits, count));
      largest = Math.max(largest, largestOf(importance, first, bits, count));
    }
    double min = Float.intBitsToFloat(least);
    double max = Float.intBitsToFloat(largest);
    // All zero, or all the same: a decade around the one value there is.
    double logMin = largest == 0 ? -1 : Math.log10(min) - (least == largest ? 0.5 : 0);
    double logMax = largest == 0 ? 0 : Math.log10(max) + (least == largest ? 0.5 : 0);

    Bins counted = new Bins(logMin, bins / (logMax - logMin), bins);
    for (long first = 0; first < importance.elements(); first += bits.length) {
      counted.add(bits, load(importance, first, bits));
    }
    List<Long> counts = Arrays.stream(counted.counts, 0, bins).boxed().toList();
    return new Histogram(logMin, logMax, counts, counted.counts[bins]);
  }

  // Importances are handled as the bits of floats, which as integers have the order of positive numbers: their extremes
  // are found by vector instructions, and their upper bits are an index.

  private static int load(MatrixView importance, long first, int[] bits) {
    int count = (int) Math.min(bits.length, importance.elements() - first);
    MemorySegment.copy(importance.segment(), ValueLayout.JAVA_INT_UNALIGNED, first * Float.BYTES, bits, 0, count);
    return count;
  }

  private static int leastPositive(int[] bits, int count) {
    int least = Integer.MAX_VALUE - 1;
    for (int i = 0; i < count; i++) {
      least = Math.min(least, (bits[i] - 1) & Integer.MAX_VALUE); // 0 and −0 become the largest integer
    }
    return least + 1;
  }

  private static int largestOf(MatrixView importance, long first, int[] bits, int count) {
    int largest = 0;
    int signs = 0;
    for (int i = 0; i < count; i++) {
      largest = Math.max(largest, bits[i] & Integer.MAX_VALUE);
      signs |= bits[i];
    }
    if (signs < 0 || largest >= INFINITE) {
      for (int i = 0; i < count; i++) {
        float value = Float.intBitsToFloat(bits[i]);
        if (!(value >= 0 && value < Float.POSITIVE_INFINITY)) {
          throw new IllegalArgumentException("importance[%d, %d] is %s".formatted((first + i) / importance.columns(),
              (first + i) % importance.columns(), value));
        }
      }
    }
    return largest;
  }

  /// Counts of the bins, and of zeros behind them. The logarithm is taken of one number among those that share their
  /// upper bits, unless a bin begins between them.
  private static final class Bins {
    /// Bits that numbers of a cell differ in.
    private static final int LOWER = 16;

    private final double logMin;
    private final double scale;
    private final int bins;
    private final long[] counts;
    /// Of each cell: 0 before it is looked at, 1 + the bin it lies in, or −1 if it lies in several.
    private final int[] cells = new int[1 << (Integer.SIZE - 1 - LOWER)];

    Bins(double logMin, double scale, int bins) {
      this.logMin = logMin;
      this.scale = scale;
      this.bins = bins;
      this.counts = new long[bins + 1];
    }

    void add(int[] bits, int count) {
      for (int i = 0; i < count; i++) {
        int magnitude = bits[i] & Integer.MAX_VALUE;
        int cell = cells[magnitude >>> LOWER];
        counts[magnitude == 0 ? bins : cell > 0 ? cell - 1 : look(magnitude)]++;
      }
    }

    private int look(int magnitude) {
      int cell = magnitude >>> LOWER;
      if (cells[cell] == 0) {
        int first = exact(Math.max(1, cell << LOWER));
        cells[cell] = first == exact((cell << LOWER) + (1 << LOWER) - 1) ? 1 + first : -1;
      }
      return exact(magnitude);
    }

    private int exact(int magnitude) {
      return Math.clamp((long) ((Math.log10(Float.intBitsToFloat(magnitude)) - logMin) * scale), 0, bins - 1);
    }
  }

  /// Weights counted, in bins or as zeros.
  public long total() {
    return zeros + counts.stream().mapToLong(Long::longValue).sum();
  }
}
