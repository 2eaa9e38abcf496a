package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class WeightedSamplesTest {
  private static final int SAMPLES = 150;

  private final Arena arena = Arena.ofConfined();
  private final MatrixView inputs = MatrixView.allocate(arena, SAMPLES, 3);
  private final MatrixView sensitivities = MatrixView.allocate(arena, SAMPLES, 2);

  @AfterEach
  void close() {
    arena.close();
  }

  private WeightedSamples samples() {
    for (int n = 0; n < SAMPLES; n++) {
      for (int j = 0; j < 3; j++) {
        inputs.set(n, j, 10 * n + j);
      }
      for (int i = 0; i < 2; i++) {
        sensitivities.set(n, i, (float) (n + i) * (n + i));
      }
    }
    return new WeightedSamples(new MatrixSamples("a", inputs), new MatrixSamples("s", sensitivities));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 63, 64, 65, 150, 200})
  void rootsStandBehindInputs(int batch) throws IOException {
    WeightedSamples samples = samples();
    assertEquals(5, samples.width());
    MatrixView rows = MatrixView.allocate(arena, batch, 5);
    try (SampleSource.Pass pass = samples.open()) {
      pass.skip(2, 5);
      int n = 2;
      for (int read = pass.read(rows); read > 0; read = pass.read(rows)) {
        for (int r = 0; r < read; r++, n++) {
          assertArrayEquals(new float[]{10f * n, 10f * n + 1, 10f * n + 2, n, n + 1}, rows.slice(r, 1).toArray());
        }
      }
      assertEquals(SAMPLES, n);
    }
  }

  @ParameterizedTest
  @ValueSource(floats = {-0.5f, Float.NaN, Float.POSITIVE_INFINITY})
  void noSquareIsRefusedByItsPlace(float value) {
    WeightedSamples samples = samples();
    sensitivities.set(70, 1, value);
    IOException refused = assertThrows(IOException.class, () -> {
      try (Batches batches = new Batches(Dataset.of(samples), 50)) {
        while (batches.next()) {
          assertEquals(50, batches.samples().rows());
        }
      }
    });
    assertEquals(
        "s is %s at [70, 1] (sample, output): sensitivities are squares, finite and not below 0".formatted(value),
        refused.getMessage());
  }

  @Test
  void otherNumbersOfSamplesAreRefused() {
    assertEquals("a has 150 samples, but s has 149", assertThrows(MismatchException.class,
        () -> new WeightedSamples(new MatrixSamples("a", inputs), new MatrixSamples("s", sensitivities.slice(1, 149))))
        .getMessage());
  }
}
