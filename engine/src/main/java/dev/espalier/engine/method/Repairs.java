package dev.espalier.engine.method;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/// The repairs that each round makes, one after the other.
///
/// @param steps empty: none
public record Repairs(List<Repair> steps) {
  /// No repair.
  public static final Repairs NONE = new Repairs(List.of());

  /// Copies the list.
  ///
  /// @throws IllegalArgumentException if two are of one kind
  public Repairs {
    steps = List.copyOf(steps);
    Set<String> names = new HashSet<>();
    for (Repair step : steps) {
      String name = step.toString().split(":", 2)[0];
      if (!names.add(name)) {
        throw new IllegalArgumentException("repair '%s' has %s twice: give it once, with its options behind it"
            .formatted(steps.stream().map(Repair::toString).collect(Collectors.joining("+")), name));
      }
    }
  }

  /// These repairs.
  public static Repairs of(Repair... steps) {
    return new Repairs(List.of(steps));
  }

  /// `none`, or repairs joined by `+`, such as `refit+distill`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Repairs parse(String text) {
    return text.equals("none") ? NONE : new Repairs(Arrays.stream(text.split("\\+", -1)).map(Repair::parse).toList());
  }

  /// Whether one of them needs labels.
  public boolean needLabels() {
    return steps.stream().anyMatch(Repair.FineTune.class::isInstance);
  }

  /// Whether one of them follows the dense network by an objective that is not given.
  public boolean takeTemperature() {
    return steps.stream()
        .anyMatch(step -> step instanceof Repair.Following following && following.objective().isEmpty());
  }

  /// These repairs for a network that is known to be a classifier: without an objective, joint repair and
  /// distillation compare its class probabilities.
  ///
  /// @param temperature of these, above 0
  public Repairs forClassifier(double temperature) {
    return new Repairs(steps.stream().<Repair>map(step -> switch (step) {
      case Repair.Refit refit -> refit;
      case Repair.FineTune fineTune -> fineTune;
      case Repair.Following following ->
        following.objective().isPresent() ? following : following.withObjective(new Objective.Divergence(temperature));
    }).toList());
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    return steps.isEmpty() ? "none" : steps.stream().map(Repair::toString).collect(Collectors.joining("+"));
  }
}
