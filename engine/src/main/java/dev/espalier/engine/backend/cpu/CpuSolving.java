package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuMatrix.write;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/// Least squares.
final class CpuSolving implements SolvingOperations {
  private final CpuPool pool;

  CpuSolving(CpuPool pool) {
    this.pool = pool;
  }

  @Override
  public void subtractRow(Matrix x, Matrix row, Matrix difference) {
    MemorySegment from = read(x);
    MemorySegment c = read(row);
    MemorySegment d = write(difference);
    int columns = x.columns();
    pool.rowTiles(x.rows(), columns, (n, column, count, tile) -> {
      load(from, (long) n * columns + column, count, tile.a);
      CpuLoops.add(-1, load(c, column, count, tile.b), tile.a, count);
      store(tile.a, count, d, (long) n * columns + column);
    });
  }

  @Override
  public void addCarrying(Matrix x, Matrix sum, Matrix carry) {
    MemorySegment from = read(x);
    MemorySegment s = write(sum);
    MemorySegment c = write(carry);
    pool.tiles(x.elements(), (first, count, tile) -> {
      load(s, first, count, tile.b);
      load(c, first, count, tile.c);
      CpuLoops.addCarrying(load(from, first, count, tile.a), tile.b, tile.c, count);
      store(tile.b, count, s, first);
      store(tile.c, count, c, first);
    });
  }

  @Override
  public void diagonal(Matrix square, Matrix diagonal) {
    MemorySegment h = read(square);
    MemorySegment d = write(diagonal);
    for (int j = 0; j < square.columns(); j++) {
      d.setAtIndex(MatrixView.ELEMENT, j, h.getAtIndex(MatrixView.ELEMENT, (long) j * square.columns() + j));
    }
  }

  @Override
  public void addWhereNonzero(Matrix x, Matrix y) {
    MemorySegment from = read(x);
    MemorySegment to = write(y);
    pool.tiles(y.elements(), (first, count, tile) -> {
      load(to, first, count, tile.b);
      CpuLoops.addWhereNonzero(load(from, first, count, tile.a), tile.b, count);
      store(tile.b, count, to, first);
    });
  }

  @Override
  public void startConjugateGradients(Matrix weights, Matrix diagonal, double damping, Matrix residual,
      Matrix direction, Matrix norms) {
    MemorySegment w = read(weights);
    MemorySegment r = write(residual);
    MemorySegment p = write(direction);
    MemorySegment n = write(norms);
    rows(weights, diagonal, (row, first, columns) -> {
      load(w, first, columns, row.weights);
      load(r, first, columns, row.residual);
      float norm = (float) row.start((float) damping, columns);
      n.setAtIndex(MatrixView.ELEMENT, 2 * (first / columns), norm);
      n.setAtIndex(MatrixView.ELEMENT, 2 * (first / columns) + 1, norm);
      store(row.residual, columns, r, first);
      store(row.direction, columns, p, first);
    });
  }

  @Override
  public void conjugateGradientStep(Matrix weights, Matrix diagonal, double damping, Matrix product, Matrix residual,
      Matrix direction, Matrix solution, Matrix norms) {
    MemorySegment w = read(weights);
    MemorySegment q = read(product);
    MemorySegment r = write(residual);
    MemorySegment p = write(direction);
    MemorySegment y = write(solution);
    MemorySegment n = write(norms);
    rows(weights, diagonal, (row, first, columns) -> {
      long i = 2 * (first / columns);
      float norm = n.getAtIndex(MatrixView.ELEMENT, i);
      if (!(norm > CONVERGED * n.getAtIndex(MatrixView.ELEMENT, i + 1))) {
        return;
      }
      load(w, first, columns, row.weights);
      load(q, first, columns, row.product);
      load(r, first, columns, row.residual);
      load(p, first, columns, row.direction);
      load(y, first, columns, row.solution);
      n.setAtIndex(MatrixView.ELEMENT, i, (float) row.step((float) damping, norm, columns));
      store(row.residual, columns, r, first);
      store(row.direction, columns, p, first);
      store(row.solution, columns, y, first);
    });
  }

  /// Blocks of one size whatever the number of threads, added in order.
  @Override
  public double dot(Matrix x, Matrix y) {
    MemorySegment a = read(x);
    MemorySegment b = read(y);
    double[] sums = new double[Math.toIntExact(Math.ceilDiv(x.elements(), CpuPool.BLOCK))];
    pool.tiles(x.elements(), (first, count, tile) -> sums[(int) (first / CpuPool.BLOCK)] += CpuConjugateGradients
        .dot(load(a, first, count, tile.a), load(b, first, count, tile.b), count));
    return Arrays.stream(sums).sum();
  }

  @Override
  public void addProduct(double alpha, Matrix x, Matrix y, Matrix z) {
    MemorySegment a = read(x);
    MemorySegment b = read(y);
    MemorySegment to = write(z);
    pool.tiles(z.elements(), (first, count, tile) -> {
      load(to, first, count, tile.c);
      CpuLoops.addProduct((float) alpha, load(a, first, count, tile.a), load(b, first, count, tile.b), tile.c, count);
      store(tile.c, count, to, first);
    });
  }

  @Override
  public void dividedByDiagonal(Matrix weights, Matrix residual, Matrix diagonal, double scale, double shift,
      Matrix quotient) {
    MemorySegment w = read(weights);
    MemorySegment r = read(residual);
    MemorySegment d = read(diagonal);
    MemorySegment z = write(quotient);
    pool.tiles(quotient.elements(), (first, count, tile) -> {
      CpuLoops.divideByDiagonal(load(w, first, count, tile.a), load(r, first, count, tile.b),
          load(d, first, count, tile.c), (float) scale, (float) shift, count);
      store(tile.b, count, z, first);
    });
  }

  private interface RowWork {
    /// @param first index of the row's first element
    void run(CpuConjugateGradients row, long first, int columns);
  }

  private void rows(Matrix matrix, Matrix diagonal, RowWork work) {
    MemorySegment d = read(diagonal);
    int columns = matrix.columns();
    pool.ranges(matrix.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
      CpuConjugateGradients row = new CpuConjugateGradients(columns);
      load(d, 0, columns, row.diagonal);
      for (long i = start; i < end; i++) {
        work.run(row, i * columns, columns);
      }
    });
  }
}
