package dev.espalier.engine.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.RandomCases;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

final class MethodTextTest {
  /// By type: what reads it, and values by their text, of every kind that there is.
  private record Kinds<T>(Class<T> type, Function<String, T> parse, Map<String, T> values) {
    static <T> Kinds<T> of(Class<T> type, Function<String, T> parse, List<T> values, String... texts) {
      Map<String, T> byText = new LinkedHashMap<>();
      for (int i = 0; i < texts.length; i++) {
        byText.put(texts[i], values.get(i));
      }
      return new Kinds<>(type, parse, byText);
    }
  }

  private static final List<Kinds<?>> ALL = List.of(
      Kinds.of(Criterion.class, Criterion::parse,
          List.of(new Criterion.EliminationCompensation(), new Criterion.NonlinearEliminationCompensation(),
              new Criterion.Magnitude(), new Criterion.Gradient(), new Criterion.Wanda(), new Criterion.Random()),
          "ec", "ec-nonlinear", "magnitude", "gradient", "wanda", "random"),
      Kinds.of(Compensation.class, Compensation::parse, List.of(new Compensation.None(), new Compensation.Bias()),
          "none", "bias"),
      Kinds.of(Sensitivity.class, Sensitivity::parse,
          List.of(new Sensitivity.Jacobian(), new Sensitivity.Probes(1), new Sensitivity.Probes(999_999),
              new Sensitivity.Fisher(OptionalInt.empty(), 1), new Sensitivity.Fisher(OptionalInt.of(2), 1),
              new Sensitivity.Fisher(OptionalInt.empty(), 0.5), new Sensitivity.Fisher(OptionalInt.of(1), 4),
              new Sensitivity.Smoothed(new Sensitivity.Jacobian(), 0.25),
              new Sensitivity.Smoothed(new Sensitivity.Fisher(OptionalInt.of(1), 4), 1)),
          "jacobian", "probes:1", "probes:999999", "fisher", "fisher:2", "fisher:T=0.5", "fisher:1:T=4",
          "jacobian:smooth=0.25", "fisher:1:T=4:smooth=1"),
      Kinds.of(Scope.class, Scope::parse, List.of(new Scope.Global(), new Scope.PerLayer(), new Scope.PerRow()),
          "global", "layer", "row"),
      Kinds.of(Target.class, Target::parse,
          List.of(Target.sparsity(0.9), Target.sparsity(0), Target.sparsity(1), Target.sparsity(1e-7),
              new Target.Fraction(0.25, new Scope.PerLayer()), new Target.Fraction(0.5, new Scope.PerRow()),
              new Target.Pattern(2, 4), new Target.Pattern(1, 1), new Target.Neurons(0.5, new Scope.Global()),
              new Target.Neurons(0.75, new Scope.PerLayer())),
          "0.9", "0", "1", "0.0000001", "layer:0.25", "row:0.5", "2:4", "1:1", "neurons:0.5", "neurons:layer:0.75"),
      Kinds.of(Schedule.class, Schedule::parse,
          List.of(new Schedule.OneShot(), new Schedule.Linear(1), new Schedule.Geometric(20), new Schedule.Cubic(9999),
              new Schedule.Keeping(0.75), new Schedule.Keeping(0.001)),
          "oneshot", "linear:1", "geometric:20", "cubic:9999", "geometric:0.75", "geometric:0.001"),
      Kinds.of(Repair.class, Repair::parse,
          List.of(new Repair.Refit(), new Repair.Refit(OptionalInt.of(50), OptionalDouble.of(0.0125)),
              new Repair.Refit(OptionalInt.empty(), OptionalDouble.of(1e-7)), new Repair.Joint(),
              new Repair.Joint(Optional.of(new Objective.Divergence(4)), OptionalInt.of(2), OptionalInt.of(10),
                  OptionalDouble.of(0.1), OptionalDouble.of(0)),
              new Repair.Distill(),
              new Repair.Distill(Optional.of(new Objective.SquaredError()), OptionalInt.empty(), OptionalInt.of(15),
                  OptionalDouble.empty()),
              new Repair.Distill(Optional.of(new Objective.Divergence(2.5)), OptionalInt.of(0), OptionalInt.of(1),
                  OptionalDouble.of(0.001)),
              new Repair.FineTune(),
              new Repair.FineTune(OptionalInt.empty(), OptionalDouble.empty(), OptionalInt.of(3)),
              new Repair.FineTune(OptionalInt.of(2), OptionalDouble.of(0.01), OptionalInt.empty())),
          "refit", "refit:iterations=50:damping=0.0125", "refit:damping=1E-7", "joint",
          "joint:kl:4:outer=2:inner=10:damping=0.1:tolerance=0", "distill", "distill:mse:last=15",
          "distill:kl:2.5:epochs=0:last=1:rate=0.001", "fine-tune", "fine-tune:patience=3",
          "fine-tune:epochs=2:rate=0.01"),
      Kinds.of(Objective.class, Objective::parse,
          List.of(new Objective.SquaredError(), new Objective.Divergence(4), new Objective.Divergence(0.5)), "mse",
          "kl:4", "kl:0.5"),
      Kinds.of(Loss.class, Loss::parse,
          List.of(new Loss.SquaredError(), new Loss.CrossEntropy(), new Loss.BinaryCrossEntropy()), "mse",
          "cross-entropy", "binary-cross-entropy"));

