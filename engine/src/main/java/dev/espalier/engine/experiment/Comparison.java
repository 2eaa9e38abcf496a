package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.pruning.PruningWork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Prunes a network by several methods to several sparsities, and judges each result by test data. A method of one round
/// scores the network once, and its scores are cut at every sparsity; with a repair, it prunes the dense network anew to
/// each sparsity. A method of several rounds goes through all sparsities in one path. The networks that come of it are
/// judged together, as many in one pass over the test data as memory admits.
///
/// @param network stays as it is
/// @param calibration samples to prune with
/// @param augmentation of these, for methods that repair and need no labels, which copies do not have
/// @param test labelled samples to judge the results by
public record Comparison(Backend backend, DenseNetwork network, Dataset calibration, Augmentation augmentation,
    Dataset test, Loss loss, int batchSize, ProgressListener listener) {
  /// A way of pruning: a criterion, such as `ec`, or a preset, such as `refit`, which is one of `ec`; and what replaces
  /// their other choices.
  ///
  /// @param compensation empty: the criterion's own, as for all others
  /// @param preset empty: one round, without a repair
  /// @param scope empty: that of the options' target
  public record Method(Criterion criterion, Optional<Compensation> compensation, Optional<Preset> preset,
      Optional<Sensitivity> sensitivity, Optional<Repairs> repair, Optional<Schedule> schedule, Optional<Scope> scope) {
    /// A method of one round.
    public Method(Criterion criterion, Optional<Compensation> compensation) {
      this(criterion, compensation, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(),
          Optional.empty());
    }

    /// A criterion or a preset, and behind slashes a compensation, a sensitivity, a repair, a schedule and a scope,
    /// each where it is another than theirs: `ec/none`, `best/fisher`, `refit/layer`, `wanda/bias/refit/geometric:0.75`.
    ///
    /// @throws IllegalArgumentException if a part is none of these, or there twice
    public static Method parse(String text) {
      List<String> parts = List.of(text.split("/", -1));
      Optional<Preset> preset = Stream.of(Preset.values()).filter(value -> value.toString().equals(parts.getFirst()))
          .findFirst();
      Method method = new Method(
          preset.isPresent() ? new Criterion.EliminationCompensation() : Criterion.parse(parts.getFirst()),
          Optional.empty(), preset, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty());
      for (String part : parts.subList(1, parts.size())) {
        method = method.with(part, text);
      }
      return method;
    }

    private Method with(String part, String text) {
      Optional<Compensation> compensated = read(part, Compensation::parse, compensation);
      Optional<Sensitivity> sensed = read(part, Sensitivity::parse, sensitivity);
      Optional<Schedule> scheduled = read(part, Schedule::parse, schedule);
      Optional<Repairs> repaired = part.equals("none") ? repair : read(part, Repairs::parse, repair);
      Optional<Scope> scoped = read(part, Scope::parse, scope);
      Method with = new Method(criterion, compensated, preset, sensed, repaired, scheduled, scoped);
      if (with.parts() != parts() + 1) {
        throw new IllegalArgumentException(
            "method '%s': '%s' is no compensation, sensitivity, repair, schedule or scope, or the ".formatted(text,
                part) + "second one; use for example ec/bias/fisher/refit/geometric:0.75");
      }
      return with;
    }

    /// @return what `part` is if it can be read, and was not there before
    private static <T> Optional<T> read(String part, Function<String, T> parse, Optional<T> before) {
      try {
        return before.or(() -> Optional.of(parse.apply(part)));
      } catch (IllegalArgumentException _) {
        return before;
      }
    }

    private long parts() {
      return Stream.of(compensation, sensitivity, repair, schedule, scope).filter(Optional::isPresent).count();
    }

    /// Whether it needs labels.
    public boolean needsLabels() {
      return criterion.needs().labels() || repair.stream().anyMatch(Repairs::needLabels);
    }

    /// Whether its choices depend on the temperature of class probabilities.
    public boolean takesTemperature() {
      return preset.stream().anyMatch(Preset::takesTemperature) || repair.stream().anyMatch(Repairs::takeTemperature);
    }

    /// Options with these choices, but for the scope, which is a part of their target.
    ///
    /// @param temperature as of [PruningOptions.Builder#preset]
    public PruningOptions.Builder choose(PruningOptions.Builder options, OptionalDouble temperature) {
      options.criterion(criterion);
      compensation.ifPresent(options::compensation);
      sensitivity.ifPresent(options::sensitivity);
      preset.ifPresent(value -> options.preset(value, temperature));
      repair.ifPresent(
          value -> options.repair(temperature.isPresent() ? value.forClassifier(temperature.getAsDouble()) : value));
      schedule.ifPresent(options::schedule);
      return options;
    }

    /// As [#parse] reads it.
    @Override
    public String toString() {
      return Stream
          .concat(Stream.of(preset.map(Preset::toString).orElse(criterion.toString())), Stream
              .of(compensation, sensitivity, repair, schedule, scope).flatMap(Optional::stream).map(Object::toString))
          .collect(Collectors.joining("/"));
    }
  }

  /// The results of one method.
  ///
  /// @param outcomes one for each sparsity
  /// @param notes facts that a user should know; one sentence each
  /// @param seconds that pruning took to all sparsities, without judging the results
  public record MethodResult(Method method, List<Outcome> outcomes, List<String> notes, double seconds) {}

  /// One pruned network.
  ///
  /// @param sparsity as it was asked for
  /// @param evaluation on the test data
  /// @param outputChange E‖y − y′‖² on the test data
  /// @param predictedChange the change that the criterion predicts, by the calibration samples; empty where it predicts
  ///                        none, or a repair follows
  public record Outcome(double sparsity, Evaluation evaluation, double outputChange, OptionalDouble predictedChange) {}

  /// All results.
  ///
  /// @param dense the network as it was
  public record Result(Evaluation dense, List<MethodResult> methods) {
    /// The outcome of one method at one sparsity.
    public Outcome outcome(Method method, double sparsity) {
      return methods.stream().filter(result -> result.method().equals(method))
          .flatMap(result -> result.outcomes().stream()).filter(outcome -> outcome.sparsity() == sparsity).findFirst()
          .orElseThrow();
    }
  }

  /// Runs the comparison.
  ///
  /// @param sparsities in any order; each counts once
  /// @param methods each counts once
  /// @param options of a method; the sparsity of the target is replaced, and its scope if the method has one
  /// @throws IOException if a sample cannot be read or is not finite
  public Result run(List<Double> sparsities, List<Method> methods, Function<Method, PruningOptions> options)
      throws IOException {
    List<Double> ascending = sparsities.stream().sorted().distinct().toList();
    try (
        PrunedCopies copies = PrunedCopies.of(backend, network, test, Optional.of(loss), batchSize, ascending.size())) {
      List<Pruning> prunings = methods.stream().distinct().map(method -> Pruning.of(method, options.apply(method)))
          .toList();
      double work = 0;
      for (Pruning pruning : prunings) {
        work += work(pruning, ascending, copies);
      }
      Evaluation before = copies.judgeDense(listener).evaluation().orElseThrow();
      List<MethodResult> results = new ArrayList<>();
      double done = 0;
      for (Pruning pruning : prunings) {
        double own = work(pruning, ascending, copies);
        ProgressListener part = listener.part(pruning.method().toString(), done / work, (done + own) / work);
        results.add(switch (pruning.way()) {
          case CUTS -> cutAtEach(pruning, ascending, copies, part);
          case EACH -> eachFromDense(pruning, ascending, copies, part);
          case PATH -> alongAPath(pruning, ascending, copies, part);
        });
        done += own;
      }
      listener.at(1);
      return new Result(before, results);
    }
  }

  /// How a method comes to several sparsities.
  private enum Way {
    CUTS, EACH, PATH
  }

  private record Pruning(Method method, PruningOptions options, Way way) {
    static Pruning of(Method method, PruningOptions options) {
      boolean isOneShot = options.schedule() instanceof Schedule.OneShot;
      return new Pruning(method,
          method.scope().map(scope -> options.withTarget(in(scope, options.target()))).orElse(options),
          !isOneShot ? Way.PATH : options.repair().steps().isEmpty() ? Way.CUTS : Way.EACH);
    }
  }

  private static Target in(Scope scope, Target target) {
    return switch (target) {
      case Target.Fraction(double sparsity, Scope _) -> new Target.Fraction(sparsity, scope);
      case Target.Neurons(double sparsity, Scope _) -> new Target.Neurons(sparsity, scope);
      case Target.Pattern _,Target.Mask _ -> target;
    };
  }

  /// Multiply-adds of a method, with the judging of its results; at least 1.
  private double work(Pruning pruning, List<Double> sparsities, PrunedCopies copies) {
    double judging = 2.0 * sparsities.size() * test.samples().samples() * network.weights();
    return Math.max(1, judging + switch (pruning.way()) {
      case CUTS -> multiplyAdds(pruning.options(), copies);
      case EACH -> sparsities.stream()
          .mapToDouble(sparsity -> multiplyAdds(path(pruning.options(), List.of(sparsity)), copies)).sum();
      case PATH -> multiplyAdds(path(pruning.options(), sparsities), copies);
    });
  }

  private double multiplyAdds(PruningOptions options, PrunedCopies copies) {
    return PruningPlan.of(options, copies.dense(), Optional.of(calibration), backend).work()
        .map(PruningWork::multiplyAdds).orElse(0.0) * (1 + inForce(options).copies(calibration.samples().samples()));
  }

  private Augmentation inForce(PruningOptions options) {
    return options.repair().steps().isEmpty() || options.needLabels() ? Augmentation.NONE : augmentation;
  }

  private MethodResult cutAtEach(Pruning one, List<Double> sparsities, PrunedCopies copies, ProgressListener part)
      throws IOException {
    PruningOptions options = one.options();
    Stopwatch pruning = new Stopwatch();
    PruningPlan plan = PruningPlan.of(options, copies.dense(), Optional.of(calibration), backend);
    try (Scores scores = Scorer.score(backend, copies.dense(), plan.scoring(), Optional.of(calibration), part)) {
      backend.enter(Phase.SELECT);
      scores.rank(copies.dense());
      pruning.stop();
      List<OptionalDouble> predicted = new ArrayList<>();
      List<EvaluationPass.Result> judged = copies.judge(sparsities.size(), part, (i, copy) -> {
        pruning.start();
        copy.load(network);
        Target target = target(options, sparsities.get(i));
        List<Double> changes = scores.apply(copy, Selector.select(backend, scores, target, options.minPerLayer()));
        predicted.add(plan.scoring().predictsOutputChange()
            ? OptionalDouble.of(changes.stream().mapToDouble(Double::doubleValue).sum())
            : OptionalDouble.empty());
        pruning.stop();
      });
      return new MethodResult(one.method(), outcomes(sparsities, judged, predicted), List.of(), pruning.seconds());
    }
  }

  private MethodResult alongAPath(Pruning one, List<Double> sparsities, PrunedCopies copies, ProgressListener part)
      throws IOException {
    Stopwatch pruning = new Stopwatch();
    PruningOptions path = path(one.options(), sparsities);
    try (Arena arena = Arena.ofShared()) {
      Optional<Dataset> samples = Optional.of(inForce(path).of(calibration, path.seed(), arena));
      PruningPlan plan = PruningPlan.of(path, copies.dense(), samples, backend);
      copies.copy().load(network);
      List<PruningResult> results = new Pruner(backend, path).path(plan, network, copies.copy(), samples, part, arena);
      pruning.stop();
      List<String> notes = results.stream().flatMap(result -> result.notes().stream()).distinct()
          .filter(note -> plan.uncompensated().filter(note::equals).isEmpty()).toList();
      return new MethodResult(one.method(),
          outcomes(sparsities, copies.judge(results.size(), part, (i, copy) -> copy.load(results.get(i).network())),
              results.stream().map(result -> predicted(plan, result)).toList()),
          notes, pruning.seconds());
    }
  }

  private MethodResult eachFromDense(Pruning each, List<Double> sparsities, PrunedCopies copies, ProgressListener part)
      throws IOException {
    List<Outcome> outcomes = new ArrayList<>();
    Set<String> notes = new LinkedHashSet<>();
    double seconds = 0;
    for (double sparsity : sparsities) {
      double before = outcomes.size();
      MethodResult one = alongAPath(each, List.of(sparsity), copies,
          part.part("sparsity " + sparsity, before / sparsities.size(), (before + 1) / sparsities.size()));
      outcomes.addAll(one.outcomes());
      notes.addAll(one.notes());
      seconds += one.seconds();
    }
    return new MethodResult(each.method(), outcomes, List.copyOf(notes), seconds);
  }

  /// Adds up the time of pruning, which is interrupted by judging; runs from the start.
  private static final class Stopwatch {
    private long nanos;
    private long started = System.nanoTime();

    void start() {
      started = System.nanoTime();
    }

    void stop() {
      nanos += System.nanoTime() - started;
    }

    double seconds() {
      return nanos * 1e-9;
    }
  }

  private static OptionalDouble predicted(PruningPlan plan, PruningResult result) {
    return plan.scoring().predictsOutputChange() && plan.repair().steps().isEmpty()
        ? OptionalDouble.of(result.layers().stream().flatMapToDouble(layer -> layer.predictedChange().stream()).sum())
        : OptionalDouble.empty();
  }

  private static List<Outcome> outcomes(List<Double> sparsities, List<EvaluationPass.Result> judged,
      List<OptionalDouble> predicted) {
    return IntStream.range(0, sparsities.size()).mapToObj(i -> new Outcome(sparsities.get(i),
        judged.get(i).evaluation().orElseThrow(), judged.get(i).outputChange(), predicted.get(i))).toList();
  }

  private static PruningOptions path(PruningOptions options, List<Double> sparsities) {
    return options.withPath(sparsities.stream().map(sparsity -> target(options, sparsity)).toList());
  }

  /// Of weights or neurons, in the scope that the options name.
  private static Target target(PruningOptions options, double sparsity) {
    return switch (options.target()) {
      case Target.Fraction(double _, Scope scope) -> new Target.Fraction(sparsity, scope);
      case Target.Neurons(double _, Scope scope) -> new Target.Neurons(sparsity, scope);
      case Target.Pattern _,Target.Mask _ -> Target.sparsity(sparsity);
    };
  }
}
