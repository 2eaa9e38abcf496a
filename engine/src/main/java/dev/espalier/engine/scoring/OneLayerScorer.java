package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.statistics.Sums;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Scores one layer from sums that were gathered before, where those of all layers do not fit one memory. The scores have
/// the bits of [Scorer#score(Backend, DeviceNetwork, ScoringPlan, dev.espalier.engine.statistics.NetworkSums)] of all
/// layers: what they owe to other layers is one number, the [typical][#typical] importance.
///
/// @param backend has the network
/// @param network has the layer; it may be a part of the one that is scored
/// @param index of the layer in `network`
/// @param planned the layer, by its number in the network that is scored; of one use
public record OneLayerScorer(Backend backend, DeviceNetwork network, int index, ScoringPlan plan,
    ScoringPlan.Layer planned) {
  /// What the sums of a layer tell of its rounding.
  ///
  /// @param typical importance of the layer's weights; 0 if none is above 0
  /// @param cancelled W² M2 of each input's variances that have cancelled, summed over the samples; 0 of the others
  /// @param meanSensitivity of each neuron over all samples
  public record Rounding(double typical, List<Float> cancelled, List<Float> meanSensitivity) {
    /// Copies the lists.
    public Rounding {
      cancelled = List.copyOf(cancelled);
      meanSensitivity = List.copyOf(meanSensitivity);
    }
  }

  /// What the sums tell of the rounding of the layer's scores, by a criterion that needs moments.
  public Rounding rounding(List<Sums> sums) {
    try (LayerScorer scorer = LayerScorer.allocate(backend, layer(), 1, plan, planned)) {
      scorer.load(sums);
      LayerScores scores = scorer.finish(backend);
      return new Rounding(Scorer.typical(backend, scores), list(scorer.cancelled()),
          list(scores.meanSensitivity().orElseThrow()));
    }
  }

  private static List<Float> list(float... values) {
    List<Float> list = new ArrayList<>();
    for (float value : values) {
      list.add(value);
    }
    return list;
  }

  /// The typical importance of a network's weights: the least of its layers'.
  public static double typical(List<Rounding> layers) {
    return layers.stream().mapToDouble(Rounding::typical).filter(t -> t > 0).min().orElse(0);
  }

  /// The inputs of a layer whose variances must be summed apart, because they have cancelled and it matters; empty if there
  /// are none.
  ///
  /// @param samples that were summed
  /// @param typical of all layers
  public static Optional<CancelledInputs> inexact(Rounding layer, long samples, double typical) {
    float[] cancelled = new float[layer.cancelled.size()];
    for (int j = 0; j < cancelled.length; j++) {
      cancelled[j] = layer.cancelled.get(j);
    }
    return ExactMoments.of(layer.meanSensitivity.size(), cancelled, samples, typical)
        .map(exact -> new CancelledInputs(exact.numbers(), layer.meanSensitivity));
  }

  /// The layer's scores, not ranked, closed by the caller.
  ///
  /// @param sums of the layer, with the variances of its [#inexact] inputs, if there are any
  /// @param typical of all layers
  /// @throws dev.espalier.engine.MismatchException as [Scorer]
  public Scores score(List<Sums> sums, double typical) {
    return Resources
        .build(resources -> new Scores(backend, network.graph(), List.of(score(sums, typical, resources)), resources));
  }

  private LayerScores score(List<Sums> sums, double typical, Resources resources) {
    LayerScorer scorer = resources.own(LayerScorer.allocate(backend, layer(), 1, plan, planned));
    scorer.load(sums);
    LayerScores scores = scorer.finish(backend);
    if (scorer.hasCancelled()) {
      scorer.findInexact(typical);
      Scorer.refuseInexact(layer().name(), scorer);
      scorer.replace(backend, scores);
    }
    return scores;
  }

  /// The layer's importances, ranked as [Scores#rank] does.
  ///
  /// @param arena takes their memory
  /// @throws dev.espalier.engine.NonFiniteException as [Scores#rank]
  public MatrixView ranked(List<Sums> sums, double typical, Arena arena) {
    try (Resources resources = new Resources()) {
      LayerScores scores = score(sums, typical, resources);
      Scores.rank(backend, layer(), scores.importance());
      return backend.download(scores.importance(), arena);
    }
  }

  private DeviceNetwork.Layer layer() {
    return network.layers().get(index);
  }
}