  @Test
  void everyKindIsReadAsItIsPrinted() {
    for (Kinds<?> kinds : ALL) {
      kinds.values.forEach((text, value) -> {
        assertEquals(text, value.toString());
        assertEquals(value, kinds.parse.apply(text));
      });
      Set<Class<?>> tested = kinds.values.values().stream().map(Object::getClass).collect(Collectors.toSet());
      assertEquals(records(kinds.type).filter(type -> type != Target.Mask.class).collect(Collectors.toSet()), tested,
          kinds.type::getName);
    }
  }

  private static Stream<Class<?>> records(Class<?> sealed) {
    return Stream.of(sealed.getPermittedSubclasses())
        .flatMap(type -> type.isInterface() ? records(type) : Stream.of(type));
  }

  static Stream<Arguments> fractions() {
    return RandomCases.of(300, RandomCases.fractions());
  }

  @ParameterizedTest
  @MethodSource("fractions")
  void everyFractionIsReadAsItIsPrinted(double sparsity) {
    for (Scope scope : List.of(new Scope.Global(), new Scope.PerLayer(), new Scope.PerRow())) {
      Target target = new Target.Fraction(Math.abs(sparsity), scope); // 0 and not −0
      assertEquals(target, Target.parse(target.toString()));
    }
  }

  static Stream<Arguments> patterns() {
    return RandomCases.of(300, RandomCases.ints(1, 500_000), RandomCases.ints(0, 499_999));
  }

  @ParameterizedTest
  @MethodSource("patterns")
  void everyPatternIsReadAsItIsPrinted(int kept, int more) {
    Target target = new Target.Pattern(kept, kept + more);
    assertEquals(target, Target.parse(target.toString()));
  }

