package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuMatrix.write;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.BiasChange;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.RadixSelection;
import dev.espalier.engine.backend.SelectionOperations;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/// Selection among float32 scores, without sorting and without a second copy of them.
final class CpuSelection implements SelectionOperations {
  /// Elements of a part: large enough that starting it costs nothing, small enough to balance threads.
  private static final long BLOCK = 1 << 18;

  private final CpuPool pool;

  CpuSelection(CpuPool pool) {
    this.pool = pool;
  }

  @Override
  public List<Cut.Below> cuts(List<Matrix> scores, long count) {
    return RadixSelection.cuts(scores.size(), count,
        pass -> scores.stream().map(layer -> counts(layer, pass)).toArray(long[][]::new));
  }

  private long[] counts(Matrix scores, RadixSelection.Pass pass) {
    MemorySegment s = read(scores);
    long[] sum = new long[pass.buckets()];
    pool.ranges(scores.elements(), BLOCK, (start, end) -> {
      int[] counts = new int[sum.length];
      forEachTile(start, end, (first, count, tile) -> pass.count(load(s, first, count, tile.a), count, counts));
      synchronized (sum) {
        for (int bucket = 0; bucket < counts.length; bucket++) {
          sum[bucket] += counts[bucket];
        }
      }
    });
    return sum;
  }

  private static void forEachTile(long start, long end, CpuPool.TileWork work) {
    CpuTile tile = CpuTile.ofThread();
    for (long first = start; first < end; first += CpuTile.LENGTH) {
      work.run(first, (int) Math.min(CpuTile.LENGTH, end - first), tile);
    }
  }

  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    MemorySegment w = read(weights);
    MemorySegment s = write(scores);
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

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup, Matrix marked) {
    MemorySegment s = read(scores);
    MemorySegment to = write(marked);
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
          keepAllBut(less, s, to, row * columns + first, width, group, sorted);
          removed[(int) (start / rowsPerPart)] += less;
        }
      }
    });
    return Arrays.stream(removed).sum();
  }

  /// Copies `width` scores and marks all but the `removed` least; of equal ones the first are not marked.
  private static void keepAllBut(int removed, MemorySegment s, MemorySegment marked, long first, int width,
      float[] scores, float[] sorted) {
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
    store(scores, width, marked, first);
  }

  /// A part is some rows.
  @Override
  public double remove(Matrix weights, Matrix scores, Cut.Below cut, Optional<BiasChange> compensated) {
    MemorySegment s = read(scores);
    MemorySegment w = write(weights);
    int columns = scores.columns();
    long rowsPerPart = Math.max(1, BLOCK / columns);
    long[] ties = tiesBefore(scores, cut, rowsPerPart * columns);
    double[] sums = new double[ties.length];
    Optional<Compensated> change = compensated.map(Compensated::of);
    pool.ranges(scores.rows(), rowsPerPart, (start, end) -> {
      int part = (int) (start / rowsPerPart);
      Removal removal = new Removal(cut.threshold(), cut.ties() - ties[part]);
      if (change.isPresent()) {
        for (long row = start; row < end; row++) {
          removal.removeRow(s, w, change.get(), row, columns);
        }
      } else {
        removal.remove(s, w, start * columns, end * columns);
      }
      sums[part] = removal.sum;
    });
    return Arrays.stream(sums).sum();
  }

  /// Biases, and what they gain for each weight.
  private record Compensated(MemorySegment bias, MemorySegment changes) {
    static Compensated of(BiasChange change) {
      return new Compensated(write(change.bias()), read(change.compensation()));
    }
  }

  /// What a cut removes of consecutive elements, and sums over it.
  private static final class Removal {
    private final float threshold;
    private long ties;
    /// Of the scores that were removed.
    private double sum;
    /// Of the compensations of one row.
    private double change;

    /// @param ties how many of the coming scores that equal the threshold are removed
    Removal(float threshold, long ties) {
      this.threshold = threshold;
      this.ties = ties;
    }

    private boolean removes(float score) {
      return score < threshold || (score == threshold && ties-- > 0);
    }

    /// Removes among elements `start` to `end`.
    void remove(MemorySegment s, MemorySegment w, long start, long end) {
      forEachTile(start, end, (first, count, tile) -> {
        float[] weight = load(w, first, count, tile.b);
        remove(load(s, first, count, tile.a), weight, count);
        store(weight, count, w, first);
      });
    }

    private void remove(float[] scores, float[] weights, int count) {
      for (int i = 0; i < count; i++) {
        if (removes(scores[i])) {
          weights[i] = 0;
          sum += Math.max(0, scores[i]);
        }
      }
    }

    /// Removes in one row, and compensates.
    void removeRow(MemorySegment s, MemorySegment w, Compensated compensated, long row, int columns) {
      change = 0;
      forEachTile(row * columns, (row + 1) * columns, (first, count, tile) -> {
        float[] weight = load(w, first, count, tile.b);
        remove(load(s, first, count, tile.a), weight, load(compensated.changes(), first, count, tile.c), count);
        store(weight, count, w, first);
      });
      float bias = compensated.bias().getAtIndex(MatrixView.ELEMENT, row);
      compensated.bias().setAtIndex(MatrixView.ELEMENT, row, (float) (bias + change));
    }

    private void remove(float[] scores, float[] weights, float[] changes, int count) {
      for (int i = 0; i < count; i++) {
        if (removes(scores[i])) {
          weights[i] = 0;
          sum += Math.max(0, scores[i]);
          change += changes[i];
        }
      }
    }
  }

  /// For each block of `step` scores, how many before it equal the threshold.
  private long[] tiesBefore(Matrix scores, Cut.Below cut, long step) {
    long[] ties = new long[blocks(scores.elements(), step)];
    if (cut.ties() == 0) {
      return ties;
    }
    MemorySegment s = read(scores);
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
