package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class EveryNthTest {
  @ParameterizedTest
  @CsvSource({"2, 2", "2, 5", "3, 3", "5, 5", "5, 9", "5, 10", "5, 23"})
  void dividesTheSamplesInTwo(int n, int samples) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView rows = MatrixView.allocate(arena, samples, 2);
      MatrixView labels = MatrixView.allocate(arena, samples, 1);
      for (int i = 0; i < samples; i++) {
        rows.set(i, 0, i);
        rows.set(i, 1, 100 + i);
        labels.set(i, 0, i);
      }
      Dataset.Split split = Dataset.of(new MatrixSamples("m", rows), new MatrixSamples("l", labels)).holdOut(n);
      assertEquals("1 in %d samples of m".formatted(n), split.heldOut().samples().name());
      for (boolean held : new boolean[]{false, true}) {
        Dataset part = held ? split.heldOut() : split.used();
        int[] expected = IntStream.range(0, samples).filter(i -> (i % n == n - 1) == held).toArray();
        assertEquals(expected.length, part.samples().samples());
        for (int batch : new int[]{1, 2, 3, 4, 7, 100}) {
          List<Integer> read = new ArrayList<>();
          try (Batches batches = new Batches(part, batch)) {
            while (batches.next()) {
              for (int i = 0; i < batches.samples().rows(); i++) {
                assertEquals(100 + batches.samples().get(i, 0), batches.samples().get(i, 1));
                assertEquals(batches.samples().get(i, 0), batches.labels().get(i, 0));
                read.add((int) batches.samples().get(i, 0));
              }
            }
          }
          assertArrayEquals(expected, read.stream().mapToInt(i -> i).toArray());
        }
      }
    }
  }

  @Test
  void tooFewSamplesAreRefused() {
    try (Arena arena = Arena.ofConfined()) {
      Dataset few = Dataset.of(new MatrixSamples("m", MatrixView.allocate(arena, 4, 2)));
      assertEquals("m has 4 samples: too few to hold out one of every 5",
          assertThrows(MismatchException.class, () -> few.holdOut(5)).getMessage());
      assertThrows(IllegalArgumentException.class, () -> few.holdOut(1));
    }
  }
}
