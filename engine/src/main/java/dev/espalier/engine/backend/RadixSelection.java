package dev.espalier.engine.backend;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/// A radix select among float32 scores that lie in several matrices, in one memory or on several machines. Each of three
/// passes counts the next bits of the scores that begin like the threshold; whoever has the scores counts, and only counts
/// come here.
public final class RadixSelection {
  /// The bits of a score's key that each pass settles, from the highest down.
  private static final int[] DIGITS = {11, 11, 10};

  private RadixSelection() {}

  /// What a pass counts: how often each value of some bits occurs among the keys that begin with `prefix`.
  ///
  /// @param prefix the bits that were settled before, at their places
  /// @param high the lowest of them; 32 before the first pass
  /// @param low the lowest of the bits that are counted
  public record Pass(int prefix, int high, int low) implements Serializable {
    /// The number of values of the bits.
    public int buckets() {
      return 1 << (high - low);
    }

    /// Counts the first `length` scores.
    ///
    /// @param counts one for each bucket, added to
    public void count(float[] scores, int length, int... counts) {
      // In the first pass, where all keys count, a shift by 32 would be one by 0.
      int compared = high == Integer.SIZE ? 0 : -1 << high;
      for (int i = 0; i < length; i++) {
        int key = key(scores[i]);
        if (((key ^ prefix) & compared) == 0) {
          counts[key >>> low & (counts.length - 1)]++;
        }
      }
    }
  }

  /// Who has the scores.
  @FunctionalInterface
  public interface Counts {
    /// For each matrix the counts of a pass, by bucket.
    long[][] of(Pass pass);
  }

  /// An order-preserving map to unsigned numbers; adding 0 makes one of both zeros.
  private static int key(float score) {
    int bits = Float.floatToRawIntBits(score + 0f);
    return bits ^ (bits >> 31 | Integer.MIN_VALUE);
  }

  private static float score(int key) {
    return Float.intBitsToFloat(key < 0 ? key ^ Integer.MIN_VALUE : ~key);
  }

  /// The cuts that [SelectionOperations#cuts] defines.
  ///
  /// @param matrices how many there are
  /// @param count 0 up to the number of all scores
  public static List<Cut.Below> cuts(int matrices, long count, Counts scores) {
    if (count == 0) {
      return Collections.nCopies(matrices, Cut.NOTHING);
    }
    long[] below = new long[matrices];
    long[] equal = new long[matrices];
    long rank = count - 1;
    int prefix = 0;
    int high = Integer.SIZE;
    for (int digit : DIGITS) {
      Pass pass = new Pass(prefix, high, high - digit);
      long[][] counts = scores.of(pass);
      int bucket = 0;
      for (long inBucket = total(counts, 0); rank >= inBucket; inBucket = total(counts, bucket)) {
        rank -= inBucket;
        bucket++;
      }
      for (int l = 0; l < matrices; l++) {
        below[l] += Arrays.stream(counts[l], 0, bucket).sum();
        equal[l] = counts[l][bucket];
      }
      prefix |= bucket << pass.low;
      high = pass.low;
    }
    long ties = count - Arrays.stream(below).sum();
    List<Cut.Below> cuts = new ArrayList<>();
    for (int l = 0; l < matrices; l++) {
      cuts.add(new Cut.Below(score(prefix), below[l], Math.min(ties, equal[l]), equal[l]));
      ties -= cuts.getLast().ties();
    }
    return cuts;
  }

  private static long total(long[][] counts, int bucket) {
    return Arrays.stream(counts).mapToLong(layer -> layer[bucket]).sum();
  }
}
