package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Test;

class DensityTest {
  /// 3 × 4: the first row is dense, the second one half, the third one empty.
  private static MatrixView weights(Arena arena) {
    return MatrixView.of(arena, 3, 4, 1, -2, 3, 4, 0, 5, 0, -0.5f, 0, 0, -0f, 0);
  }

  @Test
  void cellsHoldTheFractionOfTheirWeightsThatIsLeft() {
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(new Density(3, 4, List.of(1., 1., 1., 1., 0., 1., 0., 1., 0., 0., 0., 0.)),
          Density.ofMatrix(weights(arena), 64));
      // Rows 0 and 1 share a cell, and so do columns 0, 1 and 2, 3.
      assertEquals(new Density(2, 2, List.of(0.75, 0.75, 0., 0.)), Density.ofMatrix(weights(arena), 2));
    }
  }

  @Test
  void pixelsHoldTheFractionOfTheirColumn() {
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(new Density(2, 2, List.of(0.333, 0.667, 0.333, 0.667)), Density.ofInputs(weights(arena), 2, 2));
      assertThrows(IllegalArgumentException.class, () -> Density.ofInputs(weights(arena), 3, 2));
    }
    assertThrows(IllegalArgumentException.class, () -> new Density(1, 2, List.of(0.5)));
    assertThrows(IllegalArgumentException.class, () -> new Density(1, 1, List.of(1.5)));
  }
}
