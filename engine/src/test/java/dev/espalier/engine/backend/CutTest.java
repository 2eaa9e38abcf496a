package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

final class CutTest {
  @Test
  void countsWhatItRemoves() {
    assertEquals(5, new Cut.Below(0.5f, 3, 2, 4).removed());
    assertEquals(7, new Cut.Below(Float.POSITIVE_INFINITY, 7, 0, 0).removed());
    assertEquals(0, Cut.NOTHING.removed());
  }

  @Test
  void refusesWhatIsNoCut() {
    assertEquals("threshold=NaN, below=0, ties=0, equal=0", refusal(() -> new Cut.Below(Float.NaN, 0, 0, 0)));
    assertEquals("threshold=1.0, below=-1, ties=0, equal=0", refusal(() -> new Cut.Below(1, -1, 0, 0)));
    assertEquals("threshold=1.0, below=0, ties=-1, equal=0", refusal(() -> new Cut.Below(1, 0, -1, 0)));
    assertEquals("threshold=1.0, below=0, ties=2, equal=1", refusal(() -> new Cut.Below(1, 0, 2, 1)));
    assertEquals("groupWidth=0, removedPerGroup=0.0", refusal(() -> new Cut.PerGroup(0, 0)));
    assertEquals("groupWidth=4, removedPerGroup=4.5", refusal(() -> new Cut.PerGroup(4, 4.5)));
    assertEquals("groupWidth=4, removedPerGroup=-0.5", refusal(() -> new Cut.PerGroup(4, -0.5)));
    assertEquals("groupWidth=4, removedPerGroup=NaN", refusal(() -> new Cut.PerGroup(4, Double.NaN)));
    assertEquals(4, new Cut.PerGroup(4, 4).removedPerGroup());
  }

  private static String refusal(Runnable construct) {
    return assertThrows(IllegalArgumentException.class, construct::run).getMessage();
  }
}
