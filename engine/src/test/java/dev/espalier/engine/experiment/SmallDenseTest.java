package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.network.Activation;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

class SmallDenseTest {
  private static final SmallDense LENET = new SmallDense(List.of(784, 300, 100, 10),
      List.of(Activation.RELU, Activation.RELU, Activation.IDENTITY));

  /// 785 a + (a + 1) b + 10 (b + 1) parameters, with b a third of a.
  @Test
  void hiddenWidthsComeClosestToTheParameters() {
    assertEquals(List.of(300, 100), LENET.hidden(266_610));
    assertEquals(List.of(158, 53), LENET.hidden(133_000));
    assertEquals(List.of(33, 11), LENET.hidden(785 * 33 + 34 * 11 + 10 * 12));
    assertEquals(List.of(1, 1), LENET.hidden(0));
  }

  @Test
  void spread() {
    assertEquals(new Spread(4, 2, 3), Spread.of(2, 4, 6));
    assertEquals(new Spread(7, 0, 1), Spread.of(7));
    assertEquals(OptionalDouble.empty(), Spread.of(7).knownDeviation());
    assertThrows(IllegalArgumentException.class, Spread::of);
  }
}
