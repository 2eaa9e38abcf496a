package dev.espalier.cli;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/// How weights are scored, whatever the criterion.
class ScoringChoices {
  @Option(names = "--sensitivity", paramLabel = "KIND", order = 22)
  Sensitivity sensitivity;

  @Option(names = "--loss", paramLabel = "LOSS", order = 25)
  Loss loss;

  @Option(names = "--exclude", paramLabel = "PATTERN", order = 26)
  List<String> exclude = new ArrayList<>();

  @Option(names = "--allow-slow", order = 28)
  boolean allowSlow;

  @Option(names = "--new-bias", order = 29)
  boolean newBias;

  /// The engine's options, without those that only pruning needs.
  PruningOptions.Builder builder(Criterion criterion, Optional<Compensation> compensation, RunOptions run) {
    PruningOptions.Builder builder = PruningOptions.builder().criterion(criterion).newBias(newBias).allowSlow(allowSlow)
        .exclude(exclude.toArray(String[]::new)).seed(run.seed);
    run.batchSize().ifPresent(builder::batchSize);
    compensation.ifPresent(builder::compensation);
    Optional.ofNullable(sensitivity).ifPresent(builder::sensitivity);
    Optional.ofNullable(loss).ifPresent(builder::loss);
    return builder;
  }

  /// What the plan says of layers without a bias, with the option that gives them one.
  static Optional<String> uncompensated(PruningPlan plan) {
    return plan.uncompensated()
        .map(fact -> fact + "; --new-bias adds one, which takes up the means of what is removed");
  }

  /// Refuses patterns that match no layer of a network, or all.
  void check(DenseNetwork network, GlobalOptions global) {
    check(network.layers().stream().map(DenseLayer::name).toList(), global);
  }

  /// Refuses patterns that match nothing, or everything.
  ///
  /// @param layers names of all
  void check(List<String> layers, GlobalOptions global) {
    List<LayerPattern> patterns = exclude.stream().map(LayerPattern::new).toList();
    for (LayerPattern pattern : patterns) {
      global.require(layers.stream().anyMatch(pattern::matches),
          "--exclude %s matches no layer; the layers are %s".formatted(pattern, String.join(", ", layers)));
    }
    global.require(layers.stream().anyMatch(layer -> patterns.stream().noneMatch(pattern -> pattern.matches(layer))),
        "--exclude excludes all layers: nothing is left to prune");
  }
}
