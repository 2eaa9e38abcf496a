package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SampleRangeTest {
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5, 6, 100})
  void theFirstSamplesAreRead(int limit) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SampleSource all = new MatrixSamples("m", MatrixView.of(arena, 5, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
      SampleSource first = Dataset.of(all).first(limit).samples();
      int expected = Math.min(5, limit);
      assertEquals(expected, first.samples());
      assertEquals(2, first.width());
      assertEquals("m", first.name());
      for (int batch : new int[]{1, 2, 3, 7}) {
        MatrixView target = MatrixView.allocate(arena, batch, 2);
        int rows = 0;
        try (SampleSource.Pass pass = first.open()) {
          for (int read = pass.read(target); read > 0; read = pass.read(target)) {
            for (int row = 0; row < read; row++) {
              assertArrayEquals(new float[]{2 * rows, 2 * rows + 1}, target.slice(row, 1).toArray());
              rows++;
            }
          }
          assertEquals(0, pass.read(target));
        }
        assertEquals(expected, rows);
      }
    }
  }

  @Test
  void aRangeBeginsBehindTheRowsBeforeIt() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SampleSource all = new MatrixSamples("m", MatrixView.of(arena, 5, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
      SampleSource range = new SampleRange(all, 2, 2);
      assertEquals(2, range.first());
      MatrixView target = MatrixView.allocate(arena, 3, 2);
      try (SampleSource.Pass pass = range.open()) {
        assertEquals(2, pass.read(target));
        assertArrayEquals(new float[]{4, 5, 6, 7}, target.slice(0, 2).toArray());
        assertEquals(0, pass.read(target));
      }
    }
  }

  @Test
  void wrongUseIsRefused() {
    try (Arena arena = Arena.ofConfined()) {
      MatrixSamples source = new MatrixSamples("m", MatrixView.allocate(arena, 3, 2));
      assertThrows(IllegalArgumentException.class, () -> Dataset.of(source).first(0));
      assertThrows(IllegalArgumentException.class, () -> new SampleRange(source, 2, 2));
      assertThrows(IllegalArgumentException.class, () -> new SampleRange(source, -1, 2));
      assertThrows(IllegalArgumentException.class, () -> source.open().read(MatrixView.allocate(arena, 1, 3)));
    }
  }
}
