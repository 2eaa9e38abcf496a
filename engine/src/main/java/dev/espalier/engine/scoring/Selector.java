package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Finds the weights to remove: exactly round(sparsity · weights) of them, zeros first, ties by layer, row, column; or
/// those that a mask removes, or those of neurons. It changes neither scores nor network.
public final class Selector {
  private final Backend backend;
  private final List<Matrix> scores;
  private final List<String> names;
  private final NeuronSelector neurons;
  private final long[] most;
  /// The fraction of each layer that has its own.
  private final Map<Integer, Double> own;

  private Selector(Backend backend, Scores scores, long minPerLayer, Map<Integer, Double> own) {
    this.backend = backend;
    this.scores = scores.ranked();
    this.own = own;
    neurons = new NeuronSelector(backend, scores);
    names = IntStream.range(0, scores.size()).mapToObj(scores::name).toList();
    most = this.scores.stream().mapToLong(s -> Math.max(0, s.elements() - minPerLayer)).toArray();
  }

  /// The cuts of the scored layers that reach a target.
  ///
  /// @param scores [ranked][Scores#rank], in the memory of `backend`
  /// @param minPerLayer weights that every layer keeps at least, 0 or more, where it has as many; an n:m pattern and a
  ///                    mask keep what they say, and of its hidden neurons every layer keeps one
  /// @return a cut for each scored layer
  public static List<Cut> select(Backend backend, Scores scores, Target target, long minPerLayer) {
    return select(backend, scores, target, minPerLayer, Map.of());
  }

  /// As [#select(Backend, Scores, Target, long)], with layers that have sparsities of their own: each is selected
  /// within itself, and the target counts the weights of the others alone.
  ///
  /// @param own sparsity of these layers, by their number in the network; empty for a pattern n:m
  public static List<Cut> select(Backend backend, Scores scores, Target target, long minPerLayer,
      Map<Integer, Double> own) {
    Map<Integer, Double> ofScored = IntStream.range(0, scores.size()).boxed()
        .filter(i -> own.containsKey(scores.layer(i))).collect(Collectors.toMap(i -> i, i -> own.get(scores.layer(i))));
    return new Selector(backend, scores, minPerLayer, ofScored).select(target);
  }

  /// The cut that removes round(sparsity · weights) of one layer alone.
  ///
  /// @param i of the scored layers
  /// @param minPerLayer weights that the layer keeps at least
  public static Cut selectAlone(Backend backend, Scores scores, int i, double sparsity, long minPerLayer) {
    Selector selector = new Selector(backend, scores, minPerLayer, Map.of());
    return selector.cut(i, Math.min(selector.most[i], count(sparsity, selector.scores.get(i).elements())));
  }

  private List<Cut> select(Target target) {
    return switch (target) {
      case Target.Fraction(double sparsity, Scope.Global()) -> global(sparsity);
      case Target.Fraction(double sparsity, Scope.PerLayer()) -> {
        long[] counts = perLayer(sparsity);
        yield IntStream.range(0, counts.length).mapToObj(l -> cut(l, counts[l])).toList();
      }
      case Target.Fraction(double sparsity, Scope.PerRow()) -> {
        long[] counts = perLayer(sparsity);
        yield IntStream.range(0, counts.length)
            .mapToObj(l -> grouped(scores.get(l), scores.get(l).columns(), (double) counts[l] / scores.get(l).rows()))
            .toList();
      }
      case Target.Pattern(int kept, int width) ->
        scores.stream().map(layer -> grouped(layer, width, (double) width - kept)).toList();
      case Target.Neurons(double sparsity, Scope among) -> neurons.select(sparsity, among);
      case Target.Mask(Map<String, MatrixView> masks) ->
        names.stream().<Cut>map(name -> masks.containsKey(name) ? new Cut.Mask(masks.get(name)) : Cut.NOTHING).toList();
    };
  }

  private long ownCount(int l) {
    return Math.min(most[l], count(own.get(l), scores.get(l).elements()));
  }

  /// round(fraction · total), halves up, exact beyond 2⁵³ and for decimal fractions.
  public static long count(double fraction, long total) {
    return BigDecimal.valueOf(fraction).multiply(BigDecimal.valueOf(total)).setScale(0, RoundingMode.HALF_UP)
        .longValueExact();
  }

  private static long elements(List<Matrix> matrices) {
    return matrices.stream().mapToLong(Matrix::elements).sum();
  }

  private Cut cut(int l, long count) {
    return backend.selection().cuts(List.of(scores.get(l)), count).getFirst();
  }

  /// A layer that would keep too few gives up as many as it may; the others then make up for it.
  private List<Cut> global(double sparsity) {
    Cut[] settled = new Cut[scores.size()];
    own.keySet().forEach(l -> settled[l] = cut(l, ownCount(l)));
    List<Integer> open = new ArrayList<>(
        IntStream.range(0, scores.size()).filter(l -> !own.containsKey(l)).boxed().toList());
    long left = count(sparsity, elements(open.stream().map(scores::get).toList()));
    while (!open.isEmpty()) {
      List<Matrix> rest = open.stream().map(scores::get).toList();
      List<Cut.Below> cuts = backend.selection().cuts(rest, Math.min(left, elements(rest)));
      List<Integer> full = IntStream.range(0, cuts.size()).filter(i -> cuts.get(i).removed() > most[open.get(i)])
          .mapToObj(open::get).toList();
      if (full.isEmpty()) {
        IntStream.range(0, cuts.size()).forEach(i -> settled[open.get(i)] = cuts.get(i));
        break;
      }
      for (int l : full) {
        settled[l] = cut(l, most[l]);
        left -= most[l];
      }
      open.removeAll(full);
    }
    return List.of(settled);
  }

  /// How many weights each layer loses; rounded so that those of layers without an own sparsity add up to
  /// round(sparsity · weights).
  private long[] perLayer(double sparsity) {
    long[] counts = new long[scores.size()];
    long before = 0;
    for (int l = 0; l < counts.length; l++) {
      if (own.containsKey(l)) {
        counts[l] = ownCount(l);
        continue;
      }
      long after = before + scores.get(l).elements();
      counts[l] = Math.min(most[l], count(sparsity, after) - count(sparsity, before));
      before = after;
    }
    return counts;
  }

  private static Cut grouped(Matrix scores, int width, double removedPerGroup) {
    int groupWidth = Math.min(width, scores.columns());
    return new Cut.PerGroup(groupWidth, Math.max(0, removedPerGroup - (width - groupWidth)));
  }
}
