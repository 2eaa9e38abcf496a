package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.CpuTile.copy;
import static dev.espalier.engine.backend.CpuTile.load;
import static dev.espalier.engine.backend.CpuTile.store;

import dev.espalier.bindings.MatrixView;
import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.backend.CpuProducts.Factor;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The CPU's vector units: float32 outside Java's heap, products by oneDNN, the rest by plain loops. Work is split into
/// blocks that stay in cache between a product and what follows it, and the blocks over the process's threads. A call
/// returns when its work is done. The same inputs, threads and processor give the same bits.
public final class CpuBackend implements Backend {
  /// Least columns of a part that sums columns.
  private static final int SUMMED_COLUMNS = 128;

  /// Elements of the shifted activations that are held at a time, and least samples: fewer would read and write the
  /// moments too often.
  private static final long SHIFTED_ELEMENTS = 1 << 22;
  private static final long SHIFTED_SAMPLES = 1024;

  private final PhaseClock clock = new PhaseClock();
  private final Precision precision;
  private final CpuPool pool;
  private final CpuProducts products;
  private final CpuSelection selection;
  private final CpuScratch shifted = new CpuScratch();
  private final CpuScratch squared = new CpuScratch();
  private final CpuScratch slopes = new CpuScratch();

  /// On all cores this process may use, in float32.
  ///
  /// @throws dev.espalier.bindings.NativeLibraryException if oneDNN does not load
  public CpuBackend() {
    this(CpuPool.CORES, Precision.FP32);
  }

  /// @param threads at least 1; more than the cores this process may use are no faster
  /// @throws IllegalArgumentException if the CPU does not have the precision
  /// @throws dev.espalier.bindings.NativeLibraryException if oneDNN does not load
  public CpuBackend(int threads, Precision precision) {
    this(requireAvailable(threads, precision), precision, new CpuProducts(precision == Precision.BF16));
  }

  /// @param products closed with this
  CpuBackend(int threads, Precision precision, CpuProducts products) {
    this.precision = precision;
    this.products = products;
    pool = new CpuPool(Math.min(threads, CpuPool.CORES));
    selection = new CpuSelection(pool);
  }