  @Test
  void refusalsNameWhatThereIs() {
    refused("unknown criterion 'EC': use ec, ec-nonlinear, magnitude, gradient, wanda or random",
        () -> Criterion.parse("EC"));
    refused("unknown compensation 'refit': use none or bias", () -> Compensation.parse("refit"));
    for (String text : List.of("probes", "probes:", "probes:-1", "probes:1234567", "jacobian:2", "fisher:", "fisher:T=",
        "fisher:T=-1", "fisher:4:2", "smooth=0.2", "jacobian:smooth=", "jacobian:smooth=0.1:smooth=0.2")) {
      refused(("unknown sensitivity '%s': use jacobian, probes:R such as probes:16, or fisher, fisher:R or fisher:T=4; "
          + ":smooth=0.2 may follow").formatted(text), () -> Sensitivity.parse(text));
    }
    refused("probes:0: use at least one probe", () -> Sensitivity.parse("probes:0"));
    refused("smooth=0.0: use a number above 0 and up to 1", () -> Sensitivity.parse("jacobian:smooth=0"));
    refused("smooth=1.5: use a number above 0 and up to 1", () -> Sensitivity.parse("probes:2:smooth=1.5"));
    refused("unknown scope 'all': use global, layer or row", () -> Scope.parse("all"));
    refused(
        "unknown schedule 'sine:3': use oneshot, linear:K, geometric:K or cubic:K with K rounds, or geometric:0.75 to"
            + " keep 75 % of the weights in each round",
        () -> Schedule.parse("sine:3"));
    refused("schedule cubic:0: use at least one round", () -> Schedule.parse("cubic:0"));
    refused("schedule geometric:0.0: use a fraction between 0 and 1 that each round keeps, or a number of rounds",
        () -> Schedule.parse("geometric:0.0"));
    for (String text : List.of("fit", "none:damping=1", "")) {
      refused(
          "unknown repair '%s': use none, refit, joint, distill, fine-tune, or several, as refit+joint".formatted(text),
          () -> Repair.parse(text));
    }
    for (String option : List.of("", "5", "mse", "epochs=1")) {
      refused("refit:%1$s: option '%1$s' is unknown or given twice; use iterations=N or damping=X".formatted(option),
          () -> Repair.parse("refit:" + option));
    }
    refused(
        "distill:last=1:last=2: option 'last=2' is unknown or given twice; use mse, kl:T, epochs=N, last=N or rate=X",
        () -> Repair.parse("distill:last=1:last=2"));
    refused(
        "joint:rate=1: option 'rate=1' is unknown or given twice; use mse, kl:T, outer=N, inner=N, damping=X or tolerance=X",
        () -> Repair.parse("joint:rate=1"));
    assertEquals(Repair.parse("joint:kl:4:outer=1:inner=2:damping=0.1:tolerance=0"),
        Repair.parse("joint:tolerance=0:inner=2:outer=1:kl:4:damping=0.1"));
    refused("joint: 0 steps of 20 iterations: use at least one of each", () -> Repair.parse("joint:outer=0"));
    refused("joint: 4 steps of 0 iterations: use at least one of each", () -> Repair.parse("joint:inner=0"));
    refused("joint:damping=0.0: use a damping above 0", () -> Repair.parse("joint:damping=0"));
    refused("joint:tolerance=1.0: use a tolerance from 0 to below 1", () -> Repair.parse("joint:tolerance=1"));
    refused("refit:iterations=x: iterations is not a whole number", () -> Repair.parse("refit:iterations=x"));
    refused("refit:damping=: damping is not a number", () -> Repair.parse("refit:damping="));
    refused("unknown objective 'kl:': use mse or, for classifiers, kl:4", () -> Repair.parse("distill:kl"));
    assertEquals(Repair.parse("distill:kl:4:epochs=1:last=2"), Repair.parse("distill:last=2:epochs=1:kl:4"));
    refused("refit:iterations=0: use at least one iteration", () -> Repair.parse("refit:iterations=0"));
    refused("refit:damping=0.0: use a damping above 0", () -> Repair.parse("refit:damping=0"));
    refused("unknown loss 'l2': use mse, cross-entropy or binary-cross-entropy", () -> Loss.parse("l2"));
  }

  @Test
  void refusalsOfTargetsNameWhatThereIs() {
    for (String text : List.of("half", "", "layer:", "row:half", "90%")) {
      refused(
          "unknown target '%s': use a fraction such as 0.9, layer:0.9 or row:0.9, or n:m such as 2:4".formatted(text),
          () -> Target.parse(text));
    }
    refused("unknown scope 'all': use global, layer or row", () -> Target.parse("all:0.5"));
    for (String text : List.of("5:4", "0:4", "0:0")) {
      refused("pattern %s: n:m keeps n of every m weights, with 1 ≤ n ≤ m".formatted(text), () -> Target.parse(text));
    }
    for (double sparsity : new double[]{-0.1, 1.1, 90, Double.NaN, Double.POSITIVE_INFINITY}) {
      refused(
          "sparsity %s: use a fraction from 0 to 1, for example 0.9 to remove 90 %% of the weights".formatted(sparsity),
          () -> Target.sparsity(sparsity));
    }
  }

