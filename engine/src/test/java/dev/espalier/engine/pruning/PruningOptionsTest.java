package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import java.lang.foreign.Arena;
import java.lang.reflect.RecordComponent;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class PruningOptionsTest {
  /// No value is the default.
  private static final PruningOptions ALL = PruningOptions.builder()
      .target(new Target.Fraction(0.9, new Scope.PerRow()))
      .stops(List.of(new Target.Fraction(0.5, new Scope.PerRow()), new Target.Fraction(0.75, new Scope.PerRow())))
      .layerSparsities(List.of(LayerSparsity.parse("fc*=0.25"), LayerSparsity.parse("a=b=1")))
      .criterion(new Criterion.Gradient()).compensation(new Compensation.Bias()).sensitivity(new Sensitivity.Probes(4))
      .schedule(new Schedule.Linear(2)).repair(new Repair.Refit(), new Repair.Distill()).exclude("encoder.*", "0")
      .minPerLayer(7).newBias(true).loss(new Loss.SquaredError()).batchSize(33).seed(-5).allowSlow(true)
      .measureOutputChange(false).histogramBins(20).build();

  @Test
  void textHasEveryOptionInTheOrderOfTheRecord() {
    Map<String, String> text = ALL.asText();
    assertEquals(Stream.of(PruningOptions.class.getRecordComponents()).map(RecordComponent::getName).toList(),
        List.copyOf(text.keySet()));
    assertEquals(
        "[row:0.9, row:0.5,row:0.75, fc*=0.25\na=b=1, gradient, bias, probes:4, linear:2, refit+distill, encoder.*\n0, 7, true, mse, 33, -5, true, false, 20]",
        text.values().toString());
    assertEquals(ALL, PruningOptions.parse(text));
  }

  @Test
  void whatIsLeftOpenIsAbsent() {
    PruningOptions defaults = PruningOptions.builder().build();
    assertEquals(
        "{target=0.5, stops=, layerSparsities=, criterion=ec, schedule=oneshot, repair=none, excluded=, minPerLayer=1, newBias=false, "
            + "seed=0, allowSlow=false, measureOutputChange=true, histogramBins=0}",
        defaults.asText().toString());
    assertEquals(defaults, PruningOptions.parse(defaults.asText()));
    assertEquals(new PruningOptions(Target.sparsity(0.5), List.of(), List.of(), new Criterion.EliminationCompensation(),
        Optional.empty(), Optional.empty(), new Schedule.OneShot(), Repairs.NONE, List.of(), 1, false, Optional.empty(),
        OptionalInt.empty(), 0, false, true, 0), defaults);
    assertEquals(defaults, PruningOptions.parse(Map.of()), "absent options have their defaults");
  }

  /// One option of its own away from the defaults at a time.
  @Test
  void eachOptionIsReadAsItIsPrinted() {
    ALL.asText().forEach((name, value) -> {
      // Stops must lie below their target.
      Map<String, String> text = name.equals("stops")
          ? Map.of(name, value, "target", ALL.target().toString())
          : Map.of(name, value);
      PruningOptions options = PruningOptions.parse(text);
      assertEquals(value, options.asText().get(name));
      Map<String, String> expected = new LinkedHashMap<>(PruningOptions.builder().build().asText());
      expected.putAll(text);
      assertEquals(expected, options.asText());
    });
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', value = {"sparsity         | 0.5   | unknown option 'sparsity'",
      "minPerLayer      | many  | option minPerLayer is 'many', not a whole number",
      "minPerLayer      | -1    | weights kept in each layer -1, batch size 1, histogram bins 0: use at least 0, 1, 0",
      "batchSize        | 1e3   | option batchSize is '1e3', not a whole number",
      "batchSize        | 0     | weights kept in each layer 1, batch size 0, histogram bins 0: use at least 0, 1, 0",
      "histogramBins    | -1    | weights kept in each layer 1, batch size 1, histogram bins -1: use at least 0, 1, 0",
      "histogramBins    | 9999999999 | option histogramBins is '9999999999', not a whole number",
      "seed             | 0.5   | option seed is '0.5', not a whole number",
      "newBias          | yes   | option newBias is 'yes', not true or false",
      "allowSlow        | 2 | option allowSlow is '2', not true or false",
      "measureOutputChange | 1 | option measureOutputChange is '1', not true or false",
      "criterion        | best  | unknown criterion 'best': use ec, ec-nonlinear, magnitude, gradient, wanda or random",
      "target           | 5:4   | pattern 5:4: n:m keeps n of every m weights, with 1 ≤ n ≤ m"})
  void refusesWhatItDoesNotKnow(String name, String value, String message) {
    assertEquals(message,
        assertThrows(IllegalArgumentException.class, () -> PruningOptions.parse(Map.of(name, value))).getMessage());
  }

  @Test
  void theCriterionsCompensationIsInForceUnlessAnotherIsGiven() {
    assertEquals(new Compensation.Bias(), PruningOptions.builder().build().effectiveCompensation());
    assertEquals(new Compensation.None(),
        PruningOptions.builder().criterion(new Criterion.Wanda()).build().effectiveCompensation());
    assertEquals(new Compensation.None(),
        PruningOptions.builder().compensation(new Compensation.None()).build().effectiveCompensation());
  }

  @Test
  void excludesWhatAnyPatternMatches() {
    assertEquals(List.of(new LayerPattern("encoder.*"), new LayerPattern("0")), ALL.excluded());
    assertEquals(List.of(true, true, false, false),
        Stream.of("encoder.1", "0", "1", "decoder.0").map(ALL::excludes).toList());
  }

  @Test
  void masksAreZerosAndOnesOfSomeLayers() {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView mask = MatrixView.of(arena, 2, 3, 1, 0, 1, 0, 0, 1);
      assertEquals(0.5, new Target.Mask(Map.of("fc", mask)).sparsity());
      PruningOptions.Builder own = PruningOptions.builder().target(new Target.Mask(Map.of("fc", mask)))
          .layerSparsities(List.of(LayerSparsity.parse("fc=0.5")));
      assertEquals("the mask says what each layer loses: use no sparsity of single ones, as fc=0.5",
          assertThrows(IllegalArgumentException.class, own::build).getMessage());
      assertEquals("the mask has no layer",
          assertThrows(IllegalArgumentException.class, () -> new Target.Mask(Map.of())).getMessage());
      for (float wrong : new float[]{0.5f, -1, 2, Float.NaN}) {
        mask.set(1, 0, wrong);
        assertEquals("the mask of layer fc is %s at [1, 0], neither 0 nor 1".formatted(wrong),
            assertThrows(IllegalArgumentException.class, () -> new Target.Mask(Map.of("fc", mask))).getMessage());
      }
    }
  }

  @Test
  void stopsRiseToTheTargetInOneScope() {
    for (List<Target> stops : List.of(List.<Target>of(Target.sparsity(0.9)), List.<Target>of(Target.sparsity(0.95)),
        List.<Target>of(Target.sparsity(0.5), Target.sparsity(0.4)),
        List.<Target>of(new Target.Fraction(0.5, new Scope.PerRow())), List.<Target>of(new Target.Pattern(2, 4)))) {
      PruningOptions.Builder builder = PruningOptions.builder().sparsity(0.9).stops(stops);
      assertTrue(assertThrows(IllegalArgumentException.class, builder::build).getMessage()
          .endsWith("of one path: use rising fractions of one scope"));
    }
  }
}
