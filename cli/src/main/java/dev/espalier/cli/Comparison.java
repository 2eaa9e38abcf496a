package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.calibration.ProgressListener;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.OutputChange;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.report.Curve;
import dev.espalier.engine.report.Point;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Loss;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.function.Function;

/// Prunes a network by several methods to several sparsities and judges each result by test data.
///
/// @param calibration what the network is pruned with
/// @param test        labelled, what the results are judged by
record Comparison(Backend backend, DenseNetwork network, CalibrationSource calibration, CalibrationSource test,
    Loss loss, int batchSize, ProgressListener listener) {
  /// @param dense  the network as it was
  /// @param curves one a method
  record Result(Evaluation dense, List<Curve> curves) {
    /// A row for each sparsity and method, the dense network first.
    Table table() {
      Table table = new Table(2, "sparsity", "criterion", dense.lossName().toString(), "accuracy", "output change");
      table.row("-", "dense", PLAIN.value(dense.loss()), PLAIN.percent(dense.accuracy()), "0");
      for (int i = 0; i < curves.getFirst().points().size(); i++) {
        table.rule();
        for (Curve curve : curves) {
          Point point = curve.points().get(i);
          table.row(PLAIN.exactPercent(point.sparsity()), curve.criterion(), PLAIN.value(point.loss()),
              PLAIN.percent(point.accuracy()), PLAIN.value(point.outputChange()));
        }
      }
      return table;
    }

    /// The loss of one method at one sparsity.
    double loss(Method method, double sparsity) {
      return curves.stream().filter(curve -> curve.criterion().equals(method.toString()))
          .flatMap(curve -> curve.points().stream()).filter(point -> point.sparsity() == sparsity).findFirst()
          .orElseThrow().loss();
    }

    Report.Builder report(Report.Builder builder) {
      Reports.dense(builder, dense);
      return builder.lossName(dense.lossName().toString()).comparison(curves);
    }
  }

  /// @param options of a method, without the sparsity
  Result run(List<Double> sparsities, List<Method> methods, Function<Method, PruningOptions.Builder> options)
      throws IOException {
    Evaluation dense = Evaluation.of(backend, network, test, loss, batchSize, listener);
    List<Curve> curves = new ArrayList<>();
    for (Method method : methods.stream().distinct().toList()) {
      List<Point> points = new ArrayList<>();
      for (double sparsity : sparsities.stream().sorted().distinct().toList()) {
        points.add(point(sparsity, options.apply(method).sparsity(sparsity).measureOutputChange(false).build()));
      }
      curves.add(new Curve(method.toString(), points));
    }
    return new Result(dense, curves);
  }

  private Point point(double sparsity, PruningOptions options) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork pruned = new Pruner(backend, options).prune(network, calibration, arena).network();
      Evaluation evaluation = Evaluation.of(backend, pruned, test, loss, batchSize, listener);
      double change = OutputChange.measure(backend, network, pruned, test, batchSize, listener).total();
      return new Point(sparsity, evaluation.loss(), evaluation.accuracy(), OptionalDouble.of(change));
    }
  }
}
