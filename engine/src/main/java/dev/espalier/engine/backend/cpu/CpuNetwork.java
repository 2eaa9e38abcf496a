package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuMatrix.write;
import static dev.espalier.engine.backend.cpu.CpuTile.copy;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.RandomOrigin;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.function.IntFunction;

/// Forward passes, and the elementwise operations of backward passes, in tiles that stay in cache between a product and
/// what follows it.
final class CpuNetwork implements NetworkOperations {
  private final CpuPool pool;
  private final CpuProducts products;
  private final CpuBackward backward;

  /// @param sparse for gradients with zeros to skip
  CpuNetwork(CpuPool pool, CpuProducts products, Optional<CpuSparseProducts> sparse) {
    this.pool = pool;
    this.products = products;
    this.backward = new CpuBackward(pool, products, sparse);
  }

  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c) {
    Factor left = new Factor(read(a), a.columns(), transposeA);
    Factor right = new Factor(read(b), b.columns(), transposeB);
    MemorySegment result = write(c);
    int k = transposeA ? a.rows() : a.columns();
    CpuTiles tiles = CpuTiles.of(c.rows(), c.columns(), k, right, pool.threads());
    pool.run(tiles.count(), part -> {
      CpuTiles.Tile t = tiles.tile(part);
      products.multiply((float) alpha, left.from(t.row(), 0), right.from(0, t.column()), (float) beta, t.of(result),
          c.columns(), t.rows(), t.columns(), k);
    });
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Matrix preActivation) {
    denseForward(input, weights, bias, preActivation, (_, _) -> {});
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated) {
    if (activation.isElementwise()) {
      MemorySegment z = write(preActivation);
      MemorySegment a = write(activated);
      denseForward(input, weights, bias, preActivation, (start, end) -> activate(activation, z, a, start, end));
    } else {
      denseForward(input, weights, bias, preActivation);
      activate(activation, preActivation, activated);
    }
  }

  /// @param then what is done with elements of z while they are in cache
  private void denseForward(Matrix input, Matrix weights, Matrix bias, Matrix preActivation, CpuPool.Range then) {
    int inputs = input.columns();
    int outputs = weights.rows();
    MemorySegment x = read(input);
    Factor w = Factor.transposed(read(weights), inputs);
    MemorySegment b = read(bias);
    MemorySegment z = write(preActivation);
    CpuTiles tiles = CpuTiles.of(input.rows(), outputs, inputs, w, pool.threads());
    pool.run(tiles.count(), part -> {
      CpuTiles.Tile t = tiles.tile(part);
      t.forEachRun((first, count, _) -> {
        for (long at = first; at < first + count; at += t.columns()) {
          copy(b, t.column(), z, at, t.columns());
        }
      });
      products.multiply(1, Factor.of(x, inputs).from(t.row(), 0), w.from(0, t.column()), 1, t.of(z), outputs, t.rows(),
          t.columns(), inputs);
      t.forEachRun((first, count, _) -> then.run(first, first + count));
    });
  }

  @Override
  public void activate(Activation activation, Matrix preActivation, Matrix activated) {
    MemorySegment z = read(preActivation);
    MemorySegment a = write(activated);
    if (activation.isElementwise()) {
      pool.ranges(preActivation.elements(), CpuPool.BLOCK, (start, end) -> activate(activation, z, a, start, end));
    } else {
      byRows(activation, z, a, preActivation.rows(), preActivation.columns());
    }
  }

  /// a = φ(z) for elements `start` to `end`.
  private static void activate(Activation activation, MemorySegment z, MemorySegment a, long start, long end) {
    CpuTile tile = CpuTile.ofThread();
    for (long first = start; first < end; first += CpuTile.LENGTH) {
      int count = (int) Math.min(CpuTile.LENGTH, end - first);
      CpuActivation.forward(activation, load(z, first, count, tile.a), tile.b, count);
      store(tile.b, count, a, first);
    }
  }

  private void byRows(Activation activation, MemorySegment z, MemorySegment p, int rows, int columns) {
    pool.ranges(rows, CpuPool.rowsPerBlock(columns), (start, end) -> {
      float[] row = new float[columns];
      for (long n = start; n < end; n++) {
        CpuActivation.rowForward(activation, load(z, n * columns, columns, row), row, columns);
        store(row, columns, p, n * columns);
      }
    });
  }

  @Override
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient) {
    MemorySegment u = read(upstream);
    MemorySegment g = write(gradient);
    int columns = upstream.columns();
    if (activation.isElementwise()) {
      CpuDerivative derivative = CpuDerivative.of(activation, preActivation, upstream.rows(), Optional.empty());
      pool.ranges(preActivation.elements(), CpuPool.BLOCK, (start, end) -> derivative.multiply(u, g, start, end));
    } else {
      MemorySegment a = read(activated);
      long samples = preActivation.rows();
      pool.ranges(upstream.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
        float[] p = new float[columns];
        float[] row = new float[columns];
        for (long n = start; n < end; n++) {
          load(a, n % samples * columns, columns, p);
          CpuActivation.rowBackward(activation, p, load(u, n * columns, columns, row), columns);
          store(row, columns, g, n * columns);
        }
      });
    }
  }

  @Override
  public void activationTangent(Activation activation, Matrix preActivation, Matrix activated, Matrix tangent,
      Matrix result) {
    if (!activation.equals(Activation.LOG_SOFTMAX)) {
      activationBackward(activation, preActivation, activated, tangent, result);
      return;
    }
    MemorySegment a = read(activated);
    MemorySegment u = read(tangent);
    MemorySegment t = write(result);
    int columns = tangent.columns();
    pool.ranges(tangent.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
      float[] p = new float[columns];
      float[] row = new float[columns];
      for (long n = start; n < end; n++) {
        load(a, n * columns, columns, p);
        CpuActivation.logSoftmaxTangent(p, load(u, n * columns, columns, row), columns);
        store(row, columns, t, n * columns);
      }
    });
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix gradient, Optional<Squares> squares) {
    backward.run(gradientAbove, (CpuMatrix) weightsAbove, activation, preActivation, gradient, squares);
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    MemorySegment g = read(gradient);
    MemorySegment s = write(sensitivity);
    float factor = (float) scale;
    long elements = sensitivity.elements();
    pool.tiles(elements, (first, count, tile) -> {
      float[] sum = load(s, first, count, tile.a);
      for (long copy = 0; copy < gradient.elements(); copy += elements) {
        CpuLoops.addSquares(factor, load(g, copy + first, count, tile.b), sum, count);
      }
      store(sum, count, s, first);
    });
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    MemorySegment from = read(x);
    MemorySegment to = write(y);
    float factor = (float) alpha;
    pool.tiles(x.elements(), (first, count, tile) -> {
      float[] sum = load(to, first, count, tile.a);
      CpuLoops.add(factor, load(from, first, count, tile.b), sum, count);
      store(sum, count, to, first);
    });
  }

  @Override
  public void multiply(Matrix x, Matrix factor, Matrix product) {
    MemorySegment from = read(x);
    MemorySegment by = read(factor);
    MemorySegment to = write(product);
    int columns = x.columns();
    pool.rowTiles(x.rows(), columns, (row, column, count, tile) -> {
      load(from, (long) row * columns + column, count, tile.a);
      CpuLoops.multiply(load(by, (long) (row % factor.rows()) * columns + column, count, tile.b), tile.a, count);
      store(tile.a, count, to, (long) row * columns + column);
    });
  }

  @Override
  public void addMultiplied(Matrix x, Matrix factor, Matrix sum) {
    MemorySegment from = read(x);
    MemorySegment by = read(factor);
    MemorySegment to = write(sum);
    int columns = x.columns();
    pool.rowTiles(x.rows(), columns, (row, column, count, tile) -> {
      long at = (long) row * columns + column;
      load(to, at, count, tile.c);
      CpuLoops.addProduct(1, load(from, at, count, tile.a),
          load(by, (long) (row % factor.rows()) * columns + column, count, tile.b), tile.c, count);
      store(tile.c, count, to, at);
    });
  }

  @Override
  public void normalize(boolean centred, double epsilon, Matrix x, Matrix normalized) {
    MemorySegment from = read(x);
    MemorySegment to = write(normalized);
    int columns = x.columns();
    pool.ranges(x.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
      float[] row = new float[columns];
      for (long n = start; n < end; n++) {
        CpuNormalization.of(load(from, n * columns, columns, row), centred, epsilon).normalize(row);
        store(row, columns, to, n * columns);
      }
    });
  }

  @Override
  public void normalizeBackward(boolean centred, double epsilon, Matrix x, Matrix normalized, Matrix upstream,
      Matrix gradient) {
    MemorySegment from = read(x);
    MemorySegment y = read(normalized);
    MemorySegment u = read(upstream);
    MemorySegment g = write(gradient);
    int columns = x.columns();
    long samples = x.rows();
    pool.ranges(samples, CpuPool.rowsPerBlock(columns), (start, end) -> {
      float[] values = new float[columns];
      float[] row = new float[columns];
      for (long n = start; n < end; n++) {
        CpuNormalization of = CpuNormalization.of(load(from, n * columns, columns, values), centred, epsilon);
        load(y, n * columns, columns, values);
        for (long at = n * columns; at < upstream.elements(); at += samples * columns) {
          of.multiplyByJacobian(values, load(u, at, columns, row));
          store(row, columns, g, at);
        }
      }
    });
  }

  @Override
  public void copyColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    MemorySegment source = read(from);
    MemorySegment target = write(to);
    pool.ranges(from.rows(), CpuPool.rowsPerBlock(count), (start, end) -> {
      for (long row = start; row < end; row++) {
        copy(source, row * from.columns() + firstFrom, target, row * to.columns() + firstTo, count);
      }
    });
  }

  @Override
  public void addColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    MemorySegment source = read(from);
    MemorySegment target = write(to);
    pool.rowTiles(from.rows(), count, (row, column, length, tile) -> {
      long at = (long) row * to.columns() + firstTo + column;
      float[] sum = load(target, at, length, tile.a);
      CpuLoops.add(1, load(source, (long) row * from.columns() + firstFrom + column, length, tile.b), sum, length);
      store(sum, length, target, at);
    });
  }

  @Override
  public void gatherRows(Matrix from, Matrix numbers, int first, Matrix to) {
    MemorySegment source = read(from);
    MemorySegment rows = read(numbers);
    MemorySegment target = write(to);
    int columns = to.columns();
    pool.ranges(to.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
      for (long i = start; i < end; i++) {
        long row = rows.get(ValueLayout.JAVA_INT_UNALIGNED, (first + i) * Integer.BYTES);
        copy(source, row * columns, target, i * columns, columns);
      }
    });
  }

  @Override
  public void gatherColumns(Matrix from, Matrix numbers, Matrix to) {
    MemorySegment source = read(from);
    MemorySegment target = write(to);
    int width = from.columns();
    int columns = to.columns();
    int[] places = new int[columns];
    MemorySegment.copy(read(numbers), ValueLayout.JAVA_INT_UNALIGNED, 0, places, 0, columns);
    pool.ranges(to.rows(), CpuPool.rowsPerBlock(width), (start, end) -> {
      float[] row = new float[width];
      float[] gathered = new float[columns];
      for (long i = start; i < end; i++) {
        load(source, i * width, width, row);
        for (int j = 0; j < columns; j++) {
          gathered[j] = row[places[j]];
        }
        store(gathered, columns, target, i * columns);
      }
    });
  }

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    MemorySegment u = write(upstream);
    u.fill((byte) 0);
    for (int row = 0; row < upstream.rows(); row++) {
      u.setAtIndex(MatrixView.ELEMENT, (long) row * upstream.columns() + firstOutput + row / samples, 1);
    }
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, RandomOrigin origin) {
    MemorySegment u = write(upstream);
    int columns = upstream.columns();
    long seed = origin.seed();
    long firstSample = origin.firstSample();
    pool.rowTiles(upstream.rows(), columns, (row, column, count, tile) -> {
      int probe = firstProbe + row / samples;
      long sample = firstSample + row % samples;
      for (int k = 0; k < count; k++) {
        tile.a[k] = CounterRandom.sign(seed, probe, sample, column + k, columns);
      }
      store(tile.a, count, u, (long) row * columns + column);
    });
  }

  @Override
  public void fisherVectors(Matrix probabilities, Matrix upstream, int firstClass, double scale) {
    MemorySegment p = read(probabilities);
    fisherRows(p, probabilities, upstream, row -> {
      int k = firstClass + row / probabilities.rows();
      long sample = row % probabilities.rows();
      return new FisherRow(k,
          (float) (scale * Math.sqrt(p.getAtIndex(MatrixView.ELEMENT, sample * upstream.columns() + k))));
    });
  }

  @Override
  public void drawnFisherVectors(Matrix probabilities, Matrix upstream, int firstDraw, RandomOrigin origin,
      double scale) {
    MemorySegment p = read(probabilities);
    fisherRows(p, probabilities, upstream, row -> {
      int sample = row % probabilities.rows();
      float drawn = CounterRandom.uniform(origin.seed(), firstDraw + row / probabilities.rows(),
          origin.firstSample() + sample);
      return new FisherRow(draw(p, (long) sample * upstream.columns(), upstream.columns(), drawn), (float) scale);
    });
  }

  /// The first of `classes` probabilities at which their sum exceeds `drawn`, or else the last.
  private static int draw(MemorySegment p, long first, int classes, float drawn) {
    int k = 0;
    for (float sum = p.getAtIndex(MatrixView.ELEMENT, first); k < classes - 1
        && !(sum > drawn); sum += p.getAtIndex(MatrixView.ELEMENT, first + k)) {
      k++;
    }
    return k;
  }

  /// factor · (e_k − p).
  private record FisherRow(int k, float factor) {}

  private void fisherRows(MemorySegment p, Matrix probabilities, Matrix upstream, IntFunction<FisherRow> rows) {
    MemorySegment u = write(upstream);
    int columns = upstream.columns();
    pool.rowTiles(upstream.rows(), columns, (row, column, count, tile) -> {
      FisherRow fisher = rows.apply(row);
      load(p, (long) (row % probabilities.rows()) * columns + column, count, tile.a);
      for (int j = 0; j < count; j++) {
        tile.a[j] *= -fisher.factor;
      }
      if (fisher.k >= column && fisher.k < column + count) {
        tile.a[fisher.k - column] += fisher.factor;
      }
      store(tile.a, count, u, (long) row * columns + column);
    });
  }
}
