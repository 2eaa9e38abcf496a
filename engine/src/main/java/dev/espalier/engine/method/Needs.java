package dev.espalier.engine.method;

import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.statistics.Statistic;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// The statistics that a method needs. Whether it needs samples and labels, its passes, and the memory of its sums
/// follow from them.
///
/// @param statistics summed for each layer
public record Needs(Set<Statistic> statistics) {
  /// Nothing: the weights tell enough.
  public static final Needs NOTHING = new Needs(Set.of());

  /// Copies the set.
  public Needs {
    statistics = Set.copyOf(statistics);
  }

  /// These statistics.
  public static Needs of(Statistic... statistics) {
    return new Needs(Set.of(statistics));
  }

  /// What either needs.
  public Needs and(Needs other) {
    Set<Statistic> both = new LinkedHashSet<>(statistics);
    both.addAll(other.statistics);
    return new Needs(both);
  }

  /// In the order of [Statistic#all()].
  public List<Statistic> inOrder() {
    return Statistic.all().stream().filter(statistics::contains).toList();
  }

  /// Whether samples are needed.
  public boolean samples() {
    return !statistics.isEmpty();
  }

  /// Whether labels are needed.
  public boolean labels() {
    return statistics.stream().anyMatch(Statistic::needsLabels);
  }

  /// Whether the sensitivities of the neurons are needed.
  public boolean sensitivities() {
    return statistics.stream().anyMatch(Statistic::needsSensitivity);
  }

  /// Backward passes for each sample.
  public int backwardPasses(Sensitivity sensitivity, int outputs) {
    return (sensitivities() ? sensitivity.passes(outputs) : 0) + (labels() ? 1 : 0);
  }

  /// Elements that the sums of a layer take.
  public long elements(LayerShape layer) {
    return statistics.stream().mapToLong(statistic -> statistic.elements(layer)).sum();
  }
}
