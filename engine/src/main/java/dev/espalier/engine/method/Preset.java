package dev.espalier.engine.method;

import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// A named combination of sensitivity, schedule and repair, by what it costs (docs/method.md, presets). Where samples are
/// few, `data.Augmentation.DEFAULT` makes more of them for the repairs.
public enum Preset {
  /// The paper's method: one shot, and biases that compensate.
  PAPER,
  /// Rounds that each keep three quarters of the weights that are left, and refit them.
  REFIT,
  /// As `refit`, and each round trains what is left to follow the dense network.
  BEST;

  private static final double KEPT = 0.75;
  private static final double SMOOTHING = 0.2;
  private static final Sensitivity SMOOTHED_PROBE = new Sensitivity.Smoothed(new Sensitivity.Probes(1), SMOOTHING);

  /// @param temperature of the class probabilities that are compared, if the outputs are those or their logits
  /// @return empty: [Sensitivity#defaultFor] the outputs
  public Optional<Sensitivity> sensitivity(OptionalDouble temperature) {
    return switch (this) {
      case PAPER -> Optional.empty();
      case REFIT -> Optional.of(SMOOTHED_PROBE);
      case BEST -> Optional.of(temperature.isPresent()
          ? new Sensitivity.Smoothed(new Sensitivity.Fisher(OptionalInt.of(1), temperature.getAsDouble()), SMOOTHING)
          : SMOOTHED_PROBE);
    };
  }

  /// Whether it compares class probabilities, where the outputs are those or their logits.
  public boolean takesTemperature() {
    return this == BEST;
  }

  /// How pruning is split into rounds.
  public Schedule schedule() {
    return this == PAPER ? new Schedule.OneShot() : new Schedule.Keeping(KEPT);
  }

  /// What each round does to the weights that are left.
  ///
  /// @param temperature as of [#sensitivity]
  public Repairs repair(OptionalDouble temperature) {
    return switch (this) {
      case PAPER -> Repairs.NONE;
      case REFIT -> Repairs.of(new Repair.Refit());
      case BEST -> Repairs.of(new Repair.Refit(), new Repair.Distill(Optional.of(objective(temperature)),
          OptionalInt.empty(), OptionalInt.empty(), OptionalDouble.empty()));
    };
  }

  private static Objective objective(OptionalDouble temperature) {
    return temperature.isPresent() ? new Objective.Divergence(temperature.getAsDouble()) : new Objective.SquaredError();
  }

  /// `paper`, `refit` or `best`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Preset parse(String text) {
    return Stream.of(values()).filter(preset -> preset.toString().equals(text)).findFirst()
        .orElseThrow(() -> new IllegalArgumentException("unknown method '%s': use %s".formatted(text,
            Stream.of(values()).map(Preset::toString).collect(Collectors.joining(" or ")).replaceFirst(" or ", ", "))));
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
