package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.network.HiddenNeurons.Place;
import dev.espalier.engine.network.HiddenNeurons.Unit;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// Finds the hidden neurons to remove, those of least importance, which is the sum of the importances of all weights
/// that read them (docs/method.md, neurons): exactly round(sparsity · neurons), those that nothing reads first, ties by
/// layer and row. Each layer keeps one.
record NeuronSelector(Backend backend, Scores scores) {
  /// A neuron that nothing reads.
  private static final double REMOVED = -1;

  /// A cut for each scored layer. Neurons that a layer has or reads that was not scored stay.
  List<Cut> select(double sparsity, Scope among) {
    Map<Integer, Integer> scored = new HashMap<>();
    IntStream.range(0, scores.size()).forEach(i -> scored.put(scores.layer(i), i));
    List<Unit> units = HiddenNeurons.of(scores.graph()).within(scored::containsKey).units();
    double[] importance = importances(units, scored);
    List<Integer> order = IntStream.range(0, units.size()).boxed()
        .sorted(Comparator.comparingDouble(u -> importance[u])).toList(); // stable
    Map<Integer, Long> most = most(units, sparsity, among);
    long left = Selector.count(sparsity, units.size());
    List<BitSet> rows = sets();
    List<BitSet> columns = sets();
    for (int u : order) {
      Unit unit = units.get(u);
      if (left > 0 && most.merge(unit.layer(), -1L, Long::sum) >= 0) {
        left--;
        mark(unit.rows(), scored, rows);
        mark(unit.columns(), scored, columns);
      }
    }
    return IntStream.range(0, scores.size())
        .<Cut>mapToObj(i -> rows.get(i).isEmpty() && columns.get(i).isEmpty()
            ? Cut.NOTHING
            : new Cut.Neurons(rows.get(i), columns.get(i)))
        .toList();
  }

  /// By layer, how many of its neurons may go: all but one, or, within layers, so many that they add up to
  /// round(sparsity · neurons).
  private static Map<Integer, Long> most(List<Unit> units, double sparsity, Scope among) {
    Map<Integer, Long> most = new HashMap<>();
    long before = 0;
    for (int layer : units.stream().map(Unit::layer).distinct().toList()) {
      long count = units.stream().filter(unit -> unit.layer() == layer).count();
      long share = among instanceof Scope.PerLayer
          ? Selector.count(sparsity, before + count) - Selector.count(sparsity, before)
          : count;
      most.put(layer, Math.min(count - 1, share));
      before += count;
    }
    return most;
  }

  private List<BitSet> sets() {
    return IntStream.range(0, scores.size()).mapToObj(_ -> new BitSet()).toList();
  }

  private static void mark(List<Place> places, Map<Integer, Integer> scored, List<BitSet> sets) {
    places.forEach(place -> sets.get(scored.get(place.layer())).set(place.index()));
  }

  private double[] importances(List<Unit> units, Map<Integer, Integer> scored) {
    List<double[]> columns = new ArrayList<>();
    for (int i = 0; i < scores.size(); i++) {
      columns.add(columns(i));
    }
    return units.stream().mapToDouble(unit -> {
      double[] read = unit.columns().stream()
          .mapToDouble(column -> columns.get(scored.get(column.layer()))[column.index()]).filter(value -> value >= 0)
          .toArray();
      return read.length == 0 ? REMOVED : Arrays.stream(read).sum();
    }).toArray();
  }

  /// By column of a layer, the sum of the importances of its weights; [#REMOVED] if all are zero.
  private double[] columns(int i) {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView importance = backend.onHost(scores.ranked().get(i), arena);
      double[] sums = new double[importance.columns()];
      Arrays.fill(sums, REMOVED);
      for (int row = 0; row < importance.rows(); row++) {
        for (int j = 0; j < sums.length; j++) {
          float value = importance.get(row, j);
          if (value >= 0) {
            sums[j] = Math.max(0, sums[j]) + value;
          }
        }
      }
      return sums;
    }
  }
}
