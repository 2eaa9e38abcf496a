package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.backend.reference.ReferenceValues;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class MomentsTest {
  private static final int SAMPLES = 60;
  private static final int OUTPUTS = 3;
  private static final int INPUTS = 4;

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  @Test
  void keepsItsAccuracyWhereTheMeanIsFarLargerThanTheSpread() {
    MatrixView s = sensitivity();
    MatrixView near = TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, INPUTS, 0.5, 0);
    MatrixView far = MatrixView.allocate(arena, SAMPLES, INPUTS);
    for (int n = 0; n < SAMPLES; n++) {
      for (int j = 0; j < INPUTS; j++) {
        near.set(n, j, Math.round(near.get(n, j) * 1024) / 1024f); // so that 1000 + near is exact in float32
        far.set(n, j, 1000 + near.get(n, j));
      }
    }
    double[] expected = importance(s, near, 7);
    double[] actual = importance(s, far, 7);
    for (int at = 0; at < expected.length; at++) {
      assertEquals(expected[at], actual[at], 1e-11 * expected[at]);
    }
  }

  @Test
  void doesNotDependOnBatchesOrTheOrderOfMerging() {
    MatrixView s = sensitivity();
    MatrixView a = TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, INPUTS, 1, 20);
    double[] whole = importance(s, a, SAMPLES);
    for (int batch : new int[]{1, 7, 59}) {
      assertClose(whole, importance(s, a, batch));
    }
    for (int seed = 0; seed < 5; seed++) {
      List<Moments> parts = new ArrayList<>();
      for (int first = 0; first < SAMPLES; first += 9) {
        Moments part = new Moments(backend, OUTPUTS, INPUTS, true);
        int rows = Math.min(9, SAMPLES - first);
        part.add(upload(s.slice(first, rows)), upload(a.slice(first, rows)));
        parts.add(part);
      }
      Collections.shuffle(parts, new Random(seed));
      Moments merged = new Moments(backend, OUTPUTS, INPUTS, true);
      parts.forEach(merged::merge);
      assertEquals(SAMPLES, merged.samples());
      assertClose(whole, importance(merged));
    }
  }

  @Test
  void refusesToMergeMomentsOfAnotherShape() {
    try (Moments a = new Moments(backend, 2, 3, true); Moments b = new Moments(backend, 3, 2, true)) {
      assertEquals("moments of a 3 × 2 layer do not merge with those of a 2 × 3 layer",
          assertThrows(IllegalArgumentException.class, () -> a.merge(b)).getMessage());
    }
  }

  private double[] importance(MatrixView s, MatrixView a, int batch) {
    Moments moments = new Moments(backend, OUTPUTS, INPUTS, true);
    for (int first = 0; first < SAMPLES; first += batch) {
      int rows = Math.min(batch, SAMPLES - first);
      moments.add(upload(s.slice(first, rows)), upload(a.slice(first, rows)));
    }
    return importance(moments);
  }

  private double[] importance(Moments moments) {
    float[] ones = new float[OUTPUTS * INPUTS];
    Arrays.fill(ones, 1);
    moments.toScores(upload(MatrixView.of(arena, OUTPUTS, INPUTS, ones)), true);
    return ReferenceValues.of(backend, moments.importance());
  }

  private MatrixView sensitivity() {
    MatrixView s = TestNetworks.normal(arena, TestNetworks.random(1), SAMPLES, OUTPUTS, 1, 0);
    for (int n = 0; n < SAMPLES; n++) {
      for (int i = 0; i < OUTPUTS; i++) {
        s.set(n, i, s.get(n, i) * s.get(n, i));
      }
    }
    return s;
  }

  private Matrix upload(MatrixView view) {
    Matrix matrix = backend.allocate(view.rows(), view.columns());
    backend.upload(view, matrix);
    return matrix;
  }

  private static void assertClose(double[] expected, double[] actual) {
    for (int at = 0; at < expected.length; at++) {
      assertEquals(expected[at], actual[at], 1e-12 * Math.max(1, expected[at]));
    }
  }
}
