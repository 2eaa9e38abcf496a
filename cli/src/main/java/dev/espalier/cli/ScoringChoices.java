package dev.espalier.cli;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine.Option;

/// How weights are scored, whatever the criterion.
class ScoringChoices {
  @Option(names = "--sensitivity", paramLabel = "KIND", order = 22,
      description = {"jacobian (one backward pass for each output) or probes:R (R random ones);"
          + " default: jacobian up to 64 outputs, then probes:16."})
  Sensitivity sensitivity;

  @Option(names = "--loss", paramLabel = "LOSS", order = 25,
      description = {"mse or cross-entropy; default: cross-entropy for class indices, else mse."})
  Loss loss;

  @Option(names = "--exclude", paramLabel = "PATTERN", order = 26,
      description = {"Leave the layers of this name alone; * and ? stand for any characters; may be repeated."})
  List<String> exclude = new ArrayList<>();

  @Option(names = "--no-new-bias", order = 29,
      description = {"Give no bias to a layer that has none: its weights are then pruned without compensation."})
  boolean noNewBias;

  /// The engine's options, those that only pruning needs still open.
  PruningOptions.Builder builder(Criterion criterion, Optional<Compensation> compensation, RunOptions run) {
    PruningOptions.Builder builder = PruningOptions.builder().criterion(criterion).newBias(!noNewBias)
        .exclude(this::isExcluded).seed(run.seed);
    run.batchSize().ifPresent(builder::batchSize);
    compensation.ifPresent(builder::compensation);
    Optional.ofNullable(sensitivity).ifPresent(builder::sensitivity);
    Optional.ofNullable(loss).ifPresent(builder::loss);
    return builder;
  }

  /// Refuses patterns that match nothing.
  void check(DenseNetwork network, GlobalOptions global) {
    for (String pattern : exclude) {
      global.require(network.layers().stream().anyMatch(layer -> matches(pattern, layer.name())),
          "--exclude %s matches no layer; the layers are %s".formatted(pattern,
              network.layers().stream().map(DenseLayer::name).collect(Collectors.joining(", "))));
    }
    global.require(!network.layers().stream().map(DenseLayer::name).allMatch(this::isExcluded),
        "--exclude excludes all layers: nothing is left to prune");
  }

  boolean isExcluded(String layer) {
    return exclude.stream().anyMatch(pattern -> matches(pattern, layer));
  }

  private static boolean matches(String pattern, String layer) {
    String expression = pattern.codePoints().mapToObj(c -> switch (c) {
      case '*' -> ".*";
      case '?' -> ".";
      default -> Pattern.quote(Character.toString(c));
    }).collect(Collectors.joining());
    return layer.matches(expression) || (layer + ".weight").matches(expression);
  }
}
