package dev.espalier.engine.scoring;

import dev.espalier.engine.MismatchException;
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
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Finds the weights to remove: exactly round(sparsity · weights) of them, zeros first, ties by layer, row, column; or
/// those that a mask removes, or those of neurons. It changes neither scores nor network.
public final class Selector {
  private final Ranking ranking;
  private final Optional<NeuronSelector> neurons;
  private final long[] most;
  /// The fraction of each layer that has its own.
  private final Map<Integer, Double> own;

  private Selector(Ranking ranking, Optional<NeuronSelector> neurons, long minPerLayer, Map<Integer, Double> own) {
    this.ranking = ranking;
    this.neurons = neurons;
    this.own = own;
    most = layers().mapToLong(i -> Math.max(0, ranking.elements(i) - minPerLayer)).toArray();
  }

  /// Scores in the memory of a backend.
  private record Here(Backend backend, Scores scores) implements Ranking {
    @Override
    public int size() {
      return scores.size();
    }

    @Override
    public int layer(int i) {
      return scores.layer(i);
    }

    @Override
    public String name(int i) {
      return scores.name(i);
    }

    @Override
    public int rows(int i) {
      return scores.importance(i).rows();
    }

    @Override
    public int columns(int i) {
      return scores.importance(i).columns();
    }

    @Override
    public List<Cut.Below> cuts(List<Integer> layers, long count) {
      List<Matrix> ranked = scores.ranked();
      return backend.selection().cuts(layers.stream().map(ranked::get).toList(), count);
    }
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
    scores.ranked(); // which refuses scores that are not
    return select(new Here(backend, scores), Optional.of(new NeuronSelector(backend, scores)), target, minPerLayer,
        own);
  }

  /// As the others, of scores that may be elsewhere.
  ///
  /// @throws MismatchException if the target is one of neurons, whose importances are sums over layers
  public static List<Cut> select(RemoteScores scores, Target target, long minPerLayer, Map<Integer, Double> own) {
    return select(scores, Optional.empty(), target, minPerLayer, own);
  }

  private static List<Cut> select(Ranking ranking, Optional<NeuronSelector> neurons, Target target, long minPerLayer,
      Map<Integer, Double> own) {
    Map<Integer, Double> ofScored = IntStream.range(0, ranking.size()).boxed()
        .filter(i -> own.containsKey(ranking.layer(i)))
        .collect(Collectors.toMap(i -> i, i -> own.get(ranking.layer(i))));
    return new Selector(ranking, neurons, minPerLayer, ofScored).select(target);
  }

  /// The cut that removes round(sparsity · weights) of one layer alone.
  ///
  /// @param i of the scored layers
  /// @param minPerLayer weights that the layer keeps at least
  public static Cut selectAlone(Backend backend, Scores scores, int i, double sparsity, long minPerLayer) {
    Selector selector = new Selector(new Here(backend, scores), Optional.empty(), minPerLayer, Map.of());
    return selector.cut(i, Math.min(selector.most[i], count(sparsity, scores.importance(i).elements())));
  }

  private List<Cut> select(Target target) {
    return switch (target) {
      case Target.Fraction(double sparsity, Scope.Global()) -> global(sparsity);
      case Target.Fraction(double sparsity, Scope.PerLayer()) -> {
        long[] counts = perLayer(sparsity);
        yield layers().<Cut>mapToObj(l -> cut(l, counts[l])).toList();
      }
      case Target.Fraction(double sparsity, Scope.PerRow()) -> {
        long[] counts = perLayer(sparsity);
        yield layers().mapToObj(l -> grouped(l, ranking.columns(l), (double) counts[l] / ranking.rows(l))).toList();
      }
      case Target.Pattern(int kept, int width) ->
        layers().mapToObj(l -> grouped(l, width, (double) width - kept)).toList();
      case Target.Neurons(double sparsity, Scope among) -> neurons.orElseThrow(
          () -> new MismatchException("neurons are selected by sums over layers: their scores must be in one memory"))
          .select(sparsity, among);
      case Target.Mask(Map<String, MatrixView> masks) -> layers().mapToObj(ranking::name)
          .<Cut>map(name -> masks.containsKey(name) ? new Cut.Mask(masks.get(name)) : Cut.NOTHING).toList();
    };
  }

  private IntStream layers() {
    return IntStream.range(0, ranking.size());
  }

  private long ownCount(int l) {
    return Math.min(most[l], count(own.get(l), ranking.elements(l)));
  }

  /// round(fraction · total), halves up, exact beyond 2⁵³ and for decimal fractions.
  public static long count(double fraction, long total) {
    return BigDecimal.valueOf(fraction).multiply(BigDecimal.valueOf(total)).setScale(0, RoundingMode.HALF_UP)
        .longValueExact();
  }

  private long elements(List<Integer> some) {
    return some.stream().mapToLong(ranking::elements).sum();
  }

  private Cut.Below cut(int l, long count) {
    return ranking.cuts(List.of(l), count).getFirst();
  }

  /// A layer that would keep too few gives up as many as it may; the others then make up for it.
  private List<Cut> global(double sparsity) {
    Cut[] settled = new Cut[ranking.size()];
    own.keySet().forEach(l -> settled[l] = cut(l, ownCount(l)));
    List<Integer> open = new ArrayList<>(layers().filter(l -> !own.containsKey(l)).boxed().toList());
    long left = count(sparsity, elements(open));
    while (!open.isEmpty()) {
      List<Cut.Below> cuts = ranking.cuts(List.copyOf(open), Math.min(left, elements(open)));
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
    long[] counts = new long[ranking.size()];
    long before = 0;
    for (int l = 0; l < counts.length; l++) {
      if (own.containsKey(l)) {
        counts[l] = ownCount(l);
        continue;
      }
      long after = before + ranking.elements(l);
      counts[l] = Math.min(most[l], count(sparsity, after) - count(sparsity, before));
      before = after;
    }
    return counts;
  }

  private Cut grouped(int l, int width, double removedPerGroup) {
    int groupWidth = Math.min(width, ranking.columns(l));
    return new Cut.PerGroup(groupWidth, Math.max(0, removedPerGroup - (width - groupWidth)));
  }
}
