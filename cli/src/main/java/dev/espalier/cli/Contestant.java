package dev.espalier.cli;

import dev.espalier.engine.experiment.Comparison;
import dev.espalier.engine.experiment.Spread;
import dev.espalier.engine.report.Curve;
import dev.espalier.engine.report.Point;
import dev.espalier.engine.training.Evaluation;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/// The networks of one method and sparsity, one for each seed.
///
/// @param evaluations on the test data
/// @param outputChanges on the test data; absent of networks that were not pruned
/// @param predictedChanges on the calibration data; absent where none is predicted
record Contestant(String method, double sparsity, List<Evaluation> evaluations, List<OptionalDouble> outputChanges,
    List<OptionalDouble> predictedChanges) {
  /// Those of a comparison, by method and rising sparsity.
  ///
  /// @param bySeed with the same methods and sparsities
  static List<Contestant> of(List<Comparison.Result> bySeed) {
    List<Contestant> all = new ArrayList<>();
    List<Comparison.MethodResult> methods = bySeed.getFirst().methods();
    for (int m = 0; m < methods.size(); m++) {
      for (int i = 0; i < methods.get(m).outcomes().size(); i++) {
        int method = m;
        int sparsity = i;
        List<Comparison.Outcome> outcomes = bySeed.stream()
            .map(result -> result.methods().get(method).outcomes().get(sparsity)).toList();
        all.add(new Contestant(methods.get(m).method().toString(), outcomes.getFirst().sparsity(),
            outcomes.stream().map(Comparison.Outcome::evaluation).toList(),
            outcomes.stream().map(outcome -> OptionalDouble.of(outcome.outputChange())).toList(),
            outcomes.stream().map(Comparison.Outcome::predictedChange).toList()));
      }
    }
    return all;
  }

  /// A curve for each method.
  static List<Curve> curves(List<Contestant> contestants) {
    return contestants.stream().map(Contestant::method).distinct().map(method -> new Curve(method,
        contestants.stream().filter(each -> each.method.equals(method)).map(Contestant::point).toList())).toList();
  }

  Spread loss() {
    return Spread.of(evaluations.stream().mapToDouble(Evaluation::loss).toArray());
  }

  Optional<Spread> accuracy() {
    return spread(evaluations.stream().map(Evaluation::accuracy).toList());
  }

  Optional<Spread> outputChange() {
    return spread(outputChanges);
  }

  private static Optional<Spread> spread(List<OptionalDouble> figures) {
    double[] present = figures.stream().flatMapToDouble(OptionalDouble::stream).toArray();
    return present.length == 0 ? Optional.empty() : Optional.of(Spread.of(present));
  }

  private Point point() {
    return new Point(sparsity, OptionalDouble.of(loss().mean()), mean(accuracy()), mean(outputChange()),
        loss().knownDeviation(), deviation(accuracy()), deviation(outputChange()), mean(spread(predictedChanges)));
  }

  private static OptionalDouble mean(Optional<Spread> spread) {
    return spread.stream().mapToDouble(Spread::mean).findFirst();
  }

  private static OptionalDouble deviation(Optional<Spread> spread) {
    return spread.map(Spread::knownDeviation).orElse(OptionalDouble.empty());
  }
}
