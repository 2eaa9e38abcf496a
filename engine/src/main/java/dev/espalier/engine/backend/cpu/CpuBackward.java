package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.backend.cpu.CpuProducts.Factor;
import dev.espalier.engine.backend.cpu.CpuProducts.SecondFactor;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// Gradients of several outputs or probes, one copy of the samples after the other, through a dense layer and the
/// activation below it.
final class CpuBackward {
  private final CpuPool pool;
  private final CpuProducts products;
  private final Optional<CpuSparseProducts> sparse;

  CpuBackward(CpuPool pool, CpuProducts products, Optional<CpuSparseProducts> sparse) {
    this.pool = pool;
    this.products = products;
    this.sparse = sparse;
  }

  /// See [NetworkOperations#denseBackward].
  void run(Matrix gradientAbove, CpuMatrix weightsAbove, Activation activation, Matrix preActivation, Matrix gradient,
      Optional<Squares> squares) {
    StackedProduct product = stacked(gradientAbove, weightsAbove, preActivation.rows());
    if (squares.isPresent() && squares.get().alone()) {
      addSquares(product, activation, preActivation, squares.get());
    } else {
      write(product, gradient, CpuDerivative.of(activation, preActivation, gradient.rows(), squares));
    }
  }

  /// A part is a tile of one copy and the same tile of all others: the part finds φ′ once for all of them, and alone
  /// adds to its elements of the sensitivity.
  private void write(StackedProduct product, Matrix gradient, CpuDerivative derivative) {
    int outputs = gradient.columns();
    int samples = derivative.samples();
    MemorySegment g = CpuMatrix.write(gradient);
    pool.run(product.tiles().count(), part -> {
      CpuTiles.Tile t = product.tiles().tile(part);
      product.multiply(t, t.of(g), outputs, samples);
      t.forEachRun((first, count, _) -> derivative.multiply(g, g, first, first + count));
    });
  }

  /// A part is as in [#write], and its gradients stay in memory of the thread.
  private void addSquares(StackedProduct product, Activation activation, Matrix preActivation, Squares squares) {
    MemorySegment z = read(preActivation);
    MemorySegment s = CpuMatrix.write(squares.sensitivity());
    float scale = (float) squares.scale();
    int copies = product.copies();
    pool.run(product.tiles().count(), part -> {
      CpuTiles.Tile t = product.tiles().tile(part);
      long elements = (long) t.rows() * t.columns();
      MemorySegment g = CpuScratch.PRODUCT.atLeast(copies * elements);
      product.multiply(t, g, t.columns(), t.rows());
      t.forEachRun(
          (first, count, inTile) -> addSquares(g, inTile, copies, elements, activation, z, scale, s, first, count));
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
}
