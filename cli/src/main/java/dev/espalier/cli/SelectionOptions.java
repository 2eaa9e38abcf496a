package dev.espalier.cli;

import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.io.MaskFile;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Limits.Amount;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.pruning.PruningOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import picocli.CommandLine.Option;

/// What `prune` removes, and in what rounds: to sparsities that are given, or as far as limits allow.
final class SelectionOptions {
  @Option(names = "--sparsity", paramLabel = "R", order = 10, converter = Values.RisingFractions.class)
  private Values.Sparsities sparsity;

  @Option(names = "--max-loss-increase", paramLabel = "X", order = 11)
  private Amount lossIncrease;

  @Option(names = "--max-accuracy-drop", paramLabel = "POINTS", order = 12, converter = Values.Points.class)
  private Double accuracyDrop;

  @Option(names = "--max-output-change", paramLabel = "X", order = 13)
  private Amount outputChange;

  @Option(names = "--mask", paramLabel = "FILE", order = 13)
  Path mask;

  @Option(names = "--scope", paramLabel = "SCOPE", order = 14)
  ScopeOption scope = new ScopeOption.Of(new Scope.Global());

  @Option(names = "--prune-neurons", order = 14)
  boolean neurons;

  /// Set once [#decide] was called.
  @Option(names = "--method", paramLabel = "NAME", order = 15)
  Preset method;

  @Option(names = "--schedule", paramLabel = "SCHEDULE", order = 16)
  private Schedule schedule;

  @Option(names = "--repair", paramLabel = "REPAIR", order = 17)
  Repairs repair;

  /// Set once [#decide] was called.
  @Option(names = "--augment", paramLabel = "NOISE", order = 18)
  Augmentation augmentation;

  @Option(names = "--min-per-layer", paramLabel = "N", order = 18, converter = Values.AtLeastZeroLong.class)
  long minPerLayer = 1;

  /// Chooses the method where none is given: weights that compensation leaves are worth a refit, which needs samples. A
  /// repair is worth copies of these where they are few.
  ///
  /// @param hasSamples of the network, or of its layers
  /// @param mayCopy whether these are of the network, and nothing needs labels, which copies do not have
  void decide(CriterionOptions scoring, boolean hasSamples, boolean mayCopy) {
    if (method == null) {
      method = hasSamples && scoring.compensates() ? Preset.REFIT : Preset.PAPER;
    }
    if (augmentation == null) {
      augmentation = mayCopy && !repair().steps().isEmpty() && !repair().needLabels()
          ? Augmentation.DEFAULT
          : Augmentation.NONE;
    }
  }

  /// Refuses none, or two, of the ways to say how much goes.
  ///
  /// @param byStatistics which are cut once for each sparsity, where samples need rounds
  void check(boolean byStatistics, GlobalOptions global) {
    boolean isPattern = scope instanceof ScopeOption.Pattern;
    if (neurons) {
      checkNeurons(global);
    }
    if (mask != null) {
      for (String option : List.of("--sparsity", "--max-loss-increase", "--max-accuracy-drop", "--max-output-change",
          "--scope", "--min-per-layer")) {
        global.require(!global.isGiven(option),
            "--mask and %s both say which weights are removed: give one of them".formatted(option));
      }
      global.require(schedule() instanceof Schedule.OneShot,
          "--mask is applied in one round: leave out --schedule %s".formatted(schedule()));
      return;
    }
    global.require(!isPattern || schedule() instanceof Schedule.OneShot,
        "--scope %s is reached in one round: leave out --schedule %s".formatted(scope, schedule()));
    global.require(!isPattern || !global.isGiven("--min-per-layer"),
        "--scope %s sets what every row keeps: leave out --min-per-layer".formatted(scope));
    global.require(isPattern || sparsity != null || limits().isPresent(),
        "--sparsity is missing: give the fraction of weights to remove, for example --sparsity 0.9, or a limit to "
            + "search by, for example --max-accuracy-drop 0.5, or a --mask");
    global.require(!isPattern || (sparsity == null && limits().isEmpty()),
        "--scope %s sets the sparsity: leave out --sparsity and limits".formatted(scope));
    global.require(!isPath() || byStatistics || !(schedule() instanceof Schedule.OneShot),
        "several values of --sparsity need rounds: give --schedule geometric:0.75, or --method refit");
    global.require(sparsity == null || limits().isEmpty(),
        "--sparsity and a limit both say how much is removed: give one of them");
    global.require(
        limits().isEmpty() || schedule() instanceof Schedule.OneShot || schedule() instanceof Schedule.Keeping,
        "--schedule %s divides the way to a known sparsity: to search, give oneshot or geometric:0.75"
            .formatted(schedule()));
  }

