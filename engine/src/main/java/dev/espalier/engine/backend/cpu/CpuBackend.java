package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuTile.copy;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.CounterRandom;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.PhaseClock;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import dev.espalier.engine.backend.cpu.CpuProducts.SecondFactor;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// The CPU's vector units: float32 outside Java's heap, products by oneDNN, the rest by plain loops. Work is split into
/// blocks that stay in cache between a product and what follows it, and the blocks over the process's threads. A call
/// returns when its work is done. The same inputs, threads and processor give the same bits.
public final class CpuBackend implements Backend {
  /// Columns of a part that sums columns.
  private static final int SUMMED_COLUMNS = 512;

  /// Elements of the shifted activations that are held at a time, and least samples: fewer would read and write the
  /// moments too often.
  private static final long SHIFTED_ELEMENTS = 1 << 22;
  private static final long SHIFTED_SAMPLES = 1024;

  /// Bytes that all workers but one may take together, and samples that each is worth.
  private static final long WORKER_BYTES = 256L << 20;
  private static final long WORKER_SAMPLES = 64;

  /// A part's product or factor.
  private static final CpuScratch.OfThread PRODUCT = new CpuScratch.OfThread();

  private final PhaseClock clock;
  private final Precision precision;
  private final CpuPool pool;
  private final CpuProducts products;
  private final Optional<CpuSparseProducts> sparse;
  private final CpuSelection selection;
  private final CpuScratch spread = new CpuScratch();
  private List<CpuBackend> workers = List.of();

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
    this(requireAvailable(threads, precision), precision,
        precision == Precision.BF16 ? new CpuBfloat16Products() : new CpuProducts(),
        precision == Precision.FP32 && skipsDeadUnits() ? Optional.of(new CpuSparseProducts()) : Optional.empty());
  }

  /// @param products closed with this
  /// @param sparse   for gradients with zeros to skip
  CpuBackend(int threads, Precision precision, CpuProducts products, Optional<CpuSparseProducts> sparse) {
    this(precision, products, sparse, new CpuPool(Math.min(threads, CpuPool.CORES)), new PhaseClock());
  }

  private CpuBackend(Precision precision, CpuProducts products, Optional<CpuSparseProducts> sparse, CpuPool pool,
      PhaseClock clock) {
    this.precision = precision;
    this.products = products;
    this.sparse = sparse;
    this.pool = pool;
    this.clock = clock;
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

  /// How many times as fast as float32 this CPU multiplies bfloat16, measured on one core, in a twentieth of a second, when it is
  /// first asked; empty where it has no instructions for it.
  ///
  /// @throws dev.espalier.bindings.NativeLibraryException if oneDNN does not load
  public static OptionalDouble bfloat16Rate() {
    OneDnn.load();
    return CpuBfloat16Rate.MEASURED;
  }

  /// Whether backward products in float32 skip the units that ReLU leaves dead, where there are enough of them. That takes the
  /// Vector API, `--add-modules jdk.incubator.vector` among the options of Java, and vectors of 8 float32 or more.
  public static boolean skipsDeadUnits() {
    return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent() && CpuSparseProducts.hasLongVectors();
  }

  /// The cores this process may use, by affinity and container limits: the default number of threads.
  public static int availableThreads() {
    return CpuPool.CORES;
  }

  @Override
  public String description() {
    return "cpu (oneDNN %s, %s, %s, %d thread%s)".formatted(OneDnn.version(), OneDnn.instructionSet(),
        precision == Precision.BF16
            ? "bfloat16 products"
            : sparse.isPresent() ? "float32, skipping dead units" : "float32",
        pool.threads(), pool.threads() == 1 ? "" : "s");
  }

  @Override
  public void enter(Phase phase) {
    clock.enter(phase);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return clock.seconds();
  }

  /// One for each thread, where there are enough samples and they take little memory. The first one's phases are this
  /// one's.
  @Override
  public Workers workers(long samples, long bytes) {
    int threads = pool.threads();
    if (threads == 1 || samples < WORKER_SAMPLES * threads || (threads - 1) * bytes > WORKER_BYTES) {
      return Workers.alone(this);
    }
    if (workers.isEmpty()) {
      workers = IntStream.range(0, threads)
          .mapToObj(
              i -> new CpuBackend(precision, products, sparse, CpuPool.nested(), i == 0 ? clock : new PhaseClock()))
          .toList();
    }
    return new Workers(workers, work -> pool.runTogether(work.size(), i -> work.get(i).run()));
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
    ((CpuMatrix) target).fill(source);
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

  // ---- the network ----

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
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
      t.forEachRun((first, count, _) -> {
        for (long at = first; at < first + count; at += t.columns()) {
          copy(b, t.column(), z, at, t.columns());
        }
      });
      products.multiply(1, Factor.of(x, inputs).from(t.row(), 0), w.from(0, t.column()), 1, t.of(z), outputs, t.rows(),
          t.columns(), inputs);
      if (activation.isElementwise()) {
        t.forEachRun((first, count, _) -> activate(activation, z, a, first, first + count));
      }
    });
    if (!activation.isElementwise()) {
      softmax(z, a, input.rows(), outputs);
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
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient) {
    MemorySegment u = read(upstream);
    MemorySegment g = write(gradient);
    int columns = upstream.columns();
    if (activation.isElementwise()) {
      Derivative derivative = new Derivative(activation, preActivation, upstream.rows(), Optional.empty());
      pool.ranges(preActivation.elements(), CpuPool.BLOCK, (start, end) -> derivative.multiply(u, g, start, end));
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
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient) {
    denseBackward(gradientAbove, weightsAbove, gradient,
        new Derivative(activation, preActivation, gradient.rows(), Optional.empty()));
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient, double scale, Matrix sensitivity) {
    denseBackward(gradientAbove, weightsAbove, gradient, new Derivative(activation, preActivation, gradient.rows(),
        Optional.of(new Squares((float) scale, write(sensitivity)))));
  }

  /// A part is a tile of one copy and the same of all others: φ′ is found once for all, and the part alone adds to its
  /// part of the sensitivity.
  private void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Matrix gradient, Derivative derivative) {
    int outputs = gradient.columns();
    int samples = derivative.samples();
    MemorySegment g = write(gradient);
    StackedProduct product = stacked(gradientAbove, (CpuMatrix) weightsAbove, samples);
    pool.run(product.tiles().count(), part -> {
      CpuTiles.Tile t = product.tiles().tile(part);
      product.multiply(t, t.of(g), outputs, samples);
      t.forEachRun((first, count, _) -> derivative.multiply(g, g, first, first + count));
    });
  }

  /// Gradients of several outputs or probes, one copy of the samples after the other, times a layer's weights.
  ///
  /// @param tiles   of one copy of the result
  /// @param seconds the columns of tiles that lie side by side
  private record StackedProduct(Factor gradients, int samples, int copies, CpuTiles tiles, List<SecondFactor> seconds) {
    /// The tile of all copies.
    ///
    /// @param leading elements of the result from one row to the next
    /// @param apart   its rows from one copy to the next
    void multiply(CpuTiles.Tile tile, MemorySegment result, long leading, int apart) {
      seconds.get(tile.column() / tiles.columnStep()).multiply(gradients.from(tile.row(), 0), false, result, leading,
          tile.rows(), copies, samples, apart);
    }
  }

  private StackedProduct stacked(Matrix gradients, CpuMatrix weights, int samples) {
    int k = weights.rows();
    int copies = gradients.rows() / samples;
    Factor h = Factor.of(read(gradients), k);
    Factor v = Factor.of(read(weights), weights.columns());
    CpuProducts chosen = sparse.isPresent() && sparse.get().pays(h, samples, copies, k, weights.columns())
        ? sparse.get()
        : products;
    CpuTiles tiles = chosen.tiles(samples, weights.columns(), k, copies, v, pool.threads());
    return new StackedProduct(h, samples, copies, tiles, seconds(chosen, weights, v, tiles));
  }

  /// The second factor of products that are cut into tiles: the columns of those that lie side by side.
  private List<SecondFactor> seconds(CpuProducts chosen, CpuMatrix matrix, Factor factor, CpuTiles tiles) {
    long elements = chosen.preparedElements(factor.leading(), matrix.rows(), tiles.columnStep());
    if (elements == 0) {
      return IntStream.range(0, tiles.across())
          .mapToObj(i -> second(chosen, factor, matrix.rows(), tiles.tile(i), MemorySegment.NULL)).toList();
    }
    synchronized (chosen) { // several workers may want the same
      return matrix.prepared(tiles.columnStep()).orElseGet(() -> prepare(chosen, matrix, factor, tiles, elements));
    }
  }

  private static SecondFactor second(CpuProducts chosen, Factor factor, int k, CpuTiles.Tile tile,
      MemorySegment memory) {
    return chosen.second(factor.from(0, tile.column()), k, tile.columns(), memory);
  }

  @SuppressWarnings("MustBeClosedChecker") // the matrix closes the memory
  private List<SecondFactor> prepare(CpuProducts chosen, CpuMatrix matrix, Factor factor, CpuTiles tiles,
      long elements) {
    SecondFactor[] seconds = new SecondFactor[tiles.across()];
    CpuMemory memory = new CpuMemory(elements * seconds.length);
    try {
      pool.run(seconds.length, i -> seconds[i] = second(chosen, factor, matrix.rows(), tiles.tile(i),
          memory.segment().asSlice(i * elements * Float.BYTES)));
    } catch (RuntimeException e) {
      memory.close();
      throw e;
    }
    return matrix.prepare(tiles.columnStep(), List.of(seconds), memory);
  }

  /// A part is as of [#denseBackward], and its gradients stay in memory of the thread.
  @Override
  public void addSquaredGradient(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix scratch, double scale, Matrix sensitivity) {
    MemorySegment z = read(preActivation);
    MemorySegment s = write(sensitivity);
    int samples = preActivation.rows();
    StackedProduct product = stacked(gradientAbove, (CpuMatrix) weightsAbove, samples);
    int copies = product.copies();
    pool.run(product.tiles().count(), part -> {
      CpuTiles.Tile t = product.tiles().tile(part);
      long elements = (long) t.rows() * t.columns();
      MemorySegment g = PRODUCT.atLeast(copies * elements);
      product.multiply(t, g, t.columns(), t.rows());
      t.forEachRun((first, count, inTile) -> addSquares(g, inTile, copies, elements, activation, z, (float) scale, s,
          first, count));
    });
  }

  /// s += scale φ′(z)² Σ u² for `length` elements of z and s from `first` on.
  ///
  /// @param u    gradients, from element `firstOfU` on
  /// @param apart elements from one copy of them to the next
  private static void addSquares(MemorySegment u, long firstOfU, int copies, long apart, Activation activation,
      MemorySegment z, float scale, MemorySegment s, long first, long length) {
    CpuTile tile = CpuTile.ofThread();
    for (long i = 0; i < length; i += CpuTile.LENGTH) {
      int count = (int) Math.min(CpuTile.LENGTH, length - i);
      float[] squares = tile.a;
      Arrays.fill(squares, 0, count, 0);
      for (int copy = 0; copy < copies; copy++) {
        CpuLoops.addSquares(1, load(u, firstOfU + i + copy * apart, count, tile.b), squares, count);
      }
      float[] slope = tile.c;
      CpuActivation.slopes(activation, load(z, first + i, count, tile.b), slope, count);
      float[] sum = load(s, first + i, count, tile.d);
      CpuLoops.addSquaredProducts(scale, slope, squares, sum, count);
      store(sum, count, s, first + i);
    }
  }

  /// Where squared gradients go: s += scale Σ g².
  private record Squares(float scale, MemorySegment sensitivity) {}

  /// φ′(z) of an elementwise activation, which gradients are multiplied with on their way through it.
  ///
  /// @param z       of one copy
  /// @param stacked rows of the gradients
  /// @param squares where their squares are added, if they are
  private record Derivative(Activation activation, Matrix z, int stacked, Optional<Squares> squares) {
    int samples() {
      return z.rows();
    }

    /// g = u ∘ φ′ for elements `start` to `end` of each copy.
    void multiply(MemorySegment u, MemorySegment g, long start, long end) {
      CpuTile tile = CpuTile.ofThread();
      MemorySegment preActivation = read(z);
      long last = (long) (stacked - samples()) * z.columns();
      for (long first = start; first < end; first += CpuTile.LENGTH) {
        int count = (int) Math.min(CpuTile.LENGTH, end - first);
        float[] slope = tile.a;
        CpuActivation.slopes(activation, load(preActivation, first, count, tile.b), slope, count);
        if (squares.isPresent()) {
          MemorySegment s = squares.get().sensitivity();
          float[] sum = load(s, first, count, tile.c);
          for (long at = first; at <= first + last; at += z.elements()) {
            float[] gradient = load(u, at, count, tile.b);
            CpuLoops.multiplyAndAddSquares(slope, gradient, squares.get().scale(), sum, count);
            store(gradient, count, g, at);
          }
          store(sum, count, s, first);
        } else {
          for (long at = first; at <= first + last; at += z.elements()) {
            float[] gradient = load(u, at, count, tile.b);
            CpuLoops.multiply(slope, gradient, count);
            store(gradient, count, g, at);
          }
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
    u.fill((byte) 0);
    for (int row = 0; row < upstream.rows(); row++) {
      u.setAtIndex(MatrixView.ELEMENT, (long) row * upstream.columns() + firstOutput + row / samples, 1);
    }
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
        MemorySegment x = PRODUCT.atLeast(2 * elements + prepared);
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
      CpuLoops.shiftMoments(total, load(before, column, count, tile.c), load(after, column, count, tile.d), one, two,
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
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
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
    workers.forEach(CpuBackend::closeScratch);
    closeScratch();
    products.close();
    sparse.ifPresent(CpuProducts::close);
  }

  private void closeScratch() {
    spread.close();
  }
}