  private static void refused(String message, Runnable action) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, action::run).getMessage());
  }

  @Test
  void aPatternRemovesWhatItDoesNotKeep() {
    assertEquals(0.5, new Target.Pattern(2, 4).sparsity());
    assertEquals(0.75, new Target.Pattern(1, 4).sparsity());
    assertEquals(0.3, new Target.Fraction(0.3, new Scope.PerRow()).sparsity());
  }

  @ParameterizedTest
  @CsvSource({"encoder.*, encoder.0", "encoder.*, encoder.0.linear", "*, anything", "?, 0", "layer?, layer1",
      "0.weight, 0", "*.weight, 0", "encoder.0, encoder.0", "a+(b)[c]$, a+(b)[c]$", "x?z, x😀z", "*.0, größe.0",
      "a\\*, a*", "\\?*, ?b", "a\\\\*, a\\b", "a\\b, a\\b", "a\\, a\\"})
  void aPatternMatchesALayerOrItsWeight(String glob, String layer) {
    assertEquals(true, new LayerPattern(glob).matches(layer));
  }

  @ParameterizedTest
  @CsvSource({"encoder.*, decoder.0", "encoder.?, encoder", "?, 10", "0, 10", "0, 0.1", "0.bias, 0", "a.c, abc",
      "Layer, layer", "'', 0", "a\\*, ab", "\\?, a", "a\\\\*, a*"})
  void aPatternMatchesNothingElse(String glob, String layer) {
    assertEquals(false, new LayerPattern(glob).matches(layer));
  }

  @Test
  void thePatternOfANameMatchesItAlone() {
    for (String name : List.of("encoder.0", "a*", "a?", "a\\", "\\*")) {
      assertEquals(true, LayerPattern.of(name).matches(name), name);
    }
    assertEquals(false, LayerPattern.of("a*").matches("ab"));
    assertEquals(false, LayerPattern.of("a?").matches("ab"));
  }

  @Test
  void aStarMatchesAnyCharacterThatAFileMayHold() {
    assertEquals(true, new LayerPattern("a*b?").matches("a\n\u2028b\r"));
    assertEquals("encoder.*", new LayerPattern("encoder.*").toString());
  }

  @ParameterizedTest
  @CsvSource({"1, 0.1", "300, 0.1", "1000, 0.01", "5000, 0.001", "60000, 0.001", "547.7225575, 0.0316227766"})
  void dampingFallsWithTheNumberOfSamples(double samples, double damping) {
    assertEquals(damping, new Repair.Refit().damping(Math.round(samples)), 1e-4 * damping + 1e-4 * (samples % 1));
  }

  @Test
  void repairsAreJoinedByPlus() {
    Repairs both = Repairs.of(new Repair.Refit(), new Repair.Distill());
    assertEquals("refit+distill", both.toString());
    assertEquals(both, Repairs.parse("refit+distill"));
    assertEquals(Repairs.NONE, Repairs.parse("none"));
    assertEquals("none", Repairs.NONE.toString());
    assertThrows(IllegalArgumentException.class, () -> Repairs.parse("refit+none"));
    refused("repair 'refit+refit' has refit twice: give it once, with its options behind it",
        () -> Repairs.parse("refit+refit"));
    refused("repair 'joint:mse+refit+joint:kl:2' has joint twice: give it once, with its options behind it",
        () -> Repairs.parse("joint:mse+refit+joint:kl:2"));
    assertThrows(IllegalArgumentException.class, () -> Repairs.parse("refit+"));
  }
}