  private void checkNeurons(GlobalOptions global) {
    for (String option : List.of("--max-loss-increase", "--max-accuracy-drop", "--max-output-change", "--mask",
        "--min-per-layer", "--layers-from")) {
      global.require(!global.isGiven(option),
          "--prune-neurons counts neurons, and %s does not: leave one of them out".formatted(option));
    }
    global.require(scope instanceof ScopeOption.Of(Scope among) && !(among instanceof Scope.PerRow),
        "--scope %s divides a neuron's weights: give global or layer with --prune-neurons".formatted(scope));
    global.require(own().isEmpty(),
        "--prune-neurons counts the neurons of all layers: give no sparsity of single ones");
  }

  /// Refuses what names no layer, a layer twice, or one that is excluded.
  ///
  /// @param options that follow from these
  /// @param layers names of all
  static void check(PruningOptions options, List<String> layers, GlobalOptions global) {
    for (LayerSparsity own : options.layerSparsities()) {
      global.require(layers.stream().anyMatch(own.pattern()::matches),
          "--sparsity %s names no layer; the layers are %s".formatted(own, String.join(", ", layers)));
    }
    for (String layer : layers) {
      List<String> own = options.layerSparsities().stream().filter(each -> each.pattern().matches(layer))
          .map(LayerSparsity::toString).toList();
      global.require(own.size() < 2,
          "--sparsity has several values of layer %s: give one of %s".formatted(layer, String.join(" and ", own)));
      boolean isMasked = options.target() instanceof Target.Mask(Map<String, MatrixView> masks)
          && masks.containsKey(layer);
      global.require((own.isEmpty() && !isMasked) || !options.excludes(layer),
          "--exclude leaves layer %s as it is, and %s prunes it: drop one".formatted(layer,
              isMasked ? "--mask" : "--sparsity " + String.join("", own)));
    }
  }

  /// Ascending; empty where limits or a pattern decide.
  List<Double> sparsities() {
    return sparsity == null ? List.of() : sparsity.values();
  }

  /// Sparsities of single layers.
  List<LayerSparsity> own() {
    return sparsity == null ? List.of() : sparsity.own();
  }

  boolean isPath() {
    return sparsities().size() > 1;
  }

  /// What to search by, if a search is wanted.
  Optional<Limits> limits() {
    return lossIncrease == null && accuracyDrop == null && outputChange == null
        ? Optional.empty()
        : Optional.of(new Limits(Optional.ofNullable(lossIncrease),
            accuracyDrop == null ? OptionalDouble.empty() : OptionalDouble.of(accuracyDrop),
            Optional.ofNullable(outputChange)));
  }

  /// The last target; of a search, any.
  ///
  /// @param model to which the mask belongs, if there is one
  /// @param arena takes its memory
  Target target(ModelFile model, Arena arena) throws IOException {
    return mask == null ? target() : new Target.Mask(MaskFile.read(mask, model, arena));
  }

  /// As the other, without a mask.
  Target target() {
    return switch (scope) {
      case ScopeOption.Pattern(Target.Pattern pattern) -> pattern;
      case ScopeOption.Of(Scope among) when neurons -> new Target.Neurons(sparsities().getLast(), among);
      case ScopeOption.Of(Scope among) -> new Target.Fraction(sparsity == null ? 0.5 : sparsities().getLast(), among);
    };
  }

  /// The targets before the last.
  List<Target> stops() {
    return scope instanceof ScopeOption.Of(Scope among)
        ? sparsities().stream().limit(Math.max(0, sparsities().size() - 1L))
            .<Target>map(value -> neurons ? new Target.Neurons(value, among) : new Target.Fraction(value, among))
            .toList()
        : List.of();
  }

  /// A pattern is reached in one round, and so is a mask; of all weights, no round keeps a part.
  Schedule schedule() {
    boolean isOneRound = mask != null || scope instanceof ScopeOption.Pattern || sparsities().equals(List.of(1.0));
    return Optional.ofNullable(schedule).orElseGet(() -> isOneRound ? new Schedule.OneShot() : method.schedule());
  }

  /// @param temperature as of [Preset#repair]
  Repairs repair(OptionalDouble temperature) {
    Repairs asked = Optional.ofNullable(repair).orElseGet(() -> method.repair(temperature));
    return temperature.isPresent() ? asked.forClassifier(temperature.getAsDouble()) : asked;
  }

  /// As if the network were no classifier.
  Repairs repair() {
    return repair(OptionalDouble.empty());
  }
}
