package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.Cut;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/// Selection among float32 scores, without sorting and without a second copy of them.
final class CpuSelection {
  /// Elements of a part: large enough that starting it costs nothing, small enough to balance threads.
  private static final long BLOCK = 1 << 18;

  /// The bits of a score's key that each pass over the scores settles, from the highest down.
  private static final int[] DIGITS = {11, 11, 10};

  private final CpuPool pool;

  CpuSelection(CpuPool pool) {
    this.pool = pool;
  }

  /// An order-preserving map to unsigned numbers; adding 0 makes one of both zeros.
  private static int key(float score) {
    int bits = Float.floatToRawIntBits(score + 0f);
    return bits ^ (bits >> 31 | Integer.MIN_VALUE);
  }

  private static float score(int key) {
    return Float.intBitsToFloat(key < 0 ? key ^ Integer.MIN_VALUE : ~key);
  }

  /// See [Backend#cuts]: a radix select. Each pass counts the next bits of those keys that begin like the threshold's.
  List<Cut> cuts(List<CpuMatrix> scores, long count) {
    if (count == 0) {
      return scores.stream().map(_ -> Cut.NOTHING).toList();
    }
    long[] below = new long[scores.size()];
    long[] equal = new long[scores.size()];
    long rank = count - 1;
    int prefix = 0;
    int low = Integer.SIZE;
    for (int digit : DIGITS) {
      low -= digit;
      long[][] counts = new long[scores.size()][];
      for (int l = 0; l < counts.length; l++) {
        counts[l] = histogram(scores.get(l), prefix, low + digit, low, digit);
      }
      int bucket = 0;
      for (long inBucket = total(counts, 0); rank >= inBucket; inBucket = total(counts, bucket)) {
        rank -= inBucket;
        bucket++;
      }
      for (int l = 0; l < counts.length; l++) {
        below[l] += Arrays.stream(counts[l], 0, bucket).sum();
        equal[l] = counts[l][bucket];
      }
      prefix |= bucket << low;
    }
    long ties = count - Arrays.stream(below).sum();
    List<Cut> cuts = new ArrayList<>();
    for (int l = 0; l < below.length; l++) {
      cuts.add(new Cut(score(prefix), below[l], Math.min(ties, equal[l])));
      ties -= cuts.getLast().ties();
    }
    return cuts;
  }

  private static long total(long[][] counts, int bucket) {
    return Arrays.stream(counts).mapToLong(layer -> layer[bucket]).sum();
  }

