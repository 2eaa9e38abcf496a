package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.CpuMatrix.get;
import static dev.espalier.engine.backend.CpuMatrix.set;

import dev.espalier.bindings.MatrixView;
import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.backend.CpuProducts.Factor;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;

/// The CPU's vector units: float32 outside Java's heap, products by oneDNN, the rest by plain loops. Work is split into
/// blocks that stay in cache between a product and what follows it, and the blocks over the process's threads. A call
/// returns when its work is done. The same inputs, threads and processor give the same bits.
public final class CpuBackend implements Backend {
  /// Elements of a part of a memory-bound loop: 256 KiB of float32.
  private static final long BLOCK = 1 << 16;

  /// Floating-point operations that are worth a part of their own.
  private static final double PART_FLOPS = 1e6;

  /// Parts for each thread, so that a thread that is slowed down holds up the others less.
  private static final int PARTS_PER_THREAD = 4;

  /// Most rows of a block between a product and what follows it.
  private static final int BLOCK_ROWS = 512;

  /// Least rows or columns of a result's tile, below which packing its factors starts to show.
  private static final int LEAST_TILE = 128;

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
    if (threads < 1) {
      throw new IllegalArgumentException("threads %d: use at least 1".formatted(threads));
    }
    OneDnn.load();
    if (precision == Precision.BF16 && !OneDnn.multipliesBfloat16()) {
      throw new IllegalArgumentException(
          "precision bf16: this CPU has neither AVX512-BF16 nor AMX, use --precision fp32");
    }
    this.precision = precision;
    pool = new CpuPool(Math.min(threads, CpuPool.CORES));
    products = new CpuProducts(precision == Precision.BF16);
    selection = new CpuSelection(pool);
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
    Tiles tiles = Tiles.of(c.rows(), c.columns(), k, pool.threads());
    pool.run(tiles.count(), part -> {
      Tiles.Tile t = tiles.tile(part);
      products.multiply((float) alpha, left.from(t.row(), 0), right.from(0, t.column()), (float) beta,
          t.of(result), c.columns(), t.rows(), t.columns(), k);
    });
  }

  /// A result of `rows` × `columns`, cut into tiles that keep all threads busy and are not needlessly small.
  private record Tiles(int rows, int columns, int rowStep, int columnStep) {
    /// @param k terms of each element's sum
    static Tiles of(int rows, int columns, int k, int threads) {
      double flops = 2.0 * rows * columns * k;
      int parts = (int) Math.clamp(flops / PART_FLOPS, 1, (double) threads * PARTS_PER_THREAD);
      int down = Math.clamp(rows / LEAST_TILE, 1, parts);
      int across = Math.clamp(columns / LEAST_TILE, 1, (parts + down - 1) / down);
      return new Tiles(rows, columns, (rows + down - 1) / down, (columns + across - 1) / across);
    }

    record Tile(int row, int column, int rows, int columns, int leading) {
      MemorySegment of(MemorySegment matrix) {
        return matrix.asSlice(((long) row * leading + column) * Float.BYTES);
      }
    }

    int count() {
      return across() * ((rows + rowStep - 1) / rowStep);
    }

    private int across() {
      return (columns + columnStep - 1) / columnStep;
    }

    Tile tile(int part) {
      int row = part / across() * rowStep;
      int column = part % across() * columnStep;
      return new Tile(row, column, Math.min(rowStep, rows - row), Math.min(columnStep, columns - column),
          columns);
    }
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
    pool.ranges(input.rows(), rowsPerPart(input.rows(), 2.0 * inputs * outputs), (start, end) -> {
      long rowBytes = (long) outputs * Float.BYTES;
      for (long n = start; n < end; n++) {
        MemorySegment.copy(b, 0, z, n * rowBytes, rowBytes);
      }
      products.multiply(1, Factor.of(x, inputs).from(start, 0), w, 1, z.asSlice(start * rowBytes), outputs,
          end - start, outputs, inputs);
      CpuActivation.forward(activation, z, a, start * outputs, end * outputs, outputs);
    });
  }

  /// Rows of a block whose product is followed by a loop over its result.
  private long rowsPerPart(int rows, double flopsPerRow) {
    long worthwhile = Math.max(1, (long) (PART_FLOPS / flopsPerRow));
    long balanced = rows / ((long) pool.threads() * PARTS_PER_THREAD) + 1;
    return Math.max(worthwhile, Math.min(BLOCK_ROWS, balanced));
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
      pool.ranges(upstream.elements(), BLOCK, (start, end) -> slope.multiply(u, g, start, end));
    } else {
      MemorySegment a = read(activated);
      long samples = preActivation.rows();
      pool.ranges(upstream.rows(), Math.max(1, BLOCK / columns), (start, end) -> {
        for (long row = start; row < end; row++) {
          softmaxBackward(a, row % samples * columns, u, g, row * columns, columns);
        }
      });
    }
  }

  /// g = p ∘ (u − pᵀu) for one row.
  private static void softmaxBackward(MemorySegment p, long firstP, MemorySegment u, MemorySegment g,
      long first,
      int columns) {
    double mean = 0;
    for (int k = 0; k < columns; k++) {
      mean += (double) get(p, firstP + k) * get(u, first + k);
    }
    for (int k = 0; k < columns; k++) {
      set(g, first + k, (float) (get(p, firstP + k) * (get(u, first + k) - mean)));
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
    pool.ranges(gradient.rows(), rowsPerPart(gradient.rows(), 2.0 * above * outputs), (start, end) -> {
      products.multiplyRounded(h.from(start, 0), v, false, g.asSlice(start * outputs * Float.BYTES), outputs,
          end - start, outputs, above);
      slope.multiply(g, g, start * outputs, end * outputs);
    });
  }

  /// What gradients are multiplied with on their way through an elementwise activation.
  private Slopes slopes(Activation activation, Matrix preActivation) {
    MemorySegment z = read(preActivation);
    long elements = preActivation.elements();
    if (CpuActivation.isPiecewiseLinear(activation)) {
      return new Slopes.PiecewiseLinear(z, elements, CpuActivation.slopeBelow(activation));
    }
    // Once, and not for each of the stacked copies.
    MemorySegment d = slopes.atLeast(elements);
    pool.ranges(elements, BLOCK, (start, end) -> CpuActivation.derivative(activation, z, d, start, end));
    return new Slopes.Stored(d, elements);
  }

  /// φ′(z), repeated for each stacked copy.
  private sealed interface Slopes {
    /// Elements of one copy.
    long elements();

    /// g = u ∘ φ′ for elements `start` to `end` of the stacked copies; `offset` is where the first of them lies in φ′.
    void multiplyCopy(MemorySegment u, MemorySegment g, long start, long end, long offset);

    /// g = u ∘ φ′ for elements `start` to `end` of the stacked copies.
    default void multiply(MemorySegment u, MemorySegment g, long start, long end) {
      for (long from = start; from < end;) {
        long offset = from % elements();
        long to = Math.min(end, from + elements() - offset);
        multiplyCopy(u, g, from, to, offset);
        from = to;
      }
    }

    record PiecewiseLinear(MemorySegment z, long elements, float below) implements Slopes {
      @Override
      public void multiplyCopy(MemorySegment u, MemorySegment g, long start, long end, long offset) {
        if (below == 1) {
          if (!u.equals(g)) {
            MemorySegment.copy(u, start * Float.BYTES, g, start * Float.BYTES, (end - start) * Float.BYTES);
          }
          return;
        }
        for (long i = 0; i < end - start; i++) {
          float value = get(u, start + i);
          set(g, start + i, get(z, offset + i) > 0 ? value : below * value);
        }
      }
    }

    record Stored(MemorySegment d, long elements) implements Slopes {
      @Override
      public void multiplyCopy(MemorySegment u, MemorySegment g, long start, long end, long offset) {
        for (long i = 0; i < end - start; i++) {
          set(g, start + i, get(u, start + i) * get(d, offset + i));
        }
      }
    }
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    MemorySegment g = read(gradient);
    MemorySegment s = write(sensitivity);
    float factor = (float) scale;
    long elements = sensitivity.elements();
    // Small blocks: the sensitivities stay in cache while the copies stream by.
    pool.ranges(elements, BLOCK / 8, (start, end) -> {
      for (long copy = 0; copy < gradient.elements(); copy += elements) {
        for (long i = start; i < end; i++) {
          float value = get(g, copy + i);
          set(s, i, get(s, i) + factor * value * value);
        }
      }
    });
  }

  // ---- upstream gradients and random numbers ----

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    MemorySegment u = write(upstream);
    u.fill((byte) 0);
    for (long row = 0; row < upstream.rows(); row++) {
      set(u, row * upstream.columns() + firstOutput + row / samples, 1);
    }
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, long firstSample, long seed) {
    MemorySegment u = write(upstream);
    int columns = upstream.columns();
    pool.ranges(upstream.rows(), Math.max(1, BLOCK / columns), (start, end) -> {
      for (long row = start; row < end; row++) {
        long probe = firstProbe + row / samples;
        long sample = firstSample + row % samples;
        for (int k = 0; k < columns; k++) {
          set(u, row * columns + k, CounterRandom.sign(seed, probe, sample, k, columns));
        }
      }
    });
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    MemorySegment m = write(matrix);
    pool.ranges(matrix.elements(), BLOCK, (start, end) -> {
      for (long i = start; i < end; i++) {
        set(m, i, CounterRandom.uniform(seed, stream, i));
      }
    });
  }

  // ---- moments and scores ----

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    MemorySegment m = write(means);
    int rows = x.rows();
    columnSums(x, (column, sum) -> set(m, column, (float) (sum / rows)));
  }

  private interface ColumnSum {
    void is(int column, double sum);
  }

  private void columnSums(Matrix x, ColumnSum result) {
    MemorySegment values = read(x);
    int columns = x.columns();
    pool.ranges(columns, LEAST_TILE, (start, end) -> {
      double[] sums = new double[(int) (end - start)];
      for (long n = 0; n < x.rows(); n++) {
        for (int j = 0; j < sums.length; j++) {
          sums[j] += get(values, n * columns + start + j);
        }
      }
      for (int j = 0; j < sums.length; j++) {
        result.is((int) start + j, sums[j]);
      }
    });
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1,
      Matrix m2) {
    int outputs = sensitivity.columns();
    int inputs = activation.columns();
    MemorySegment zeroth = write(m0);
    columnSums(sensitivity, (i, sum) -> set(zeroth, i, (float) (get(zeroth, i) + sum)));
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
      Tiles tiles = Tiles.of(outputs, inputs, samples, pool.threads());
      pool.run(2 * tiles.count(), part -> {
        Tiles.Tile t = tiles.tile(part / 2);
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
    pool.ranges(count, Math.max(1, BLOCK / inputs), (start, end) -> {
      for (long n = start; n < end; n++) {
        long from = (first + n) * inputs;
        long to = n * inputs;
        for (int j = 0; j < inputs; j++) {
          float difference = get(a, from + j) - get(c, j);
          set(x, to + j, difference);
          set(xx, to + j, difference * difference);
        }
      }
    });
  }

  @Override
  public void shiftMoments(Matrix m0, Matrix m1, Matrix m2, Matrix from, Matrix to) {
    MemorySegment zeroth = read(m0);
    MemorySegment first = write(m1);
    MemorySegment second = write(m2);
    MemorySegment before = read(from);
    MemorySegment after = read(to);
    forEachWeight(m1, (i, j, at) -> {
      double d = (double) get(before, j) - get(after, j);
      double total = get(zeroth, i);
      set(second, at, (float) (get(second, at) + 2 * d * get(first, at) + d * d * total));
      set(first, at, (float) (get(first, at) + d * total));
    });
  }

  private interface Weight {
    void at(int row, int column, long index);
  }

  private void forEachWeight(Matrix matrix, Weight action) {
    int columns = matrix.columns();
    pool.ranges(matrix.rows(), Math.max(1, BLOCK / columns), (start, end) -> {
      for (int i = (int) start; i < end; i++) {
        for (int j = 0; j < columns; j++) {
          action.at(i, j, (long) i * columns + j);
        }
      }
    });
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    MemorySegment from = read(x);
    MemorySegment to = write(y);
    float factor = (float) alpha;
    pool.ranges(x.elements(), BLOCK, (start, end) -> {
      for (long i = start; i < end; i++) {
        set(to, i, get(to, i) + factor * get(from, i));
      }
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
    forEachWeight(weights, (i, j, at) -> {
      double total = get(zeroth, i);
      double mean = total == 0 ? 0 : get(first, at) / total;
      double variance = Math.max(0, get(second, at) - mean * get(first, at)) / samples;
      double center = total == 0 ? 0 : get(c, j) + mean;
      double weight = get(w, at);
      set(second, at, (float) (weight * weight * variance));
      set(first, at, (float) (weight * center));
    });
  }

  @Override
  public void absoluteProduct(Matrix weights, Matrix factor, Matrix scores) {
    MemorySegment w = read(weights);
    MemorySegment f = read(factor);
    MemorySegment s = write(scores);
    boolean byRow = factor.rows() == 1;
    forEachWeight(weights, (_, j, at) -> set(s, at, Math.abs(get(w, at) * get(f, byRow ? j : at))));
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
    pool.ranges(preActivation.rows(), Math.max(1, BLOCK / 8 / outputs), (start, end) -> {
      for (long n = start; n < end; n++) {
        long first = n * outputs;
        double logSum = CpuActivation.softmax(z, g, first, outputs);
        double loss = 0;
        double mass = 0;
        for (long i = first; i < first + outputs; i++) {
          loss += get(t, i) * (logSum - get(z, i));
          mass += get(t, i);
        }
        for (long i = first; i < first + outputs; i++) {
          set(g, i, (float) (get(g, i) * mass - get(t, i)));
        }
        set(l, n, (float) loss);
      }
    });
  }

  @Override
  public void squaredError(Matrix activated, Matrix targets, Matrix gradient, Matrix losses) {
    MemorySegment a = read(activated);
    MemorySegment t = read(targets);
    MemorySegment g = write(gradient);
    MemorySegment l = write(losses);
    int outputs = activated.columns();
    pool.ranges(activated.rows(), Math.max(1, BLOCK / outputs), (start, end) -> {
      for (long n = start; n < end; n++) {
        double loss = 0;
        for (long i = n * outputs; i < (n + 1) * outputs; i++) {
          double difference = (double) get(a, i) - get(t, i);
          loss += difference * difference / outputs;
          set(g, i, (float) (2 * difference / outputs));
        }
        set(l, n, (float) loss);
      }
    });
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam,
      long step, boolean keepZeros) {
    MemorySegment p = write(parameter);
    MemorySegment g = read(gradient);
    MemorySegment m = write(firstMoment);
    MemorySegment v = write(secondMoment);
    float beta1 = (float) adam.beta1();
    float beta2 = (float) adam.beta2();
    // 1 − β in double: in float32 it would lose digits that the moments' sizes show.
    float rest1 = (float) (1 - adam.beta1());
    float rest2 = (float) (1 - adam.beta2());
    float rate = (float) (adam.learningRate() / (1 - Math.pow(adam.beta1(), (double) step)));
    float correction2 = (float) (1 / (1 - Math.pow(adam.beta2(), (double) step)));
    float epsilon = (float) adam.epsilon();
    pool.ranges(parameter.elements(), BLOCK, (start, end) -> {
      for (long i = start; i < end; i++) {
        float slope = get(g, i);
        float mean = beta1 * get(m, i) + rest1 * slope;
        float square = beta2 * get(v, i) + rest2 * slope * slope;
        set(m, i, mean);
        set(v, i, square);
        float value = get(p, i);
        if (!keepZeros || value != 0) {
          set(p, i, value - rate * mean / ((float) Math.sqrt(square * correction2) + epsilon));
        }
      }
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
