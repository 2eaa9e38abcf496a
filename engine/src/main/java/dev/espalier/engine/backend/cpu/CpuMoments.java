package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuMatrix.write;
import static dev.espalier.engine.backend.cpu.CpuTile.copy;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;

/// Sums over samples, and scores.
final class CpuMoments implements MomentOperations, AutoCloseable {
  /// Columns of a part that sums columns.
  private static final int SUMMED_COLUMNS = 512;

  /// Elements of the shifted activations that are held at a time, and least samples: fewer would read and write the
  /// moments too often.
  private static final long SHIFTED_ELEMENTS = 1 << 22;
  private static final long SHIFTED_SAMPLES = 1024;

  private final CpuPool pool;
  private final CpuProducts products;
  private final CpuScratch spread = new CpuScratch();

  CpuMoments(CpuPool pool, CpuProducts products) {
    this.pool = pool;
    this.products = products;
  }

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    float[] sums = new float[x.columns()];
    pool.ranges(x.columns(), SUMMED_COLUMNS,
        (start, end) -> addColumnSums(x, (int) start, (int) end, 1.0 / x.rows(), sums));
    store(sums, x.columns(), write(means), 0);
  }

  /// Adds `scale` times the sums over rows of some columns of `x` to `sums`, rounding once.
  private static void addColumnSums(Matrix x, int start, int end, double scale, float[] sums) {
    MemorySegment values = read(x);
    int count = end - start;
    double[] exact = new double[count];
    CpuTile tile = CpuTile.ofThread();
    for (long n = 0; n < x.rows(); n++) {
      CpuLoops.add(load(values, n * x.columns() + start, count, tile.a), exact, count);
    }
    for (int j = 0; j < count; j++) {
      sums[start + j] = (float) (sums[start + j] + scale * exact[j]);
    }
  }

  /// A part shifts and squares those columns of the activations that it multiplies; the last parts sum sensitivities.
  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2) {
    int outputs = sensitivity.columns();
    int inputs = activation.columns();
    MemorySegment zeroth = write(m0);
    float[] total = load(zeroth, 0, outputs, new float[outputs]);
    MemorySegment first = write(m1);
    MemorySegment second = write(m2);
    int most = (int) Math.min(activation.rows(), Math.max(SHIFTED_SAMPLES, SHIFTED_ELEMENTS / inputs));
    CpuTiles tiles = CpuTiles.ofColumns(outputs, inputs, 2 * most, pool.threads());
    int leading = CpuTiles.unaliased(tiles.columnStep());
    long elements = (long) most * leading;
    long prepared = products.preparedElements(leading, most, tiles.columnStep());
    int sums = (outputs + SUMMED_COLUMNS - 1) / SUMMED_COLUMNS;
    for (int n = 0; n < activation.rows(); n += most) {
      int firstSample = n;
      int samples = Math.min(most, activation.rows() - n);
      Factor s = prepared > 0
          ? Factor.transposed(read(sensitivity), outputs).from(0, firstSample)
          : Factor.transposed(unaliased(sensitivity, firstSample, samples), CpuTiles.unaliased(outputs));
      pool.run(tiles.count() + (n == 0 ? sums : 0), part -> {
        if (part >= tiles.count()) {
          int start = (part - tiles.count()) * SUMMED_COLUMNS;
          addColumnSums(sensitivity, start, Math.min(outputs, start + SUMMED_COLUMNS), 1, total);
          return;
        }
        CpuTiles.Tile t = tiles.tile(part);
        MemorySegment x = CpuScratch.PRODUCT.atLeast(2 * elements + prepared);
        MemorySegment squares = x.asSlice(elements * Float.BYTES);
        MemorySegment memory = squares.asSlice(elements * Float.BYTES);
        shift(activation, firstSample, samples, t, pilotMean, x, squares, leading);
        Factor weights = s.from(t.row(), 0);
        products.second(Factor.of(x, leading), samples, t.columns(), memory).multiply(weights, true, t.of(first),
            inputs, t.rows(), 1, 0, 0);
        products.second(Factor.of(squares, leading), samples, t.columns(), memory).multiply(weights, true, t.of(second),
            inputs, t.rows(), 1, 0, 0);
      });
    }
    store(total, outputs, zeroth, 0);
  }

  /// `count` rows from `first` on, as they are or copied to be [CpuTiles#unaliased].
  private MemorySegment unaliased(Matrix matrix, int first, int count) {
    int columns = matrix.columns();
    int leading = CpuTiles.unaliased(columns);
    MemorySegment from = read(matrix);
    if (leading == columns) {
      return from.asSlice((long) first * columns * Float.BYTES);
    }
    MemorySegment to = spread.atLeast((long) count * leading);
    pool.ranges(count, CpuPool.rowsPerBlock(columns), (start, end) -> {
      for (long row = start; row < end; row++) {
        copy(from, (first + row) * columns, to, row * leading, columns);
      }
    });
    return to;
  }

  /// x = a − c and xx = x ∘ x for `count` samples from `first` on and the columns of `t`, in rows `leading` apart.
  private static void shift(Matrix activation, int first, int count, CpuTiles.Tile t, Matrix pilotMean, MemorySegment x,
      MemorySegment xx, int leading) {
    MemorySegment a = read(activation);
    MemorySegment c = read(pilotMean);
    CpuTile tile = CpuTile.ofThread();
    for (int column = 0; column < t.columns(); column += CpuTile.LENGTH) {
      int length = Math.min(CpuTile.LENGTH, t.columns() - column);
      float[] mean = load(c, t.column() + column, length, tile.b);
      for (int row = 0; row < count; row++) {
        long from = (long) (first + row) * activation.columns() + t.column() + column;
        float[] values = load(a, from, length, tile.a);
        CpuLoops.shift(values, mean, tile.c, length);
        long at = (long) row * leading + column;
        store(values, length, x, at);
        store(tile.c, length, xx, at);
      }
    }
  }

  @Override
  public double roundoff() {
    return products.roundoff();
  }

  @Override
  public void cancelled(Matrix weights, Matrix m0, Matrix m1, Matrix m2, double fraction, Matrix largest) {
    MemorySegment w = read(weights);
    MemorySegment zeroth = read(m0);
    MemorySegment first = read(m1);
    MemorySegment second = read(m2);
    int columns = weights.columns();
    float[] most = new float[columns];
    pool.ranges(weights.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
      CpuTile tile = CpuTile.ofThread();
      for (int column = 0; column < columns; column += CpuTile.LENGTH) {
        int count = Math.min(CpuTile.LENGTH, columns - column);
        float[] mostHere = new float[count];
        for (long row = start; row < end; row++) {
          float total = zeroth.getAtIndex(MatrixView.ELEMENT, row);
          if (total != 0) {
            long at = row * columns + column;
            CpuLoops.cancelled(load(w, at, count, tile.a), 1 / total, load(first, at, count, tile.b),
                load(second, at, count, tile.c), (float) fraction, mostHere, count);
          }
        }
        synchronized (most) {
          for (int j = 0; j < count; j++) {
            most[column + j] = Math.max(most[column + j], mostHere[j]);
          }
        }
      }
    });
    store(most, columns, write(largest), 0);
  }

  @Override
  public void addColumnSquares(Matrix x, Matrix squares) {
    MemorySegment total = write(squares);
    MemorySegment values = read(x);
    pool.ranges(x.columns(), SUMMED_COLUMNS, (start, end) -> {
      int count = (int) (end - start);
      double[] exact = new double[count];
      CpuTile tile = CpuTile.ofThread();
      for (long n = 0; n < x.rows(); n++) {
        CpuLoops.addSquares(load(values, n * x.columns() + start, count, tile.a), exact, count);
      }
      float[] sums = load(total, start, count, tile.a);
      CpuLoops.add(exact, sums, count);
      store(sums, count, total, start);
    });
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    MemorySegment m = write(matrix);
    pool.tiles(matrix.elements(), (first, count, tile) -> {
      for (int i = 0; i < count; i++) {
        tile.a[i] = CounterRandom.uniform(seed, stream, first + i);
      }
      store(tile.a, count, m, first);
    });
  }

  @Override
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples) {
    MemorySegment w = read(weights);
    MemorySegment zeroth = read(m0);
    MemorySegment first = write(m1);
    MemorySegment second = write(m2);
    MemorySegment c = read(pilotMean);
    int columns = weights.columns();
    pool.rowTiles(weights.rows(), columns, (row, column, count, tile) -> {
      long at = (long) row * columns + column;
      float total = zeroth.getAtIndex(MatrixView.ELEMENT, row);
      float[] one = load(first, at, count, tile.a);
      float[] two = load(second, at, count, tile.b);
      CpuLoops.eliminationScores(load(w, at, count, tile.c), total, load(c, column, count, tile.d), one, two,
          (double) samples, count);
      store(one, count, first, at);
      store(two, count, second, at);
    });
  }

  @Override
  public void absoluteProduct(double scale, Matrix weights, Matrix factor, Matrix scores) {
    MemorySegment w = read(weights);
    MemorySegment f = read(factor);
    MemorySegment s = write(scores);
    int columns = weights.columns();
    boolean byRow = factor.rows() == 1;
    pool.rowTiles(weights.rows(), columns, (row, column, count, tile) -> {
      long at = (long) row * columns + column;
      float[] product = load(w, at, count, tile.a);
      CpuLoops.absoluteProduct(scale, load(f, byRow ? column : at, count, tile.b), product, count);
      store(product, count, s, at);
    });
  }

  @Override
  public void addOuterProduct(double kept, Matrix sums, double scale, Matrix column, Matrix row) {
    MemorySegment s = write(sums);
    MemorySegment u = read(column);
    MemorySegment v = read(row);
    int columns = sums.columns();
    pool.rowTiles(sums.rows(), columns, (i, first, count, tile) -> {
      long at = (long) i * columns + first;
      float[] sum = load(s, at, count, tile.a);
      CpuLoops.scaleAndAdd(kept, sum, scale * u.getAtIndex(MatrixView.ELEMENT, i), load(v, first, count, tile.b),
          count);
      store(sum, count, s, at);
    });
  }

  @Override
  public void close() {
    spread.close();
  }
}
