package dev.espalier.engine.pruning;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.stream.Stream;

/// The options of a pruning: plain values, made by [#builder]. A [PruningPlan] resolves the ones that are left open
/// against a network and a backend.
///
/// @param target how much is removed in the end, and among which weights
/// @param stops targets on the way there, ascending, at which the network is also wanted
/// @param layerSparsities sparsities of single layers; the target counts the weights of the others. Rounds before the
///                        first stop scale them
/// @param criterion how the importance of a weight is defined
/// @param compensation what makes up for removed weights; empty: [Criterion#defaultCompensation]
/// @param sensitivity empty: [Sensitivity#defaultFor] the network's outputs
/// @param schedule how pruning is split into rounds
/// @param repair what each round does to the weights that are left
/// @param excluded layers that are left alone and do not count
/// @param minPerLayer weights that every layer keeps at least
/// @param newBias whether a layer without a bias may gain one; otherwise its weights are pruned without compensation
/// @param loss of the gradient criterion; empty: [Loss#defaultFor] network and labels
/// @param batchSize samples in a batch; empty: what suits the backend and fits its memory
/// @param seed of probes and of the random criterion
/// @param allowSlow whether a criterion may take longer than ten minutes by its estimate
/// @param measureOutputChange whether to measure, on the calibration samples, how far the output moved
/// @param histogramBins bins of each layer's importance histogram; 0: no histograms
public record PruningOptions(Target target, List<Target> stops, List<LayerSparsity> layerSparsities,
    Criterion criterion, Optional<Compensation> compensation, Optional<Sensitivity> sensitivity, Schedule schedule,
    Repairs repair, List<LayerPattern> excluded, long minPerLayer, boolean newBias, Optional<Loss> loss,
    OptionalInt batchSize, long seed, boolean allowSlow, boolean measureOutputChange, int histogramBins) {

  /// @throws IllegalArgumentException if a number is out of its range
  public PruningOptions {
    excluded = List.copyOf(excluded);
    stops = List.copyOf(stops);
    layerSparsities = List.copyOf(layerSparsities);
    if (!layerSparsities.isEmpty() && !(target instanceof Target.Fraction)) {
      String what = switch (target) {
        case Target.Mask _ -> "the mask says what each layer loses";
        case Target.Neurons _ -> "neurons are removed across layers";
        case Target.Pattern _,Target.Fraction _ -> "the pattern %s is that of all layers".formatted(target);
      };
      throw new IllegalArgumentException(
          "%s: use no sparsity of single ones, as %s".formatted(what, layerSparsities.getFirst()));
    }
    requireAscending(stops, target);
    if (minPerLayer < 0 || batchSize.orElse(1) < 1 || histogramBins < 0) {
      throw new IllegalArgumentException(
          "weights kept in each layer %d, batch size %d, histogram bins %d: use at least 0, 1, 0".formatted(minPerLayer,
              batchSize.orElse(1), histogramBins));
    }
  }

  private static void requireAscending(List<Target> stops, Target target) {
    for (int i = 0; i < stops.size(); i++) {
      Target next = i + 1 < stops.size() ? stops.get(i + 1) : target;
      boolean isSame = stops.get(i) instanceof Target.Fraction(double _, Scope scope)
          ? next instanceof Target.Fraction(double _, Scope nextScope) && scope.equals(nextScope)
          : stops.get(i) instanceof Target.Neurons(double _, Scope among)
              && next instanceof Target.Neurons(double _, Scope nextAmong) && among.equals(nextAmong);
      if (!isSame || stops.get(i).sparsity() >= next.sparsity()) {
        throw new IllegalArgumentException(
            "targets %s and %s of one path: use rising fractions of one scope".formatted(stops.get(i), next));
      }
    }
  }

  /// These options with another target.
  public PruningOptions withTarget(Target value) {
    return new PruningOptions(value, stops, layerSparsities, criterion, compensation, sensitivity, schedule, repair,
        excluded, minPerLayer, newBias, loss, batchSize, seed, allowSlow, measureOutputChange, histogramBins);
  }

  /// These options with other layers left alone.
  public PruningOptions withExcluded(List<LayerPattern> value) {
    return new PruningOptions(target, stops, layerSparsities, criterion, compensation, sensitivity, schedule, repair,
        value, minPerLayer, newBias, loss, batchSize, seed, allowSlow, measureOutputChange, histogramBins);
  }

  /// These options along another path.
  ///
  /// @param targets ascending, at least one: the stops, and the target at the end; output changes are not measured
  /// @throws IllegalArgumentException if they do not rise in one scope
  public PruningOptions withPath(List<Target> targets) {
    return new PruningOptions(targets.getLast(), targets.subList(0, targets.size() - 1), layerSparsities, criterion,
        compensation, sensitivity, schedule, repair, excluded, minPerLayer, newBias, loss, batchSize, seed, allowSlow,
        false, histogramBins);
  }

  /// These options of the network, for a layer as a network of its own.
  PruningOptions forLayer(Target own, List<Target> ownStops, Sensitivity given) {
    return new PruningOptions(own, ownStops, List.of(), criterion, compensation, Optional.of(given), schedule, repair,
        List.of(), minPerLayer, newBias, loss, batchSize, seed, allowSlow, measureOutputChange, histogramBins);
  }

  /// The stops and the target.
  public List<Target> path() {
    return Stream.concat(stops.stream(), Stream.of(target)).toList();
  }

  /// The compensation in force.
  public Compensation effectiveCompensation() {
    return compensation.orElseGet(criterion::defaultCompensation);
  }

  /// Whether the criterion or a repair needs labels.
  public boolean needLabels() {
    return criterion.needs().labels() || repair.needLabels();
  }

  /// Whether a layer is left alone.
  public boolean excludes(String layer) {
    return excluded.stream().anyMatch(pattern -> pattern.matches(layer));
  }

  /// The options as text by name, in the order of the record; options that are left open are absent. [#parse] reads it,
  /// but for a target that is a mask.
  public Map<String, String> asText() {
    Map<String, String> text = new LinkedHashMap<>();
    text.put("target", target.toString());
    text.put("stops", String.join(",", stops.stream().map(Target::toString).toList()));
    text.put("layerSparsities", String.join("\n", layerSparsities.stream().map(LayerSparsity::toString).toList()));
    text.put("criterion", criterion.toString());
    compensation.ifPresent(value -> text.put("compensation", value.toString()));
    sensitivity.ifPresent(value -> text.put("sensitivity", value.toString()));
    text.put("schedule", schedule.toString());
    text.put("repair", repair.toString());
    text.put("excluded", String.join("\n", excluded.stream().map(LayerPattern::glob).toList()));
    text.put("minPerLayer", String.valueOf(minPerLayer));
    text.put("newBias", String.valueOf(newBias));
    loss.ifPresent(value -> text.put("loss", value.toString()));
    batchSize.ifPresent(value -> text.put("batchSize", String.valueOf(value)));
    text.put("seed", String.valueOf(seed));
    text.put("allowSlow", String.valueOf(allowSlow));
    text.put("measureOutputChange", String.valueOf(measureOutputChange));
    text.put("histogramBins", String.valueOf(histogramBins));
    return text;
  }

  /// Options from their text.
  ///
  /// @param text as [#asText] makes it; absent options have their defaults
  /// @throws IllegalArgumentException if there is no such option, or a value is unknown or out of its range
  public static PruningOptions parse(Map<String, String> text) {
    Builder builder = builder();
    text.forEach((name, value) -> {
      switch (name) {
        case "target" -> builder.target(Target.parse(value));
        case "stops" ->
          builder.stops(value.isEmpty() ? List.of() : Stream.of(value.split(",")).map(Target::parse).toList());
        case "layerSparsities" -> builder.layerSparsities(value.lines().map(LayerSparsity::parse).toList());
        case "criterion" -> builder.criterion(Criterion.parse(value));
        case "compensation" -> builder.compensation(Compensation.parse(value));
        case "sensitivity" -> builder.sensitivity(Sensitivity.parse(value));
        case "schedule" -> builder.schedule(Schedule.parse(value));
        case "repair" -> builder.repair(Repairs.parse(value));
        case "excluded" -> builder.exclude(value.lines().toArray(String[]::new));
        case "minPerLayer" -> builder.minPerLayer(number(name, value, Long::valueOf));
        case "newBias" -> builder.newBias(truth(name, value));
        case "loss" -> builder.loss(Loss.parse(value));
        case "batchSize" -> builder.batchSize(number(name, value, Integer::valueOf));
        case "seed" -> builder.seed(number(name, value, Long::valueOf));
        case "allowSlow" -> builder.allowSlow(truth(name, value));
        case "measureOutputChange" -> builder.measureOutputChange(truth(name, value));
        case "histogramBins" -> builder.histogramBins(number(name, value, Integer::valueOf));
        default -> throw new IllegalArgumentException("unknown option '%s'".formatted(name));
      }
    });
    return builder.build();
  }

  private static <T> T number(String name, String value, Function<String, T> parse) {
    try {
      return parse.apply(value);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("option %s is '%s', not a whole number".formatted(name, value), e);
    }
  }

  private static boolean truth(String name, String value) {
    return switch (value) {
      case "true" -> true;
      case "false" -> false;
      default -> throw new IllegalArgumentException("option %s is '%s', not true or false".formatted(name, value));
    };
  }

  /// The defaults: half of the weights, by `ec`, compensated, globally, in one shot.
  public static Builder builder() {
    return new Builder();
  }

  /// Collects options; each may be given once or not at all.
  public static final class Builder {
    private Target target = Target.sparsity(0.5);
    private List<Target> stops = List.of();
    private List<LayerSparsity> layerSparsities = List.of();
    private Criterion criterion = new Criterion.EliminationCompensation();
    private Optional<Compensation> compensation = Optional.empty();
    private Optional<Sensitivity> sensitivity = Optional.empty();
    private Optional<Sensitivity> sensitivityOfPreset = Optional.empty();
    private Schedule schedule = new Schedule.OneShot();
    private Repairs repair = Repairs.NONE;
    private List<LayerPattern> excluded = List.of();
    private long minPerLayer = 1;
    private boolean newBias;
    private Optional<Loss> loss = Optional.empty();
    private OptionalInt batchSize = OptionalInt.empty();
    private long seed;
    private boolean allowSlow;
    private boolean measureOutputChange = true;
    private int histogramBins;

    private Builder() {}

    /// Removes a fraction of all prunable weights.
    ///
    /// @param value 0..1
    public Builder sparsity(double value) {
      return target(Target.sparsity(value));
    }

    /// How much is removed, and among which weights.
    public Builder target(Target value) {
      target = value;
      return this;
    }

    /// Targets on the way, ascending, at which the network is also wanted: [Pruner#path] gives it.
    public Builder stops(List<Target> value) {
      stops = value;
      return this;
    }

    /// Sparsities of single layers, which the target does not count.
    public Builder layerSparsities(List<LayerSparsity> value) {
      layerSparsities = value;
      return this;
    }

    /// How the importance of a weight is defined.
    public Builder criterion(Criterion value) {
      criterion = value;
      return this;
    }

    /// What makes up for removed weights.
    public Builder compensation(Compensation value) {
      compensation = Optional.of(value);
      return this;
    }

    /// How the sensitivity of neurons is found.
    public Builder sensitivity(Sensitivity value) {
      sensitivity = Optional.of(value);
      return this;
    }

    /// The schedule and the repair of a preset, and its sensitivity where no other is given: not smoothed for
    /// `ec-nonlinear`, which measures changes of the network itself.
    ///
    /// @param temperature of the class probabilities that are compared, if the outputs are those or their logits:
    ///                    [dev.espalier.engine.pass.SoftTargets#temperature] finds one that suits the network
    public Builder preset(Preset value, OptionalDouble temperature) {
      sensitivityOfPreset = value.sensitivity(temperature);
      return schedule(value.schedule()).repair(value.repair(temperature));
    }

    /// How pruning is split into rounds.
    public Builder schedule(Schedule value) {
      schedule = value;
      return this;
    }

    /// What each round does to the weights that are left, in order.
    public Builder repair(Repair... steps) {
      return repair(Repairs.of(steps));
    }

    /// As [#repair(Repair...)].
    public Builder repair(Repairs value) {
      repair = value;
      return this;
    }

    /// Layers that are left alone and do not count.
    ///
    /// @param globs see [LayerPattern]
    public Builder exclude(String... globs) {
      excluded = Stream.of(globs).map(LayerPattern::new).toList();
      return this;
    }

    /// Weights that every layer keeps at least.
    public Builder minPerLayer(long value) {
      minPerLayer = value;
      return this;
    }

    /// Whether a layer without a bias may gain one.
    public Builder newBias(boolean value) {
      newBias = value;
      return this;
    }

    /// The loss of the gradient criterion.
    public Builder loss(Loss value) {
      loss = Optional.of(value);
      return this;
    }

    /// Samples in a batch; changes the result by rounding only.
    public Builder batchSize(int value) {
      batchSize = OptionalInt.of(value);
      return this;
    }

    /// The seed of probes and of the random criterion.
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /// Whether a criterion may take longer than ten minutes by its estimate.
    public Builder allowSlow(boolean value) {
      allowSlow = value;
      return this;
    }

    /// Whether to measure, on the calibration samples, how far the output moved.
    public Builder measureOutputChange(boolean value) {
      measureOutputChange = value;
      return this;
    }

    /// Bins of each layer's importance histogram; 0: no histograms.
    public Builder histogramBins(int value) {
      histogramBins = value;
      return this;
    }

    /// The options.
    ///
    /// @throws IllegalArgumentException if a number is out of its range
    public PruningOptions build() {
      boolean smooths = !(criterion instanceof Criterion.NonlinearEliminationCompensation);
      Optional<Sensitivity> sensed = sensitivity
          .or(() -> smooths ? sensitivityOfPreset : sensitivityOfPreset.map(Sensitivity::unsmoothed));
      return new PruningOptions(target, stops, layerSparsities, criterion, compensation, sensed, schedule, repair,
          excluded, minPerLayer, newBias, loss, batchSize, seed, allowSlow, measureOutputChange, histogramBins);
    }
  }
}
