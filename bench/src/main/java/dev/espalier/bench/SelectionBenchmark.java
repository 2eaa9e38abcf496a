package dev.espalier.bench;

import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import java.util.Arrays;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// The cut that removes 90 % of 10⁷ scores of two layers, against sorting them.
@State(Scope.Thread)
public class SelectionBenchmark {
  private static final int COLUMNS = 1000;
  private static final int PASSES = 3;
  private static final int REMOVED = 9; // tenths

  /// Scores of both layers together.
  @Param({"1000000", "10000000"})
  public int count;

  private List<Matrix> scores;
  private float[] all;

  /// Makes scores, and compares the threshold with that of a sort.
  @Setup
  public void open(OnCpu cpu) {
    int rows = count / COLUMNS;
    scores = List.of(cpu.zeros(rows / 4, COLUMNS), cpu.zeros(rows - rows / 4, COLUMNS));
    all = new float[count];
    int length = 0;
    for (Matrix matrix : scores) {
      cpu.backend().moments().uniform(matrix, 1, length);
      float[] values = Inputs.download(cpu.backend(), matrix);
      System.arraycopy(values, 0, all, length, values.length);
      length += values.length;
    }
    float[] sorted = sort();
    float threshold = select(cpu).getFirst().threshold();
    if (threshold != sorted[REMOVED * (count / 10) - 1]) {
      throw new IllegalStateException("the cut is at " + threshold);
    }
  }

  private List<Cut.Below> select(OnCpu cpu) {
    return cpu.backend().selection().cuts(scores, (long) REMOVED * (count / 10));
  }

  /// The backend's; reads the scores three times.
  @Benchmark
  public List<Cut.Below> cuts(OnCpu cpu, Work work, Limit limit) {
    work.bytes((double) PASSES * Float.BYTES * count);
    return select(cpu);
  }

  /// [Arrays#parallelSort], a copy included.
  @Benchmark
  public float[] sort(Work work, Limit limit) {
    work.bytes((double) PASSES * Float.BYTES * count);
    return sort();
  }

  private float[] sort() {
    float[] sorted = all.clone();
    Arrays.parallelSort(sorted);
    return sorted;
  }
}
