package dev.espalier.engine.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.method.Limits.Amount;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LimitsTest {
  @ParameterizedTest
  @ValueSource(strings = {"0.5%", "0", "0.01", "150%", "1E-7", "0%"})
  void amountsPrintAsTheyAreRead(String text) {
    assertEquals(text, Amount.parse(text).toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "%", "-1", "-1%", "NaN", "Infinity", "1e999", "one", "1 %%"})
  void otherAmountsAreRefused(String text) {
    assertTrue(assertThrows(IllegalArgumentException.class, () -> Amount.parse(text)).getMessage()
        .contains("'" + text + "' is not a number of 0 or more"));
  }

  @Test
  void amountsAreRelativeOrNot() {
    assertEquals(2.02,
        new Limits(Optional.of(Amount.parse("1%")), OptionalDouble.empty(), Optional.empty()).highestLoss(2), 1e-12);
    assertEquals(2.01,
        new Limits(Optional.of(Amount.parse("0.01")), OptionalDouble.empty(), Optional.empty()).highestLoss(2), 1e-12);
    Limits drop = new Limits(Optional.empty(), OptionalDouble.of(0.5), Optional.empty());
    assertEquals(0.975, drop.lowestAccuracy(0.98), 1e-12);
    assertEquals(Double.POSITIVE_INFINITY, drop.highestLoss(2));
    assertTrue(drop.needsLabels());
    Limits change = new Limits(Optional.empty(), OptionalDouble.empty(), Optional.of(Amount.parse("25%")));
    assertEquals(2, change.largestChange(8));
    assertFalse(change.needsLabels());
    assertEquals("output change 25%", change.toString());
  }

  @Test
  void noLimitAndImpossiblePointsAreRefused() {
    assertThrows(IllegalArgumentException.class,
        () -> new Limits(Optional.empty(), OptionalDouble.empty(), Optional.empty()));
    for (double points : new double[]{-1, 101, Double.NaN}) {
      assertThrows(IllegalArgumentException.class,
          () -> new Limits(Optional.empty(), OptionalDouble.of(points), Optional.empty()));
    }
  }
}
