package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;

/// A figure by which the page compares criteria.
enum Metric {
  ACCURACY("accuracy", "Accuracy", "Highest accuracy"), LOSS("loss", "Loss", "Lowest loss"),
  OUTPUT_CHANGE("outputChange", "Mean squared output change", "Least output change");

  /// The name of its field in `report.json`.
  final String key;
  final String title;
  /// The title of the card that names the best criterion.
  final String best;

  Metric(String key, String title, String best) {
    this.key = key;
    this.title = title;
    this.best = best;
  }

  OptionalDouble of(Point point) {
    return switch (this) {
      case ACCURACY -> point.accuracy();
      case LOSS -> point.loss();
      case OUTPUT_CHANGE -> point.outputChange();
    };
  }

  /// Empty of a single network.
  Optional<Band> band(Point point) {
    OptionalDouble figure = of(point);
    OptionalDouble deviation = deviation(point);
    return figure.isEmpty() || deviation.isEmpty()
        ? Optional.empty()
        : Optional.of(Band.of(figure.getAsDouble(), deviation.getAsDouble(), this == ACCURACY));
  }

  OptionalDouble deviation(Point point) {
    return switch (this) {
      case ACCURACY -> point.accuracyDeviation();
      case LOSS -> point.lossDeviation();
      case OUTPUT_CHANGE -> point.outputChangeDeviation();
    };
  }

  /// The figure of a point, with its deviation if it has one; a dash if it has neither.
  String text(Optional<Point> point) {
    OptionalDouble figure = point.map(this::of).orElse(OptionalDouble.empty());
    OptionalDouble deviation = point.map(this::deviation).orElse(OptionalDouble.empty());
    if (deviation.isEmpty()) {
      return text(figure);
    }
    return "%s ± %s".formatted(text(figure), text(deviation));
  }

  /// Empty if the curve has no point at that sparsity, or the point has no such figure.
  OptionalDouble at(double sparsity, Curve curve) {
    return point(sparsity, curve).map(this::of).orElse(OptionalDouble.empty());
  }

  String text(OptionalDouble figure) {
    return this == ACCURACY ? TYPOGRAPHIC.percent(figure) : TYPOGRAPHIC.value(figure);
  }

  /// Whether no other curve is better at that sparsity; false if there is no other.
  boolean isBest(double sparsity, Curve curve, List<Curve> curves) {
    OptionalDouble figure = at(sparsity, curve);
    DoubleStream all = curves.stream().flatMapToDouble(each -> at(sparsity, each).stream());
    return curves.size() > 1 && figure.isPresent() && figure.equals(this == ACCURACY ? all.max() : all.min());
  }

  /// The sparsities at which any of the curves has a point.
  static SortedSet<Double> sparsities(List<Curve> curves) {
    return curves.stream().flatMap(curve -> curve.points().stream()).map(Point::sparsity)
        .collect(Collectors.toCollection(TreeSet::new));
  }

  static Optional<Point> point(double sparsity, Curve curve) {
    return curve.points().stream().filter(point -> point.sparsity() == sparsity).findFirst();
  }
}