  /// How often each value of the `digit` bits from bit `low` on occurs among the keys that agree with `prefix` from bit
  /// `high` on.
  private long[] histogram(CpuMatrix scores, int prefix, int high, int low, int digit) {
    MemorySegment s = scores.read();
    long[] sum = new long[1 << digit];
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      int[] counts = new int[1 << digit];
      forEachTile(start, end,
          (first, count, tile) -> count(load(s, first, count, tile.a), count, prefix, high, low, counts));
      synchronized (sum) {
        for (int bucket = 0; bucket < counts.length; bucket++) {
          sum[bucket] += counts[bucket];
        }
      }
    });
    return sum;
  }

  private static void count(float[] scores, int length, int prefix, int high, int low, int[] counts) {
    // In the first pass, where all keys count, a shift by 32 would be one by 0.
    int compared = high == Integer.SIZE ? 0 : -1 << high;
    for (int i = 0; i < length; i++) {
      int key = key(scores[i]);
      if (((key ^ prefix) & compared) == 0) {
        counts[key >>> low & (counts.length - 1)]++;
      }
    }
  }

  private static void forEachTile(long start, long end, CpuPool.TileWork work) {
    CpuTile tile = CpuTile.ofThread();
    for (long first = start; first < end; first += CpuTile.LENGTH) {
      work.run(first, (int) Math.min(CpuTile.LENGTH, end - first), tile);
    }
  }

  /// See [Backend#rankZerosFirst].
  long rankZerosFirst(CpuMatrix weights, CpuMatrix scores) {
    MemorySegment w = weights.read();
    MemorySegment s = scores.write();
    AtomicLong firstNonFinite = new AtomicLong(Long.MAX_VALUE);
    pool.tiles(scores.elements(), (first, count, tile) -> {
      float[] score = load(s, first, count, tile.a);
      int bad = rankZerosFirst(load(w, first, count, tile.b), score, count);
      if (bad < count) {
        firstNonFinite.accumulateAndGet(first + bad, Math::min);
      }
      store(score, count, s, first);
    });
    return firstNonFinite.get() == Long.MAX_VALUE ? -1 : firstNonFinite.get();
  }

  private static int rankZerosFirst(float[] weights, float[] scores, int count) {
    for (int i = 0; i < count; i++) {
      if (!Float.isFinite(scores[i])) {
        return i;
      }
      scores[i] = weights[i] == 0 ? -1 : scores[i];
    }
    return count;
  }

  /// See [Backend#keepPerGroup].
  long keepPerGroup(CpuMatrix scores, int groupWidth, double removedPerGroup) {
    MemorySegment s = scores.write();
    int columns = scores.columns();
    long groupsPerRow = blocks(columns, groupWidth);
    long rowsPerPart = Math.max(1, BLOCK / columns);
    long[] removed = new long[blocks(scores.rows(), rowsPerPart)];
    pool.ranges(scores.rows(), rowsPerPart, (start, end) -> {
      float[] group = new float[Math.min(groupWidth, columns)];
      float[] sorted = new float[group.length];
      for (long row = start; row < end; row++) {
        for (int g = 0; g < groupsPerRow; g++) {
          long number = row * groupsPerRow + g;
          long quota = Math.round((number + 1) * removedPerGroup) - Math.round(number * removedPerGroup);
          int first = g * groupWidth;
          int width = Math.min(groupWidth, columns - first);
          int less = width - (int) Math.min(width, groupWidth - quota);
          keepAllBut(less, s, row * columns + first, width, group, sorted);
          removed[(int) (start / rowsPerPart)] += less;
        }
      }
    });
    return Arrays.stream(removed).sum();
  }

  /// Marks all but the `removed` least of `width` scores; of equal ones the first are not marked.
  private static void keepAllBut(int removed, MemorySegment s, long first, int width, float[] scores, float[] sorted) {
    load(s, first, width, scores);
    System.arraycopy(scores, 0, sorted, 0, width);
    Arrays.sort(sorted, 0, width);
    float threshold = removed == 0 ? Float.NEGATIVE_INFINITY : sorted[removed - 1];
    int ties = removed;
    for (int j = 0; j < removed && sorted[j] < threshold; j++) {
      ties--;
    }
    for (int j = 0; j < width; j++) {
      boolean isRemoved = scores[j] < threshold || (scores[j] == threshold && ties-- > 0);
      if (!isRemoved) {
        scores[j] = Float.POSITIVE_INFINITY;
      }
    }
    store(scores, width, s, first);
  }

  /// See [Backend#eliminate].
  double eliminate(CpuMatrix weights, CpuMatrix scores, Cut cut) {
    MemorySegment s = scores.read();
    MemorySegment w = weights.write();
    long[] ties = tiesBefore(scores, cut, BLOCK);
    double[] sums = new double[ties.length];
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      int block = (int) (start / BLOCK);
      Removal removal = new Removal(cut.threshold(), cut.ties() - ties[block]);
      forEachTile(start, end, (first, count, tile) -> {
        float[] weight = load(w, first, count, tile.b);
        removal.eliminate(load(s, first, count, tile.a), weight, count);
        store(weight, count, w, first);
      });
      sums[block] = removal.sum;
    });
    return Arrays.stream(sums).sum();
  }

  /// See [Backend#compensate].
  void compensate(CpuMatrix bias, CpuMatrix scores, CpuMatrix compensation, Cut cut) {
    MemorySegment b = bias.write();
    MemorySegment s = scores.read();
    MemorySegment d = compensation.read();
    int columns = scores.columns();
    long rowsPerPart = Math.max(1, BLOCK / columns);
    long[] ties = tiesBefore(scores, cut, rowsPerPart * columns);
    pool.ranges(scores.rows(), rowsPerPart, (start, end) -> {
      Removal removal = new Removal(cut.threshold(), cut.ties() - ties[(int) (start / rowsPerPart)]);
      float[] biases = load(b, start, (int) (end - start), new float[(int) (end - start)]);
      for (long row = start; row < end; row++) {
        removal.sum = 0;
        forEachTile(row * columns, (row + 1) * columns, (first, count, tile) -> removal
            .addRemoved(load(s, first, count, tile.a), load(d, first, count, tile.b), count));
        int i = (int) (row - start);
        biases[i] = (float) (biases[i] + removal.sum);
      }
      store(biases, biases.length, b, start);
    });
  }

  /// What a cut removes of consecutive elements, and a sum over it.
  private static final class Removal {
    private final float threshold;
    private long ties;
    private double sum;

    /// @param ties how many of the coming scores that equal the threshold are removed
    Removal(float threshold, long ties) {
      this.threshold = threshold;
      this.ties = ties;
    }

    private boolean removes(float score) {
      return score < threshold || (score == threshold && ties-- > 0);
    }

    void eliminate(float[] scores, float[] weights, int count) {
      for (int i = 0; i < count; i++) {
        if (removes(scores[i])) {
          weights[i] = 0;
          sum += Math.max(0, scores[i]);
        }
      }
    }

    void addRemoved(float[] scores, float[] values, int count) {
      for (int i = 0; i < count; i++) {
        if (removes(scores[i])) {
          sum += values[i];
        }
      }
    }
  }

  /// For each block of `step` scores, how many before it equal the threshold.
  private long[] tiesBefore(CpuMatrix scores, Cut cut, long step) {
    long[] ties = new long[blocks(scores.elements(), step)];
    if (cut.ties() == 0) {
      return ties;
    }
    MemorySegment s = scores.read();
    pool.ranges(scores.elements(), step, (start, end) -> forEachTile(start, end, (first, count,
        tile) -> ties[(int) (start / step)] += countEqual(load(s, first, count, tile.a), cut.threshold(), count)));
    long before = 0;
    for (int block = 0; block < ties.length; block++) {
      long count = ties[block];
      ties[block] = before;
      before += count;
    }
    return ties;
  }

  private static int countEqual(float[] scores, float value, int count) {
    int equal = 0;
    for (int i = 0; i < count; i++) {
      equal += scores[i] == value ? 1 : 0;
    }
    return equal;
  }

  private static int blocks(long length, long step) {
    return Math.toIntExact((length + step - 1) / step);
  }
}
