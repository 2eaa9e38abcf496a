package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Prunes a network by several methods to several sparsities, and judges each result by test data. A method of one round
/// scores the network once, and its scores are cut at every sparsity; one of several rounds goes through all sparsities
/// in one path. The networks that come of it are judged together, as many in one pass over the test data as memory
/// admits.
///
/// @param network stays as it is
/// @param calibration samples to prune with
/// @param test labelled samples to judge the results by
public record Comparison(Backend backend, DenseNetwork network, Dataset calibration, Dataset test, Loss loss,
    int batchSize, ProgressListener listener) {
  /// A way of pruning: a criterion, such as `ec`, a criterion with a compensation, such as `ec/none`, or a preset, such
  /// as `refit`, which is one of `ec`.
  ///
  /// @param compensation empty: the criterion's own
  /// @param preset empty: one round, without a repair
  public record Method(Criterion criterion, Optional<Compensation> compensation, Optional<Preset> preset) {
    /// A method of one round.
    public Method(Criterion criterion, Optional<Compensation> compensation) {
      this(criterion, compensation, Optional.empty());
    }

    /// `criterion`, `criterion/compensation` or the name of a preset.
    ///
    /// @throws IllegalArgumentException if there is no such criterion, compensation or preset
    public static Method parse(String text) {
      Optional<Preset> preset = Stream.of(Preset.values()).filter(value -> value.toString().equals(text)).findFirst();
      if (preset.isPresent()) {
        return new Method(new Criterion.EliminationCompensation(), Optional.empty(), preset);
      }
      int slash = text.indexOf('/');
      return slash < 0
          ? new Method(Criterion.parse(text), Optional.empty())
          : new Method(Criterion.parse(text.substring(0, slash)),
              Optional.of(Compensation.parse(text.substring(slash + 1))));
    }

    @Override
    public String toString() {
      return preset.map(Preset::toString).orElse(criterion + compensation.map(c -> "/" + c).orElse(""));
    }
  }

  /// The results of one method.
  ///
  /// @param outcomes one for each sparsity
  public record MethodResult(Method method, List<Outcome> outcomes) {}

  /// One pruned network.
  ///
  /// @param sparsity as it was asked for
  /// @param evaluation on the test data
  /// @param outputChange E‖y − y′‖² on the test data
  public record Outcome(double sparsity, Evaluation evaluation, double outputChange) {}

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
  /// @param options of a method; the target is replaced
  /// @throws IOException if a sample cannot be read or is not finite
  public Result run(List<Double> sparsities, List<Method> methods, Function<Method, PruningOptions> options)
      throws IOException {
    List<Double> ascending = sparsities.stream().sorted().distinct().toList();
    try (PrunedCopies copies = PrunedCopies.of(backend, network, test, Optional.of(loss), batchSize, listener,
        ascending.size())) {
      Evaluation before = copies.judgeDense().evaluation().orElseThrow();
      List<MethodResult> results = new ArrayList<>();
      for (Method method : methods.stream().distinct().toList()) {
        PruningOptions chosen = options.apply(method);
        boolean isOneRound = chosen.schedule() instanceof Schedule.OneShot && chosen.repair().steps().isEmpty();
        results.add(new MethodResult(method,
            isOneRound ? cutAtEach(ascending, chosen, copies) : alongAPath(ascending, chosen, copies)));
      }
      return new Result(before, results);
    }
  }

  private List<Outcome> cutAtEach(List<Double> sparsities, PruningOptions options, PrunedCopies copies)
      throws IOException {
    PruningPlan plan = PruningPlan.of(options, copies.dense(), Optional.of(calibration), backend);
    try (Scores scores = Scorer.score(backend, copies.dense(), plan.scoring(), Optional.of(calibration), listener)) {
      backend.enter(Phase.SELECT);
      scores.rank(copies.dense());
      return outcomes(sparsities, copies.judge(sparsities.size(), (i, copy) -> {
        copy.load(network);
        Target target = target(options, sparsities.get(i));
        scores.apply(copy, Selector.select(backend, scores, target, options.minPerLayer()));
      }));
    }
  }

  private List<Outcome> alongAPath(List<Double> sparsities, PruningOptions options, PrunedCopies copies)
      throws IOException {
    List<Target> targets = sparsities.stream().map(sparsity -> target(options, sparsity)).toList();
    PruningOptions path = options.withPath(targets);
    PruningPlan plan = PruningPlan.of(path, copies.dense(), Optional.of(calibration), backend);
    try (Arena arena = Arena.ofShared()) {
      copies.copy().load(network);
      List<PruningResult> results = new Pruner(backend, path).path(plan, network, copies.copy(),
          Optional.of(calibration), listener, arena);
      return outcomes(sparsities, copies.judge(results.size(), (i, copy) -> copy.load(results.get(i).network())));
    }
  }

  private static List<Outcome> outcomes(List<Double> sparsities, List<EvaluationPass.Result> judged) {
    return IntStream.range(0, sparsities.size())
        .mapToObj(
            i -> new Outcome(sparsities.get(i), judged.get(i).evaluation().orElseThrow(), judged.get(i).outputChange()))
        .toList();
  }

  /// In the scope that the options name.
  private static Target target(PruningOptions options, double sparsity) {
    return options.target() instanceof Target.Fraction(double _, Scope scope)
        ? new Target.Fraction(sparsity, scope)
        : Target.sparsity(sparsity);
  }
}
