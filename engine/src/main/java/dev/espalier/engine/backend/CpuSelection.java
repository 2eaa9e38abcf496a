package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.CpuMatrix.get;
import static dev.espalier.engine.backend.CpuMatrix.set;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

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
    int mask = (1 << digit) - 1;
    long[] sum = new long[1 << digit];
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      int[] counts = new int[1 << digit];
      for (long i = start; i < end; i++) {
        int key = key(get(s, i));
        // A shift by 32 would be one by 0.
        if (high == Integer.SIZE || (key ^ prefix) >>> high == 0) {
          counts[key >>> low & mask]++;
        }
      }
      synchronized (sum) {
        for (int bucket = 0; bucket < counts.length; bucket++) {
          sum[bucket] += counts[bucket];
        }
      }
    });
    return sum;
  }

  /// See [Backend#rankZerosFirst].
  long rankZerosFirst(CpuMatrix weights, CpuMatrix scores) {
    MemorySegment w = weights.read();
    MemorySegment s = scores.write();
    long[] firsts = new long[blocks(scores.elements(), BLOCK)];
    Arrays.fill(firsts, Long.MAX_VALUE);
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      for (long i = start; i < end; i++) {
        if (!Float.isFinite(get(s, i))) {
          firsts[(int) (start / BLOCK)] = i;
          return;
        }
        if (get(w, i) == 0) {
          set(s, i, -1);
        }
      }
    });
    long first = Arrays.stream(firsts).min().orElseThrow();
    return first == Long.MAX_VALUE ? -1 : first;
  }

  /// See [Backend#keepPerGroup].
  long keepPerGroup(CpuMatrix scores, int groupWidth, double removedPerGroup) {
    MemorySegment s = scores.write();
    int columns = scores.columns();
    long groupsPerRow = blocks(columns, groupWidth);
    long rowsPerPart = Math.max(1, BLOCK / columns);
    long[] removed = new long[blocks(scores.rows(), rowsPerPart)];
    pool.ranges(scores.rows(), rowsPerPart, (start, end) -> {
      float[] sorted = new float[Math.min(groupWidth, columns)];
      for (long row = start; row < end; row++) {
        for (int g = 0; g < groupsPerRow; g++) {
          long group = row * groupsPerRow + g;
          long quota = Math.round((group + 1) * removedPerGroup) - Math.round(group * removedPerGroup);
          int first = g * groupWidth;
          int width = Math.min(groupWidth, columns - first);
          int less = width - (int) Math.min(width, groupWidth - quota);
          keepAllBut(less, s, row * columns + first, width, sorted);
          removed[(int) (start / rowsPerPart)] += less;
        }
      }
    });
    return Arrays.stream(removed).sum();
  }

  /// Marks all but the `removed` least of `width` scores; of equal ones the first are not marked.
  private static void keepAllBut(int removed, MemorySegment s, long first, int width, float[] sorted) {
    for (int j = 0; j < width; j++) {
      sorted[j] = get(s, first + j);
    }
    Arrays.sort(sorted, 0, width);
    float threshold = removed == 0 ? Float.NEGATIVE_INFINITY : sorted[removed - 1];
    int ties = removed;
    for (int j = 0; j < removed && sorted[j] < threshold; j++) {
      ties--;
    }
    for (int j = 0; j < width; j++) {
      float score = get(s, first + j);
      boolean isRemoved = score < threshold || (score == threshold && ties-- > 0);
      if (!isRemoved) {
        set(s, first + j, Float.POSITIVE_INFINITY);
      }
    }
  }

  /// See [Backend#eliminate].
  double eliminate(CpuMatrix weights, CpuMatrix scores, Cut cut) {
    MemorySegment s = scores.read();
    MemorySegment w = weights.write();
    long[] ties = tiesBefore(scores, cut, BLOCK);
    double[] sums = new double[ties.length];
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      int block = (int) (start / BLOCK);
      long left = cut.ties() - ties[block];
      double sum = 0;
      for (long i = start; i < end; i++) {
        float score = get(s, i);
        if (score < cut.threshold() || (score == cut.threshold() && left-- > 0)) {
          set(w, i, 0);
          sum += Math.max(0, score);
        }
      }
      sums[block] = sum;
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
    long step = rowsPerPart * columns;
    long[] ties = tiesBefore(scores, cut, step);
    pool.ranges(scores.elements(), step, (start, end) -> {
      long left = cut.ties() - ties[(int) (start / step)];
      for (long row = start / columns; row < end / columns; row++) {
        double sum = 0;
        for (long i = row * columns; i < (row + 1) * columns; i++) {
          float score = get(s, i);
          if (score < cut.threshold() || (score == cut.threshold() && left-- > 0)) {
            sum += get(d, i);
          }
        }
        set(b, row, (float) (get(b, row) + sum));
      }
    });
  }

  /// For each block of `step` scores, how many before it equal the threshold.
  private long[] tiesBefore(CpuMatrix scores, Cut cut, long step) {
    long[] ties = new long[blocks(scores.elements(), step)];
    if (cut.ties() == 0) {
      return ties;
    }
    MemorySegment s = scores.read();
    pool.ranges(scores.elements(), step, (start, end) -> {
      long count = 0;
      for (long i = start; i < end; i++) {
        count += get(s, i) == cut.threshold() ? 1 : 0;
      }
      ties[(int) (start / step)] = count;
    });
    long before = 0;
    for (int block = 0; block < ties.length; block++) {
      long count = ties[block];
      ties[block] = before;
      before += count;
    }
    return ties;
  }

  private static int blocks(long length, long step) {
    return Math.toIntExact((length + step - 1) / step);
  }
}
