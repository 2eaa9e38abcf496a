package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

final class SpreadTest {
  @Test
  void isByOneLessThanTheRuns() {
    assertEquals(new Spread(3, Math.sqrt(2), 2), Spread.of(2, 4));
    assertEquals(OptionalDouble.empty(), Spread.of(2).knownDeviation());
    assertThrows(IllegalArgumentException.class, Spread::of);
  }

  /// Their sum divided by three is another number than they.
  @Test
  void equalFiguresHaveNone() {
    double figure = 0.35;
    assertEquals(new Spread(figure, 0, 3), Spread.of(figure, figure, figure));
    assertEquals(new Spread(0.1, 0, 3), Spread.of(0.1, 0.1, 0.1));
  }
}
