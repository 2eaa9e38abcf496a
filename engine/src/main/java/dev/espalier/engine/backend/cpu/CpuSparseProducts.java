package dev.espalier.engine.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/// Products of stacked gradients that skip the zeros which all gradients of a sample share: behind ReLU those at its
/// dead units. In float32, by the Vector API (docs/decisions/0012-dead-units.md).
final class CpuSparseProducts extends CpuProducts {
  /// Elements of a second factor from which on it is worth compiling the loops.
  private static final long LEAST_ELEMENTS = 1 << 18;

  /// The part of the multiplications that may be left: sgemm does 1.3 to 1.6 times as many a second as these loops.
  private static final double MOST_LEFT = 0.6;

  /// Samples that are looked at to find out.
  private static final int LOOKS = 8;

  /// Terms of a sum that are added at a time: so many rows of a panel stay in a second-level cache.
  private static final int TERMS = 2048;

  /// Samples of a part, which reads the second factor once, and the most elements that it picks.
  private static final int SAMPLES = 128;
  private static final int PICKED_ELEMENTS = 1 << 21;

  private static final int WIDTH = CpuRegisterTile.COLUMNS;

  private final long leastElements;
  private final double mostLeft;

  CpuSparseProducts() {
    this(LEAST_ELEMENTS, MOST_LEFT);
  }

  /// @param leastElements of a second factor, else nothing is skipped
  /// @param mostLeft      of the multiplications, 0 to 1, else nothing is skipped
  CpuSparseProducts(long leastElements, double mostLeft) {
    this.leastElements = leastElements;
    this.mostLeft = mostLeft;
  }

  /// Whether vectors are long enough for skipping to pay.
  static boolean hasLongVectors() {
    return CpuRegisterTile.LANES >= 8;
  }

  /// Whether it pays to skip zeros, by a look at some samples.
  ///
  /// @param gradients k for each sample, `copies` times all samples
  /// @param columns   of the second factor
  boolean pays(Factor gradients, int samples, int copies, int k, int columns) {
    if ((long) k * columns < leastElements) {
      return false;
    }
    int terms = Math.min(k, TERMS);
    int looks = Math.min(LOOKS, samples);
    long left = 0;
    for (int i = 0; i < looks; i++) {
      CpuPickedColumns picked = CpuPickedColumns.ofThread(1, copies, terms);
      picked.add(gradients.from((long) i * samples / looks, 0), samples);
      left += picked.elements();
    }
    return left <= mostLeft * looks * copies * terms;
  }

  /// Rows of the result: what is picked of a sample serves all columns.
  @Override
  CpuTiles tiles(int rows, int columns, int k, int copies, Factor second, int threads) {
    int most = Math.clamp(PICKED_ELEMENTS / ((long) Math.min(k, TERMS) * copies), 1, SAMPLES);
    return new CpuTiles(rows, columns, Math.clamp(rows / threads, 1, most), columns);
  }

  @Override
  long preparedElements(long leading, int k, int n) {
    return (long) panels(n) * k * WIDTH;
  }

  private static int panels(int columns) {
    return Math.ceilDiv(columns, WIDTH);
  }

  /// Packs the factor in panels of as many columns as a register tile has.
  @Override
  SecondFactor second(Factor second, int k, int n, MemorySegment memory) {
    float[] panelRow = new float[WIDTH];
    for (int row = 0; row < k; row++) {
      for (int panel = 0; panel < panels(n); panel++) {
        int columns = Math.min(WIDTH, n - panel * WIDTH);
        CpuTile.load(second.elements(), row * second.leading() + (long) panel * WIDTH, columns, panelRow);
        Arrays.fill(panelRow, columns, WIDTH, 0);
        CpuTile.store(panelRow, WIDTH, memory, ((long) panel * k + row) * WIDTH);
      }
    }
    return (a, add, c, leadingC, m, count, apartA, apartC) -> {
      for (int first = 0; first < k; first += TERMS) {
        int terms = Math.min(TERMS, k - first);
        CpuPickedColumns picked = CpuPickedColumns.ofThread(m, count, terms);
        for (int row = 0; row < m; row++) {
          picked.add(a.from(row, first), apartA);
        }
        for (int panel = 0; panel < panels(n); panel++) {
          MemorySegment rows = memory.asSlice(((long) panel * k + first) * WIDTH * Float.BYTES,
              (long) terms * WIDTH * Float.BYTES);
          picked.multiply(rows, Math.min(WIDTH, n - panel * WIDTH), add || first > 0,
              c.asSlice((long) panel * WIDTH * Float.BYTES), leadingC, apartC);
        }
      }
    };
  }
}