  private static int requireAvailable(int threads, Precision precision) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads %d: use at least 1".formatted(threads));
    }
    if (precision == Precision.TF32) {
      throw new IllegalArgumentException(
          "precision tf32: only GPUs round to TF32, use --precision fp32, or --device cuda");
    }
    OneDnn.load();
    if (precision == Precision.BF16 && !OneDnn.multipliesBfloat16()) {
      throw new IllegalArgumentException(
          "precision bf16: this CPU has neither AVX512-BF16 nor AMX, use --precision fp32");
    }
    return threads;
  }

  /// The cores this process may use, by affinity and container limits: the default number of threads.
  public static int availableThreads() {
    return CpuPool.CORES;
  }

  @Override
  public String description() {
    return "cpu (oneDNN %s, %s, %s, %d thread%s)".formatted(OneDnn.version(), OneDnn.instructionSet(),
        precision == Precision.BF16 ? "bfloat16 products" : "float32", pool.threads(),
        pool.threads() == 1 ? "" : "s");
  }

  @Override
  public void enter(Phase phase) {
    clock.enter(phase);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return clock.seconds();
  }

  // ---- memory ----

  @Override
  public Matrix allocate(int rows, int columns) {
    return new CpuMatrix(rows, columns);
  }

  @Override
  public Matrix rows(Matrix matrix, int first, int count) {
    return new CpuMatrix((CpuMatrix) matrix, first, count);
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    ((CpuMatrix) target).fill(source.segment());
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    target.segment().copyFrom(read(source));
  }

  @Override
  public void clear(Matrix matrix) {
    write(matrix).fill((byte) 0);
  }

  private static MemorySegment read(Matrix matrix) {
    return ((CpuMatrix) matrix).read();
  }

  private static MemorySegment write(Matrix matrix) {
    return ((CpuMatrix) matrix).write();
  }

  // ---- products ----

  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta,
      Matrix c) {
    Factor left = new Factor(read(a), a.columns(), transposeA);
    Factor right = new Factor(read(b), b.columns(), transposeB);
    MemorySegment result = write(c);
    int k = transposeA ? a.rows() : a.columns();
    CpuTiles tiles = CpuTiles.of(c.rows(), c.columns(), k, right, pool.threads());
    pool.run(tiles.count(), part -> {
      CpuTiles.Tile t = tiles.tile(part);
      products.multiply((float) alpha, left.from(t.row(), 0), right.from(0, t.column()), (float) beta,
          t.of(result), c.columns(), t.rows(), t.columns(), k);
    });
  }

  // ---- the network ----

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation,
      Matrix preActivation,
      Matrix activated) {
    int inputs = input.columns();
    int outputs = weights.rows();
    MemorySegment x = read(input);
    Factor w = Factor.transposed(read(weights), inputs);
    MemorySegment b = read(bias);
    MemorySegment z = write(preActivation);
    MemorySegment a = write(activated);
    CpuTiles tiles = CpuTiles.of(input.rows(), outputs, inputs, w, pool.threads());
    pool.run(tiles.count(), part -> {
      CpuTiles.Tile t = tiles.tile(part);
      t.forEachRun((first, count) -> {
        for (long at = first; at < first + count; at += t.columns()) {
          copy(b, t.column(), z, at, t.columns());
        }
      });
      products.multiply(1, Factor.of(x, inputs).from(t.row(), 0), w.from(0, t.column()), 1, t.of(z), outputs,
          t.rows(),
          t.columns(), inputs);
      if (activation.isElementwise()) {
        t.forEachRun((first, count) -> activate(activation, z, a, first, first + count));
      }
    });
    if (!activation.isElementwise()) {
      softmax(z, a, input.rows(), outputs);
    }
  }

  /// a = φ(z) for elements `start` to `end`.
  private static void activate(Activation activation, MemorySegment z, MemorySegment a, long start,
      long end) {
    CpuTile tile = CpuTile.ofThread();
    for (long first = start; first < end; first += CpuTile.LENGTH) {
      int count = (int) Math.min(CpuTile.LENGTH, end - first);
      CpuActivation.forward(activation, load(z, first, count, tile.a), tile.b, count);
      store(tile.b, count, a, first);
    }
  }

  private void softmax(MemorySegment z, MemorySegment p, int rows, int columns) {
    pool.ranges(rows, CpuPool.rowsPerBlock(columns), (start, end) -> {
      float[] row = new float[columns];
      for (long n = start; n < end; n++) {
        CpuActivation.softmax(load(z, n * columns, columns, row), row, columns);
        store(row, columns, p, n * columns);
      }
    });
  }

  @Override
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated,
      Matrix upstream,
      Matrix gradient) {
    MemorySegment u = read(upstream);
    MemorySegment g = write(gradient);
    int columns = upstream.columns();
    if (activation.isElementwise()) {
      Slopes slope = slopes(activation, preActivation);
      pool.ranges(upstream.elements(), CpuPool.BLOCK, (start, end) -> slope.multiply(u, g, start, end));
    } else {
      MemorySegment a = read(activated);
      long samples = preActivation.rows();
      pool.ranges(upstream.rows(), CpuPool.rowsPerBlock(columns), (start, end) -> {
        float[] p = new float[columns];
        float[] row = new float[columns];
        for (long n = start; n < end; n++) {
          load(a, n % samples * columns, columns, p);
          CpuActivation.softmaxBackward(p, load(u, n * columns, columns, row), columns);
          store(row, columns, g, n * columns);
        }
      });
    }
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation,
      Matrix preActivation,
      Matrix activated, Matrix gradient) {
    int outputs = gradient.columns();
    int above = weightsAbove.rows();
    Factor h = Factor.of(read(gradientAbove), above);
    Factor v = Factor.of(read(weightsAbove), outputs);
    MemorySegment g = write(gradient);
    Slopes slope = slopes(activation, preActivation);
    CpuTiles tiles = CpuTiles.of(gradient.rows(), outputs, above, v, pool.threads());
    pool.run(tiles.count(), part -> {
      CpuTiles.Tile t = tiles.tile(part);
      products.multiplyRounded(h.from(t.row(), 0), v.from(0, t.column()), false, t.of(g), outputs, t.rows(),
          t.columns(),
          above);
      t.forEachRun((first, count) -> slope.multiply(g, g, first, first + count));
    });
  }

  /// What gradients are multiplied with on their way through an elementwise activation.
  private Slopes slopes(Activation activation, Matrix preActivation) {
    MemorySegment z = read(preActivation);
    long elements = preActivation.elements();
    if (CpuActivation.isPiecewiseLinear(activation)) {
      return new Slopes(z, elements, Optional.of(activation));
    }
    // Once, and not for each of the stacked copies.
    MemorySegment d = slopes.atLeast(elements);
    pool.tiles(elements, (first, count, tile) -> {
      CpuActivation.slopes(activation, load(z, first, count, tile.a), tile.b, count);
      store(tile.b, count, d, first);
    });
    return new Slopes(d, elements, Optional.empty());
  }

  /// φ′ of one copy of the samples.
  ///
  /// @param source   z of a piecewise linear activation, else φ′(z)
  /// @param elements of one copy
  /// @param stepsOf  the activation if it is piecewise linear
  private record Slopes(MemorySegment source, long elements, Optional<Activation> stepsOf) {
    /// g = u ∘ φ′ for elements `start` to `end` of stacked copies.
    void multiply(MemorySegment u, MemorySegment g, long start, long end) {
      CpuTile tile = CpuTile.ofThread();
      for (long first = start; first < end;) {
        long inCopy = first % elements;
        int count = (int) Math.min(CpuTile.LENGTH, Math.min(end - first, elements - inCopy));
        float[] slope = load(source, inCopy, count, tile.a);
        float[] gradient = load(u, first, count, tile.b);
        if (stepsOf.isPresent()) {
          CpuActivation.multiplyByStep(stepsOf.get(), slope, gradient, count);
        } else {
          CpuLoops.multiply(slope, gradient, count);
        }
        store(gradient, count, g, first);
        first += count;
      }
    }
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

  // ---- upstream gradients and random numbers ----

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    MemorySegment u = write(upstream);
    pool.rowTiles(upstream.rows(), upstream.columns(), (row, column, count, tile) -> {
      Arrays.fill(tile.a, 0, count, 0);
      int unit = firstOutput + row / samples - column;
      if (unit >= 0 && unit < count) {
        tile.a[unit] = 1;
      }
      store(tile.a, count, u, (long) row * upstream.columns() + column);
    });
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, long firstSample, long seed) {
    MemorySegment u = write(upstream);
    int columns = upstream.columns();
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
  public void uniform(Matrix matrix, long seed, long stream) {
    MemorySegment m = write(matrix);
    pool.tiles(matrix.elements(), (first, count, tile) -> {
      for (int i = 0; i < count; i++) {
        tile.a[i] = CounterRandom.uniform(seed, stream, first + i);
      }
      store(tile.a, count, m, first);
    });
  }

  // ---- moments and scores ----

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    store(columnSums(x, 1.0 / x.rows(), new float[x.columns()]), x.columns(), write(means), 0);
  }

  /// Adds `scale` times the sums over rows to `sums`, rounding once.
  private float[] columnSums(Matrix x, double scale, float[] sums) {
    MemorySegment values = read(x);
    int columns = x.columns();
    pool.ranges(columns, Math.clamp(columns / pool.threads(), SUMMED_COLUMNS, CpuTile.LENGTH),
        (start, end) -> {
          int count = (int) (end - start);
          double[] exact = new double[count];
          CpuTile tile = CpuTile.ofThread();
          for (long n = 0; n < x.rows(); n++) {
            CpuLoops.add(load(values, n * columns + start, count, tile.a), exact, count);
          }
          for (int j = 0; j < count; j++) {
            sums[(int) start + j] = (float) (sums[(int) start + j] + scale * exact[j]);
          }
        });
    return sums;
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1,
      Matrix m2) {
    int outputs = sensitivity.columns();
    int inputs = activation.columns();
    MemorySegment zeroth = write(m0);
    float[] total = load(zeroth, 0, outputs, new float[outputs]);
    store(columnSums(sensitivity, 1, total), outputs, zeroth, 0);
    Factor s = Factor.transposed(read(sensitivity), outputs);
    MemorySegment first = write(m1);
    MemorySegment second = write(m2);
    int most = (int) Math.min(activation.rows(), Math.max(SHIFTED_SAMPLES, SHIFTED_ELEMENTS / inputs));
    MemorySegment x = shifted.atLeast((long) most * inputs);
    MemorySegment xx = squared.atLeast((long) most * inputs);
    for (int n = 0; n < activation.rows(); n += most) {
      int samples = Math.min(most, activation.rows() - n);
      Factor weights = s.from(0, n);
      shift(activation, n, samples, pilotMean, x, xx);
      CpuTiles tiles = CpuTiles.of(outputs, inputs, samples, Factor.of(x, inputs), pool.threads());
      pool.run(2 * tiles.count(), part -> {
        CpuTiles.Tile t = tiles.tile(part / 2);
        Factor power = Factor.of(part % 2 == 0 ? x : xx, inputs);
        products.multiplyRounded(weights.from(t.row(), 0), power.from(0, t.column()), true,
            t.of(part % 2 == 0 ? first : second), inputs, t.rows(), t.columns(), samples);
      });
    }
  }

  /// x = a − c and xx = x ∘ x for `count` samples from `first` on.
  private void shift(Matrix activation, int first, int count, Matrix pilotMean, MemorySegment x,
      MemorySegment xx) {
    int inputs = activation.columns();
    MemorySegment a = read(activation);
    MemorySegment c = read(pilotMean);
    pool.rowTiles(count, inputs, (row, column, length, tile) -> {
      float[] values = load(a, (long) (first + row) * inputs + column, length, tile.a);
      float[] mean = load(c, column, length, tile.b);
      CpuLoops.shift(values, mean, tile.c, length);
      long at = (long) row * inputs + column;
      store(values, length, x, at);
      store(tile.c, length, xx, at);
    });
  }

  @Override
  public void shiftMoments(Matrix m0, Matrix m1, Matrix m2, Matrix from, Matrix to) {
    MemorySegment zeroth = read(m0);
    MemorySegment first = write(m1);
    MemorySegment second = write(m2);
    MemorySegment before = read(from);
    MemorySegment after = read(to);
    int columns = m1.columns();
    pool.rowTiles(m1.rows(), columns, (row, column, count, tile) -> {
      long at = (long) row * columns + column;
      float total = zeroth.getAtIndex(MatrixView.ELEMENT, row);
      float[] one = load(first, at, count, tile.a);
      float[] two = load(second, at, count, tile.b);
      CpuLoops.shiftMoments(total, load(before, column, count, tile.c), load(after, column, count, tile.d),
          one, two,
          count);
      store(one, count, first, at);
      store(two, count, second, at);
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
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean,
      long samples) {
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
          (double) samples,
          count);
      store(one, count, first, at);
      store(two, count, second, at);
    });
  }

  @Override
  public void absoluteProduct(Matrix weights, Matrix factor, Matrix scores) {
    MemorySegment w = read(weights);
    MemorySegment f = read(factor);
    MemorySegment s = write(scores);
    int columns = weights.columns();
    boolean byRow = factor.rows() == 1;
    pool.rowTiles(weights.rows(), columns, (row, column, count, tile) -> {
      long at = (long) row * columns + column;
      float[] product = load(w, at, count, tile.a);
      CpuLoops.absoluteProduct(load(f, byRow ? column : at, count, tile.b), product, count);
      store(product, count, s, at);
    });
  }

  // ---- selection ----

  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    return selection.rankZerosFirst((CpuMatrix) weights, (CpuMatrix) scores);
  }

  @Override
  public List<Cut> cuts(List<Matrix> scores, long count) {
    return selection.cuts(scores.stream().map(CpuMatrix.class::cast).toList(), count);
  }

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup) {
    return selection.keepPerGroup((CpuMatrix) scores, groupWidth, removedPerGroup);
  }

  @Override
  public double eliminate(Matrix weights, Matrix scores, Cut cut) {
    return selection.eliminate((CpuMatrix) weights, (CpuMatrix) scores, cut);
  }

  @Override
  public void compensate(Matrix bias, Matrix scores, Matrix compensation, Cut cut) {
    selection.compensate((CpuMatrix) bias, (CpuMatrix) scores, (CpuMatrix) compensation, cut);
  }

  // ---- training ----

  @Override
  public void crossEntropy(Matrix preActivation, Matrix targets, Matrix gradient, Matrix losses) {
    MemorySegment z = read(preActivation);
    MemorySegment t = read(targets);
    MemorySegment g = write(gradient);
    MemorySegment l = write(losses);
    int outputs = preActivation.columns();
    pool.ranges(preActivation.rows(), CpuPool.rowsPerBlock(outputs), (start, end) -> {
      float[] values = new float[outputs];
      float[] target = new float[outputs];
      float[] slope = new float[outputs];
      float[] loss = new float[(int) (end - start)];
      for (long n = start; n < end; n++) {
        load(z, n * outputs, outputs, values);
        load(t, n * outputs, outputs, target);
        loss[(int) (n - start)] = (float) CpuLoops.crossEntropy(values, target, slope, outputs);
        store(slope, outputs, g, n * outputs);
      }
      store(loss, loss.length, l, start);
    });
  }

  @Override
  public void squaredError(Matrix activated, Matrix targets, Matrix gradient, Matrix losses) {
    MemorySegment a = read(activated);
    MemorySegment t = read(targets);
    MemorySegment g = write(gradient);
    MemorySegment l = write(losses);
    int outputs = activated.columns();
    pool.ranges(activated.rows(), CpuPool.rowsPerBlock(outputs), (start, end) -> {
      float[] values = new float[outputs];
      float[] target = new float[outputs];
      float[] loss = new float[(int) (end - start)];
      for (long n = start; n < end; n++) {
        load(a, n * outputs, outputs, values);
        load(t, n * outputs, outputs, target);
        loss[(int) (n - start)] = (float) CpuLoops.squaredError(target, values, outputs);
        store(values, outputs, g, n * outputs);
      }
      store(loss, loss.length, l, start);
    });
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam,
      long step, boolean keepZeros) {
    MemorySegment p = write(parameter);
    MemorySegment g = read(gradient);
    MemorySegment m = write(firstMoment);
    MemorySegment v = write(secondMoment);
    CpuLoops.AdamStep adamStep = CpuLoops.AdamStep.of(adam, (double) step, keepZeros);
    pool.tiles(parameter.elements(), (first, count, tile) -> {
      float[] value = load(p, first, count, tile.a);
      float[] mean = load(m, first, count, tile.b);
      float[] square = load(v, first, count, tile.c);
      adamStep.run(load(g, first, count, tile.d), value, mean, square, count);
      store(value, count, p, first);
      store(mean, count, m, first);
      store(square, count, v, first);
    });
  }

  @Override
  public void close() {
    products.close();
    shifted.close();
    squared.close();
    slopes.close();
  }
}
