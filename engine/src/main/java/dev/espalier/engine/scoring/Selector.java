package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.method.Scope;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/// Finds the weights to remove: exactly round(sparsity · weights) of them, zeros first, ties by layer, row, column.
public final class Selector {
  private Selector() {}

  /// The cuts of some layers.
  ///
  /// @param scores      one matrix a layer, as left by [Backend#rankZerosFirst]; scopes within rows overwrite it
  /// @param sparsity    fraction removed, 0..1; a [Scope.Grouped] has its own
  /// @param minPerLayer weights that every layer keeps at least, 0 or more, where it has as many; `n:m` keeps what it says
  /// @return a cut for each layer
  public static List<Cut> select(Backend backend, List<Matrix> scores, Scope scope, double sparsity, long minPerLayer) {
    long[] most = scores.stream().mapToLong(s -> Math.max(0, s.elements() - minPerLayer)).toArray();
    return switch (scope) {
      case Scope.Global() -> global(backend, scores, count(sparsity, elements(scores)), most);
      case Scope.PerLayer() -> {
        long[] counts = perLayer(scores, sparsity, most);
        yield IntStream.range(0, counts.length)
            .mapToObj(l -> backend.cuts(List.of(scores.get(l)), counts[l]).getFirst()).toList();
      }
      case Scope.PerRow() -> {
        long[] counts = perLayer(scores, sparsity, most);
        yield IntStream.range(0, counts.length).mapToObj(l -> {
          Matrix layer = scores.get(l);
          return grouped(backend, layer, layer.columns(), (double) counts[l] / layer.rows());
        }).toList();
      }
      case Scope.Grouped(int kept, int width) ->
        scores.stream().map(layer -> grouped(backend, layer, width, (double) width - kept)).toList();
    };
  }

  /// round(fraction · total), halves up, exact beyond 2⁵³ and for decimal fractions.
  public static long count(double fraction, long total) {
    return BigDecimal.valueOf(fraction).multiply(BigDecimal.valueOf(total)).setScale(0, RoundingMode.HALF_UP)
        .longValueExact();
  }

  private static long elements(List<Matrix> scores) {
    return scores.stream().mapToLong(Matrix::elements).sum();
  }

  /// A layer that would keep too few gives up as many as it may; the others then make up for it.
  private static List<Cut> global(Backend backend, List<Matrix> scores, long count, long[] most) {
    Cut[] settled = new Cut[scores.size()];
    List<Integer> open = new ArrayList<>(IntStream.range(0, scores.size()).boxed().toList());
    long left = count;
    while (!open.isEmpty()) {
      List<Matrix> rest = open.stream().map(scores::get).toList();
      List<Cut> cuts = backend.cuts(rest, Math.min(left, elements(rest)));
      List<Integer> full = IntStream.range(0, cuts.size()).filter(i -> cuts.get(i).removed() > most[open.get(i)])
          .mapToObj(open::get).toList();
      if (full.isEmpty()) {
        IntStream.range(0, cuts.size()).forEach(i -> settled[open.get(i)] = cuts.get(i));
        break;
      }
      for (int l : full) {
        settled[l] = backend.cuts(List.of(scores.get(l)), most[l]).getFirst();
        left -= most[l];
      }
      open.removeAll(full);
    }
    return List.of(settled);
  }

  /// How many weights each layer loses; rounded so that they add up to round(sparsity · weights).
  private static long[] perLayer(List<Matrix> scores, double sparsity, long[] most) {
    long[] counts = new long[scores.size()];
    long before = 0;
    for (int l = 0; l < counts.length; l++) {
      long after = before + scores.get(l).elements();
      counts[l] = Math.min(most[l], count(sparsity, after) - count(sparsity, before));
      before = after;
    }
    return counts;
  }

  private static Cut grouped(Backend backend, Matrix scores, int width, double removedPerGroup) {
    int groupWidth = Math.min(width, scores.columns());
    double removed = Math.max(0, removedPerGroup - (width - groupWidth));
    return new Cut(Float.POSITIVE_INFINITY, backend.keepPerGroup(scores, groupWidth, removed), 0);
  }
}
