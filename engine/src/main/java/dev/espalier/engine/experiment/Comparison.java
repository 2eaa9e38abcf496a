package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/// Prunes a network by several methods to several sparsities, in one shot each, and judges each result by test data. A
/// method scores the network once; its scores are cut at every sparsity, and the networks that come of it are judged
/// together, as many in one pass over the test data as memory admits.
///
/// @param network stays as it is
/// @param calibration samples to prune with
/// @param test labelled samples to judge the results by
public record Comparison(Backend backend, DenseNetwork network, Dataset calibration, Dataset test, Loss loss,
    int batchSize, ProgressListener listener) {
  /// Bytes of weights of the networks that are judged in one pass, unless one is larger.
  private static final long TOGETHER = 256L << 20;

  /// A way of pruning: a criterion, such as `ec`, or a criterion with a compensation, such as `ec/none`.
  ///
  /// @param compensation empty: the criterion's own
  public record Method(Criterion criterion, Optional<Compensation> compensation) {
    /// `criterion` or `criterion/compensation`.
    ///
    /// @throws IllegalArgumentException if there is no such criterion or compensation
    public static Method parse(String text) {
      int slash = text.indexOf('/');
      return slash < 0
          ? new Method(Criterion.parse(text), Optional.empty())
          : new Method(Criterion.parse(text.substring(0, slash)),
              Optional.of(Compensation.parse(text.substring(slash + 1))));
    }

    @Override
    public String toString() {
      return criterion + compensation.map(c -> "/" + c).orElse("");
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
    int together = Math.clamp(TOGETHER / (network.weights() * Float.BYTES), 1, ascending.size());
    try (Resources resources = new Resources()) {
      DeviceNetwork dense = resources.own(DeviceNetwork.copyOf(backend, network));
      List<DeviceNetwork> pruned = new ArrayList<>();
      while (pruned.size() < together) {
        pruned.add(resources.own(DeviceNetwork.copyOf(backend, network)));
      }
      Evaluation before = Evaluation.of(backend, dense, test, loss, batchSize, listener);
      List<MethodResult> results = new ArrayList<>();
      for (Method method : methods.stream().distinct().toList()) {
        results.add(new MethodResult(method, outcomes(ascending, options.apply(method), dense, pruned)));
      }
      return new Result(before, results);
    }
  }

  private List<Outcome> outcomes(List<Double> sparsities, PruningOptions options, DeviceNetwork dense,
      List<DeviceNetwork> pruned) throws IOException {
    PruningPlan plan = PruningPlan.of(options, dense, Optional.of(calibration), backend);
    List<Outcome> outcomes = new ArrayList<>();
    try (Scores scores = Scorer.score(backend, dense, plan.scoring(), Optional.of(calibration), listener)) {
      backend.enter(Phase.SELECT);
      scores.rank(dense);
      for (int first = 0; first < sparsities.size(); first += pruned.size()) {
        List<Double> some = sparsities.subList(first, Math.min(sparsities.size(), first + pruned.size()));
        backend.enter(Phase.SELECT);
        for (int i = 0; i < some.size(); i++) {
          pruned.get(i).load(network);
          Target target = target(options, some.get(i));
          scores.apply(pruned.get(i), Selector.select(backend, scores, target, options.minPerLayer()));
        }
        List<DeviceNetwork> all = Stream.concat(Stream.of(dense), pruned.stream().limit(some.size())).toList();
        List<EvaluationPass.Result> judged = EvaluationPass.run(backend, all, test, loss, batchSize, listener);
        for (int i = 0; i < some.size(); i++) {
          outcomes.add(new Outcome(some.get(i), judged.get(i + 1).evaluation(), judged.get(i + 1).outputChange()));
        }
      }
    }
    return outcomes;
  }

  /// In the scope that the options name.
  private static Target target(PruningOptions options, double sparsity) {
    return options.target() instanceof Target.Fraction(double _, Scope scope)
        ? new Target.Fraction(sparsity, scope)
        : Target.sparsity(sparsity);
  }
}
