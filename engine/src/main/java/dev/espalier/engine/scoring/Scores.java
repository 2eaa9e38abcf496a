package dev.espalier.engine.scoring;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BiasChange;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.statistics.Histogram;
import java.lang.foreign.Arena;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// The scores of a network's layers in the memory of a backend: computed once, cut as often as wanted.
///
/// At first importances are as their criterion defines them. [#rank] prepares them for selection.
public final class Scores implements Resource {
  private static final float KEPT = Float.POSITIVE_INFINITY;

  private final Backend backend;
  private final Graph graph;
  private final List<LayerScores> layers;
  private final Resources resources;
  private boolean ranked;

  Scores(Backend backend, Graph graph, List<LayerScores> layers, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.layers = List.copyOf(layers);
    this.resources = resources;
  }

  /// The graph of the network that was scored.
  Graph graph() {
    return graph;
  }

  /// How many layers were scored. Methods number them from 0 in the order of the network.
  public int size() {
    return layers.size();
  }

  /// The number of the i-th scored layer in its network.
  public int layer(int i) {
    return layers.get(i).number();
  }

  /// The name of the i-th scored layer.
  String name(int i) {
    return layers.get(i).name();
  }

  /// I, outputs × inputs, at least 0; once [ranked][#rank] −1 for weights that are zero.
  public Matrix importance(int i) {
    return layers.get(i).importance();
  }

  /// Δb, outputs × inputs: what the bias of a row gains when the weight is removed; where the plan has a compensation.
  public Optional<Matrix> compensation(int i) {
    return layers.get(i).compensation();
  }

  /// `E[s]` of each neuron, where the plan needed it.
  public Optional<float[]> meanSensitivity(int i) {
    return layers.get(i).meanSensitivity();
  }

  /// How the importances of a layer are distributed, before they are ranked; empty if one is not finite.
  ///
  /// @param bins at least 1
  public Optional<Histogram> histogram(int i, int bins) {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView values = backend.download(importance(i), arena);
      return values.firstNonFinite() < 0 ? Optional.of(Histogram.of(values, bins)) : Optional.empty();
    }
  }

  /// Prepares the importances for selection: weights of `network` that are zero already count as removed first.
  ///
  /// @throws NonFiniteException if an importance is NaN or infinite; the message names layer and index
  public void rank(DeviceNetwork network) {
    for (LayerScores scores : layers) {
      rank(backend, network.layers().get(scores.number()), scores.importance());
    }
    ranked = true;
  }

  static void rank(Backend backend, DeviceNetwork.Layer layer, Matrix importance) {
    long bad = backend.selection().rankZerosFirst(layer.weights(), importance);
    if (bad >= 0) {
      throw new NonFiniteException(
          "the importance of %s.weight at [%d, %d] is not finite: the network's values are too large for it"
              .formatted(layer.name(), bad / layer.inputs(), bad % layer.inputs()));
    }
  }

  /// Whether the largest importance of a layer is 0, although it has weights that are not; once [ranked][#rank].
  public boolean areZero(int i) {
    Matrix importance = ranked().get(i);
    return backend.selection().cuts(List.of(importance), importance.elements()).getFirst().threshold() == 0;
  }

  /// Checks that a cut was selected among these very scores, those of one layer that are [ranked][#rank].
  ///
  /// @throws MismatchException if others are below its threshold, or equal to it
  public void requireSelected(Cut cut) {
    if (cut instanceof Cut.Below below && !below.equals(Cut.NOTHING) && !isSelected(below)) {
      throw new MismatchException(
          "layer %s has other scores here than where its weights were selected: run both on machines of one kind"
              .formatted(name(0)));
    }
  }

  private boolean isSelected(Cut.Below cut) {
    long count = cut.below() + cut.equal();
    long elements = ranked().getFirst().elements();
    if (count > elements || (count < elements && least(count + 1).threshold() <= cut.threshold())) {
      return false;
    }
    if (cut.equal() > 0) {
      Cut.Below last = least(count);
      return last.threshold() == cut.threshold() && last.below() == cut.below();
    }
    return count == 0 || least(count).threshold() < cut.threshold();
  }

  private Cut.Below least(long count) {
    return backend.selection().cuts(ranked(), count).getFirst();
  }

  List<Matrix> ranked() {
    if (!ranked) {
      throw new IllegalStateException("scores are selected from once they are ranked");
    }
    return layers.stream().map(LayerScores::importance).toList();
  }

  /// Removes from `network` what the cuts remove, and compensates where the plan says so. The scores stay as they are.
  ///
  /// @param cuts one for each scored layer
  /// @return for each scored layer the sum of the importances of the weights removed now
  public List<Double> apply(DeviceNetwork network, List<? extends Cut> cuts) {
    return IntStream.range(0, layers.size())
        .mapToObj(i -> apply(layers.get(i), network.layers().get(layer(i)), cuts.get(i))).toList();
  }

  private double apply(LayerScores scores, DeviceNetwork.Layer layer, Cut cut) {
    Optional<BiasChange> change = scores.compensation().map(c -> new BiasChange(layer.bias(), c));
    return switch (cut) {
      case Cut.Below below -> backend.selection().remove(layer.weights(), scores.importance(), below, change);
      case Cut.PerGroup(int width, double removed) -> {
        try (Matrix marked = backend.allocateWeights(layer.outputs(), layer.inputs())) {
          long count = backend.selection().keepPerGroup(scores.importance(), width, removed, marked);
          yield backend.selection().remove(layer.weights(), marked, new Cut.Below(KEPT, count, 0, 0), change);
        }
      }
      case Cut.Mask(MatrixView mask) ->
        remove(scores, layer, change, (values, i, j) -> mask.get(i, j) == 0 ? values.get(i, j) : KEPT);
      case Cut.Neurons(BitSet rows, BitSet columns) -> remove(scores, layer, change,
          (values, i, j) -> columns.get(j) ? values.get(i, j) : rows.get(i) ? Math.min(0, values.get(i, j)) : KEPT);
    };
  }

  /// What a weight counts for that is removed, or [#KEPT].
  private interface Marks {
    float of(MatrixView importance, int i, int j);
  }

  /// Marks importances as [SelectionOperations#keepPerGroup][dev.espalier.engine.backend.SelectionOperations#keepPerGroup]
  /// does, and removes the weights that are not kept.
  private double remove(LayerScores scores, DeviceNetwork.Layer layer, Optional<BiasChange> change, Marks marks) {
    try (Matrix marked = backend.allocateWeights(layer.outputs(), layer.inputs()); Arena arena = Arena.ofConfined()) {
      MatrixView values = backend.download(scores.importance(), arena);
      long count = 0;
      for (int i = 0; i < values.rows(); i++) {
        for (int j = 0; j < values.columns(); j++) {
          float mark = marks.of(values, i, j);
          values.set(i, j, mark);
          count += mark == KEPT ? 0 : 1;
        }
      }
      backend.upload(values, marked);
      return backend.selection().remove(layer.weights(), marked, new Cut.Below(KEPT, count, 0, 0), change);
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
