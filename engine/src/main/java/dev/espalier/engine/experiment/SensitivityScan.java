package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/// Prunes each layer of a network alone to several sparsities, and judges the results: how much each layer can lose. A
/// method of one round scores all layers in one pass and cuts each at every sparsity; one of several rounds takes a path
/// for each layer.
///
/// @param network stays as it is
/// @param calibration samples to prune with, where the method needs some
/// @param judges samples to judge by; labelled where there is a loss
/// @param loss empty: only output changes are judged
public record SensitivityScan(Backend backend, DenseNetwork network, Optional<Dataset> calibration, Dataset judges,
    Optional<Loss> loss, int batchSize, ProgressListener listener) {
  /// One layer pruned alone.
  ///
  /// @param judged one for each sparsity
  public record Layer(String name, List<EvaluationPass.Result> judged) {}

  /// All results.
  ///
  /// @param dense the network as it was
  /// @param sparsities ascending
  /// @param layers those that are not excluded
  public record Result(EvaluationPass.Result dense, List<Double> sparsities, List<Layer> layers) {}

  /// Runs the scan.
  ///
  /// @param sparsities of the layer that is pruned, in any order; each counts once
  /// @param options of the pruning; the target is replaced
  /// @throws IOException if a sample cannot be read or is not finite
  public Result run(List<Double> sparsities, PruningOptions options) throws IOException {
    List<Double> ascending = sparsities.stream().sorted().distinct().toList();
    try (PrunedCopies copies = PrunedCopies.of(backend, network, judges, loss, batchSize, ascending.size())) {
      boolean isOneRound = options.schedule() instanceof Schedule.OneShot && options.repair().steps().isEmpty();
      return new Result(copies.judgeDense(listener), ascending,
          isOneRound ? cut(ascending, options, copies) : alongPaths(ascending, options, copies));
    }
  }

  private List<Layer> cut(List<Double> sparsities, PruningOptions options, PrunedCopies copies) throws IOException {
    PruningPlan plan = PruningPlan.of(options, network, calibration, backend);
    List<Layer> layers = new ArrayList<>();
    try (Scores scores = Scorer.score(backend, copies.dense(), plan.scoring(), calibration, listener)) {
      backend.enter(Phase.SELECT);
      scores.rank(copies.dense());
      for (int i = 0; i < scores.size(); i++) {
        int layer = i;
        layers.add(new Layer(network.layers().get(scores.layer(i)).name(),
            copies.judge(sparsities.size(), listener, (s, copy) -> {
              copy.load(network);
              List<Cut> cuts = new ArrayList<>(Collections.nCopies(scores.size(), Cut.NOTHING));
              cuts.set(layer, Selector.selectAlone(backend, scores, layer, sparsities.get(s), options.minPerLayer()));
              scores.apply(copy, cuts);
            })));
      }
    }
    return layers;
  }

  private List<Layer> alongPaths(List<Double> sparsities, PruningOptions options, PrunedCopies copies)
      throws IOException {
    List<Target> targets = sparsities.stream().map(Target::sparsity).toList();
    List<Layer> layers = new ArrayList<>();
    List<DenseLayer> pruned = network.layers().stream().filter(layer -> !options.excludes(layer.name())).toList();
    for (DenseLayer layer : pruned) {
      PruningOptions alone = options.withPath(targets).withExcluded(network.layers().stream().map(DenseLayer::name)
          .filter(name -> !name.equals(layer.name())).map(LayerPattern::of).toList());
      PruningPlan plan = PruningPlan.of(alone, network, calibration, backend);
      try (Arena arena = Arena.ofShared()) {
        copies.copy().load(network);
        List<PruningResult> path = new Pruner(backend, alone).path(plan, network, copies.copy(), calibration,
            listener.part("layer " + layer.name(), layers.size() / (double) pruned.size(),
                (layers.size() + 1.0) / pruned.size()),
            arena);
        layers.add(new Layer(layer.name(),
            copies.judge(path.size(), listener, (s, copy) -> copy.load(path.get(s).network()))));
      }
    }
    return layers;
  }
}
