package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AugmentationTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "noise:0.5", "noise:1.25:samples=300"})
  void isWrittenAsItIsRead(String text) {
    assertEquals(text, Augmentation.parse(text).toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "noise", "noise:0", "noise:-1", "noise:101", "noise:1:samples=0", "noise:1e2", "None",
      "noise:1:samples=1000000000"})
  void othersAreRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> Augmentation.parse(text));
  }

  @ParameterizedTest
  @CsvSource({"1, 0", "2, 49", "3, 33", "24, 4", "25, 0", "26, 0", "100, 0"})
  void fewSamplesGetCopies(long samples, long copies) {
    assertEquals(copies, new Augmentation(0.5, 100).copies(samples));
    assertEquals(0, Augmentation.NONE.copies(samples));
  }

  @Test
  void manySamplesStayAsTheyAre() throws IOException {
    Dataset data = Dataset.of(new MatrixSamples("m", MatrixView.of(arena, 2, 1, 3, 4)));
    assertSame(data, new Augmentation(0.5, 8).of(data, 1, arena));
    assertSame(data, Augmentation.NONE.of(data, 1, arena));
  }

  /// The samples come first, as they are; their labels come again and again; every pass and batch size has the same
  /// copies, and another seed has others.
  @Test
  void copiesFollowTheSamples() throws IOException {
    MatrixView rows = MatrixView.of(arena, 3, 2, 1, 2, 3, 4, 5, 7);
    Dataset data = Dataset.of(new MatrixSamples("m", rows),
        new MatrixSamples("labels", MatrixView.of(arena, 3, 1, 0, 1, 2)));
    Dataset copied = new Augmentation(0.5, 13).of(data, 8, arena);
    float[] once = read(copied.samples(), 15);
    assertEquals(15 * 2, once.length);
    for (int i = 0; i < 6; i++) {
      assertEquals(rows.toArray()[i], once[i]);
    }
    assertArrayEquals(new float[]{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}, read(copied.labels().orElseThrow(), 5));
    for (int batch : new int[]{1, 2, 5, 7}) {
      assertArrayEquals(once, read(copied.samples(), batch));
    }
    float[] other = read(new Augmentation(0.5, 13).of(data, 9, arena).samples(), 15);
    assertFalse(Arrays.equals(once, other));
  }

  /// Of mean 0 and C² times the covariance, within five standard errors; what never varies gets none.
  @Test
  void theNoiseVariesAsTheSamplesDo() throws IOException {
    int count = 50;
    MatrixView rows = MatrixView.allocate(arena, count, 3);
    Random random = new Random(5);
    double[] sums = new double[5];
    for (int n = 0; n < count; n++) {
      double x = random.nextGaussian();
      double y = 2 * x + random.nextGaussian();
      rows.set(n, 0, (float) x);
      rows.set(n, 1, (float) y);
      rows.set(n, 2, 6);
      double[] terms = {x, y, x * x, x * y, y * y};
      for (int i = 0; i < terms.length; i++) {
        sums[i] += terms[i] / (count - 1); // of two different rows: the unbiased covariance
      }
    }
    double c = 0.5;
    SampleSource copied = new Augmentation(c, 20_000).of(Dataset.of(new MatrixSamples("m", rows)), 3, arena).samples();
    float[] all = read(copied, 1000);
    int copies = all.length / 3 - count;
    double[] mean = new double[5];
    double[] square = new double[5];
    for (int n = count; n < count + copies; n++) {
      double x = all[3 * n] - rows.get(n % count, 0);
      double y = all[3 * n + 1] - rows.get(n % count, 1);
      assertEquals(6, all[3 * n + 2]);
      double[] terms = {x, y, x * x, x * y, y * y};
      for (int i = 0; i < terms.length; i++) {
        mean[i] += terms[i] / copies;
        square[i] += terms[i] * terms[i] / copies;
      }
    }
    double scale = (count - 1.0) / count;
    double[] expected = {0, 0, c * c * (sums[2] - scale * sums[0] * sums[0]),
        c * c * (sums[3] - scale * sums[0] * sums[1]), c * c * (sums[4] - scale * sums[1] * sums[1])};
    for (int i = 0; i < expected.length; i++) {
      double error = Math.sqrt((square[i] - mean[i] * mean[i]) / copies);
      assertEquals(expected[i], mean[i], 5 * error, "moment " + i);
    }
  }

  private float[] read(SampleSource source, int batch) throws IOException {
    float[] all = new float[Math.toIntExact(source.samples() * source.width())];
    MatrixView target = MatrixView.allocate(arena, batch, source.width());
    int done = 0;
    try (SampleSource.Pass pass = source.open()) {
      for (int rows = pass.read(target); rows > 0; rows = pass.read(target)) {
        float[] some = target.slice(0, rows).toArray();
        System.arraycopy(some, 0, all, done, some.length);
        done += some.length;
      }
    }
    assertEquals(all.length, done);
    return all;
  }
}
