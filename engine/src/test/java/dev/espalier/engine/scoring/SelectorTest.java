package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.backend.reference.ReferenceValues;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Scope;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;
import org.junit.jupiter.api.Test;

final class SelectorTest {
  /// Shapes of the layers of a random case: 1 to 4 layers of 1 to 9 rows and columns.
  private static List<int[]> shapes(Random random) {
    List<int[]> shapes = new ArrayList<>();
    for (int l = random.nextInt(4); l >= 0; l--) {
      shapes.add(new int[]{1 + random.nextInt(9), 1 + random.nextInt(9)});
    }
    return shapes;
  }

  @Property
  void globalRemovesExactlyTheRoundedFractionAndEmptiesNoLayer(@ForAll long seed,
      @ForAll @DoubleRange(min = 0, max = 1) double sparsity, @ForAll @LongRange(min = 0, max = 3) long minPerLayer) {
    List<double[]> weights = select(seed, new Scope.Global(), sparsity, minPerLayer);
    long total = 0;
    long zeros = 0;
    long most = 0;
    for (double[] layer : weights) {
      long kept = Arrays.stream(layer).filter(w -> w != 0).count();
      assertTrue(kept >= Math.min(minPerLayer, layer.length), () -> "kept " + kept);
      total += layer.length;
      zeros += layer.length - kept;
      most += Math.max(0, layer.length - minPerLayer);
    }
    assertEquals(Math.min(Selector.count(sparsity, total), most), zeros);
  }

  @Property
  void layersAndRowsAddUpToTheRoundedFraction(@ForAll long seed,
      @ForAll @DoubleRange(min = 0, max = 1) double sparsity) {
    for (Scope scope : List.of(new Scope.PerLayer(), new Scope.PerRow())) {
      List<double[]> weights = select(seed, scope, sparsity, 0);
      long total = weights.stream().mapToLong(layer -> layer.length).sum();
      long zeros = weights.stream().flatMapToDouble(Arrays::stream).filter(w -> w == 0).count();
      assertEquals(Selector.count(sparsity, total), zeros, scope.toString());
      for (double[] layer : weights) {
        long inLayer = Arrays.stream(layer).filter(w -> w == 0).count();
        assertTrue(Math.abs(inLayer - sparsity * layer.length) <= 1, scope.toString());
      }
    }
  }

  @Property
  void groupsKeepWhatTheySay(@ForAll long seed, @ForAll @IntRange(min = 1, max = 5) int kept,
      @ForAll @IntRange(min = 0, max = 4) int more) {
    int width = kept + more;
    Random random = new Random(seed);
    List<int[]> shapes = shapes(random);
    List<double[]> weights = select(seed, new Scope.Grouped(kept, width), 0, 1);
    for (int l = 0; l < shapes.size(); l++) {
      int columns = shapes.get(l)[1];
      for (int row = 0; row < shapes.get(l)[0]; row++) {
        for (int start = 0; start < columns; start += width) {
          int end = Math.min(columns, start + width);
          long stay = Arrays.stream(weights.get(l), row * columns + start, row * columns + end).filter(w -> w != 0)
              .count();
          assertEquals(Math.min(kept, end - start), stay);
        }
      }
    }
  }

  /// Weights of 1 with random scores, after the selection of a scope.
  private static List<double[]> select(long seed, Scope scope, double sparsity, long minPerLayer) {
    Random random = new Random(seed);
    try (Backend backend = new ReferenceBackend(); Arena arena = Arena.ofConfined()) {
      List<Matrix> weights = new ArrayList<>();
      List<Matrix> scores = new ArrayList<>();
      for (int[] shape : shapes(random)) {
        float[] ones = new float[shape[0] * shape[1]];
        float[] few = new float[ones.length]; // few distinct values: many ties
        for (int i = 0; i < ones.length; i++) {
          ones[i] = 1;
          few[i] = random.nextInt(4);
        }
        weights.add(upload(backend, MatrixView.of(arena, shape[0], shape[1], ones)));
        scores.add(upload(backend, MatrixView.of(arena, shape[0], shape[1], few)));
      }
      List<Cut> cuts = Selector.select(backend, scores, scope, sparsity, minPerLayer);
      for (int l = 0; l < cuts.size(); l++) {
        backend.eliminate(weights.get(l), scores.get(l), cuts.get(l));
      }
      return weights.stream().map(w -> ReferenceValues.of(backend, w)).toList();
    }
  }

  private static Matrix upload(Backend backend, MatrixView view) {
    Matrix matrix = backend.allocate(view.rows(), view.columns());
    backend.upload(view, matrix);
    return matrix;
  }

  @Test
  void countsWithoutTheRoundingOfDoubles() {
    assertEquals(9, Selector.count(0.9, 10));
    assertEquals(3, Selector.count(0.29, 10));
    assertEquals(29, Selector.count(0.29, 100)); // 0.29 · 100 is 28.999… in double
    assertEquals(3, Selector.count(0.5, 5)); // halves up
    assertEquals(9_000_000_000_000_000_001L, Selector.count(1, 9_000_000_000_000_000_001L));
  }

  @Test
  void readsScopes() {
    assertEquals(new Scope.Global(), Scope.parse("global"));
    assertEquals(new Scope.Grouped(2, 4), Scope.parse("2:4"));
    assertEquals(0.5, new Scope.Grouped(2, 4).sparsity());
    assertEquals("scope 5:4: n:m keeps n of every m weights, with 1 ≤ n ≤ m",
        assertThrows(IllegalArgumentException.class, () -> Scope.parse("5:4")).getMessage());
    assertEquals("unknown scope 'all': use global, layer, row, or n:m such as 2:4",
        assertThrows(IllegalArgumentException.class, () -> Scope.parse("all")).getMessage());
  }
}
