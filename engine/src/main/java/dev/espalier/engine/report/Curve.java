package dev.espalier.engine.report;

import java.util.List;

/// The results of one criterion at rising sparsities.
///
/// @param criterion what the legend calls it, for example `ec`
/// @param points at least one, by rising sparsity
public record Curve(String criterion, List<Point> points) {
  /// @throws IllegalArgumentException if there are no points or their sparsities do not rise
  public Curve {
    Checks.text("criterion", criterion);
    points = List.copyOf(points);
    if (points.isEmpty()) {
      throw new IllegalArgumentException(criterion + " has no points");
    }
    for (int i = 1; i < points.size(); i++) {
      if (points.get(i).sparsity() <= points.get(i - 1).sparsity()) {
        throw new IllegalArgumentException(
            "%s: sparsity %s follows %s".formatted(criterion, points.get(i).sparsity(), points.get(i - 1).sparsity()));
      }
    }
  }
}
