package dev.espalier.engine.method;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class ScheduleTest {
  /// Sparsities by hand: halves of what is left, thirds of 0.9, (1 − (1 − t)³) · 0.8.
  @ParameterizedTest
  @CsvSource({"oneshot, 0.9, 0.9", "linear:3, 0.9, 0.3 0.6 0.9", "linear:1, 0.9, 0.9",
      "geometric:3, 0.875, 0.5 0.75 0.875", "geometric:0.5, 0.9, 0.5 0.75 0.875 0.9", "geometric:0.5, 0.75, 0.5 0.75",
      "geometric:0.5, 0.3, 0.3", "cubic:2, 0.8, 0.7 0.8", "linear:4, 0, 0", "geometric:5, 1, 1"})
  void splitsATargetIntoRounds(String schedule, double sparsity, String expected) {
    List<Target> rounds = Schedule.parse(schedule).rounds(new Target.Fraction(sparsity, new Scope.PerRow()));
    String[] numbers = expected.split(" ", -1);
    assertEquals(numbers.length, rounds.size(), rounds::toString);
    for (int r = 0; r < numbers.length; r++) {
      Target.Fraction round = (Target.Fraction) rounds.get(r);
      assertEquals(Double.parseDouble(numbers[r]), round.sparsity(), 1e-15);
      assertEquals(new Scope.PerRow(), round.scope());
    }
    assertEquals(sparsity, rounds.getLast().sparsity());
  }

  @ParameterizedTest
  @ValueSource(strings = {"linear:4", "geometric:4", "geometric:0.75", "cubic:4"})
  void aPatternTakesOneRound(String schedule) {
    Target pattern = new Target.Pattern(1, 4);
    assertEquals(List.of(pattern), new Schedule.OneShot().rounds(pattern));
    assertEquals("schedule %s: the pattern 1:4 is reached in one round; use oneshot".formatted(schedule),
        assertThrows(MismatchException.class, () -> Schedule.parse(schedule).rounds(pattern)).getMessage());
  }

  @Test
  void refusesToKeepAFractionForever() {
    assertEquals(
        "schedule geometric:0.75 does not reach a sparsity of 1 within 1000 rounds: use linear:10, or a lower sparsity",
        assertThrows(MismatchException.class, () -> new Schedule.Keeping(0.75).rounds(Target.sparsity(1)))
            .getMessage());
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      geometric:0.5  | 0.75          | 0.5,0.75
      geometric:0.5  | 0.6,0.9       | 0.5,0.6,0.8,0.9
      geometric:0.5  | 0.5,0.75      | 0.5,0.75
      linear:2       | 0.3,0.8       | 0.3,0.4,0.8
      cubic:1        | 0.3,0.8       | 0.3,0.8
      oneshot        | 0.8           | 0.8
      """)
  void aPathStopsAtEveryTarget(String schedule, String stops, String expected) {
    List<Target> path = Schedule.parse(schedule).path(Stream.of(stops.split(",", -1)).map(Target::parse).toList());
    double[] sparsities = path.stream().mapToDouble(Target::sparsity).toArray();
    assertArrayEquals(Stream.of(expected.split(",", -1)).mapToDouble(Double::parseDouble).toArray(), sparsities, 1e-12);
    for (String stop : stops.split(",", -1)) {
      assertTrue(path.contains(Target.parse(stop)), stop);
    }
  }

  @Test
  void oneRoundHasOneTarget() {
    assertEquals("schedule oneshot has one round, and so one target: use one in rounds, such as geometric:0.75",
        assertThrows(MismatchException.class,
            () -> new Schedule.OneShot().path(List.of(Target.sparsity(0.5), Target.sparsity(0.9)))).getMessage());
  }
}
