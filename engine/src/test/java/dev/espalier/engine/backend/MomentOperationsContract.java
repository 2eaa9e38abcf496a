package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.TestBackend.ExpectedSums;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/// [MomentOperations], each against loops in double written here.
public interface MomentOperationsContract {
  /// The backend of a test.
  TestBackend on();

  private MomentOperations moments() {
    return on().backend().moments();
  }

  @ForShapes
  default void takesColumnMeans(int rows, int columns, int more) {
    checkColumnMeans(rows, columns);
    checkColumnMeans(more, rows);
  }

  private void checkColumnMeans(int rows, int columns) {
    float[] x = on().normal(rows * columns);
    Matrix means = on().upload(1, columns, on().normal(columns));
    moments().columnMeans(on().upload(rows, columns, x), means);
    ExpectedSums sums = on().sums(columns);
    for (int i = 0; i < x.length; i++) {
      sums.add(i % columns, (double) x[i] / rows);
    }
    sums.check("means", means);
  }

  @ForShapes
  default void addsColumnSumsOfSquares(int rows, int columns, int more) {
    checkColumnSquares(rows, columns);
    checkColumnSquares(more, rows);
  }

  private void checkColumnSquares(int rows, int columns) {
    float[] x = on().normal(rows * columns);
    float[] before = on().positive(columns);
    Matrix squares = on().upload(1, columns, before);
    Matrix batch = on().upload(rows + 1, columns, Arrays.copyOf(x, (rows + 1) * columns));
    moments().addColumnSquares(batch.slice(0, rows), squares);
    ExpectedSums sums = on().sums(columns);
    for (int j = 0; j < columns; j++) {
      sums.add(j, before[j]);
    }
    for (int i = 0; i < x.length; i++) {
      sums.add(i % columns, (double) x[i] * x[i]);
    }
    sums.check("squares", squares);
  }

  @ForShapes
  default void addsMoments(int samples, int outputs, int inputs) {
    float[] s = on().positive(samples * outputs);
    float[] a = on().normal(samples * inputs);
    float[] c = on().normal(inputs);
    float[] m0 = on().positive(outputs);
    float[] m1 = on().normal(outputs * inputs);
    float[] m2 = on().positive(outputs * inputs);
    Matrix zeroth = on().upload(1, outputs, m0);
    Matrix first = on().upload(outputs, inputs, m1);
    Matrix second = on().upload(outputs, inputs, m2);
    moments().addMoments(on().upload(samples, outputs, s), on().upload(samples, inputs, a), on().upload(1, inputs, c),
        zeroth, first, second);
    ExpectedSums sums0 = on().sums(outputs);
    ExpectedSums sums1 = on().sums(outputs * inputs);
    ExpectedSums sums2 = on().sums(outputs * inputs);
    for (int i = 0; i < outputs; i++) {
      sums0.add(i, m0[i]);
      for (int n = 0; n < samples; n++) {
        sums0.add(i, s[n * outputs + i]);
      }
      for (int j = 0; j < inputs; j++) {
        sums1.add(i * inputs + j, m1[i * inputs + j]);
        sums2.add(i * inputs + j, m2[i * inputs + j]);
        for (int n = 0; n < samples; n++) {
          // The difference may cancel: its rounding is relative to what was subtracted.
          double x = (double) a[n * inputs + j] - c[j];
          double size = Math.abs(a[n * inputs + j]) + Math.abs(c[j]);
          sums1.add(i * inputs + j, s[n * outputs + i] * x);
          sums1.allow(i * inputs + j, s[n * outputs + i] * size);
          sums2.add(i * inputs + j, s[n * outputs + i] * x * x);
          sums2.allow(i * inputs + j, 2 * s[n * outputs + i] * Math.abs(x) * size);
        }
      }
    }
    sums0.check("M0", zeroth);
    sums1.check("M1", first);
    sums2.check("M2", second);
  }

  /// Variances are 0, the whole of M2, or of a dead neuron.
  @ForShapes
  default void findsCancelledVariances(int outputs, int inputs, int unused) {
    float[] w = on().normal(outputs * inputs);
    float[] m0 = on().positive(outputs);
    float[] m1 = on().normal(outputs * inputs);
    float[] m2 = on().positive(outputs * inputs);
    ExpectedSums expected = on().sums(inputs);
    double[] largest = new double[inputs];
    for (int i = 0; i < outputs; i++) {
      m0[i] = i % 5 == 3 ? 0 : m0[i] + 1;
      for (int j = 0; j < inputs; j++) {
        int at = i * inputs + j;
        boolean cancels = (i + j) % 3 == 0 && m0[i] > 0;
        m1[at] = (i + j) % 3 == 0 ? m1[at] + 2 : 0;
        m2[at] = cancels ? m1[at] * m1[at] / m0[i] : m2[at];
        largest[j] = cancels ? Math.max(largest[j], (double) w[at] * w[at] * m2[at]) : largest[j];
      }
    }
    for (int j = 0; j < inputs; j++) {
      expected.add(j, 2, largest[j]);
    }
    Matrix found = on().upload(1, inputs, on().normal(inputs));
    moments().cancelled(on().upload(outputs, inputs, w), on().upload(1, outputs, m0), on().upload(outputs, inputs, m1),
        on().upload(outputs, inputs, m2), 1e-3, found);
    expected.check("cancelled", found);
    assertTrue(moments().roundoff() >= 0x1p-53 && moments().roundoff() <= 0x1p-8);
  }

  @Test
  default void turnsMomentsIntoScores() {
    int outputs = 9;
    int inputs = 31;
    int samples = 50;
    float[] w = on().normal(outputs * inputs);
    float[] m0 = on().positive(outputs);
    float[] m1 = on().normal(outputs * inputs);
    float[] m2 = on().positive(outputs * inputs);
    for (int at = 0; at < m2.length; at++) {
      m2[at] += m1[at] * m1[at] / m0[at / inputs];
    }
    m2[5] = 0; // rounding can make the variance negative: clamped
    m1[5] = 1e-3f;
    Arrays.fill(m1, 2 * inputs, 3 * inputs, 0);
    Arrays.fill(m2, 2 * inputs, 3 * inputs, 0);
    m0[2] = 0; // dead neuron
    float[] c = on().normal(inputs);
    Matrix compensation = on().upload(outputs, inputs, m1);
    Matrix importance = on().upload(outputs, inputs, m2);
    moments().eliminationScores(on().upload(outputs, inputs, w), on().upload(1, outputs, m0), compensation, importance,
        on().upload(1, inputs, c), samples);
    ExpectedSums expectedImportance = on().sums(m2.length);
    ExpectedSums expectedCompensation = on().sums(m2.length);
    for (int at = 0; at < m2.length; at++) {
      double total = m0[at / inputs];
      double weight = w[at];
      if (total > 0 && at != 5) {
        expectedImportance.add(at, weight * weight * m2[at] / samples);
        expectedImportance.add(at, -weight * weight * m1[at] * m1[at] / total / samples);
      }
      if (total > 0) {
        expectedCompensation.add(at, weight * c[at % inputs]);
        expectedCompensation.add(at, weight * m1[at] / total);
      }
    }
    expectedImportance.check("importance", importance);
    expectedCompensation.check("compensation", compensation);
    assertEquals(0, on().download(importance)[5]);
  }

  @ForShapes
  default void multipliesAbsolutely(int rows, int columns, int unused) {
    float[] w = on().normal(rows * columns);
    float[] row = on().normal(columns);
    float[] full = on().normal(rows * columns);
    Matrix weights = on().upload(rows, columns, w);
    Matrix byRow = on().zeros(rows, columns);
    moments().absoluteProduct(1, weights, on().upload(1, columns, row), byRow);
    Matrix elementwise = on().upload(rows, columns, full);
    moments().absoluteProduct(0.3, weights, elementwise, elementwise);
    ExpectedSums expectedByRow = on().sums(w.length);
    ExpectedSums expectedElementwise = on().sums(w.length);
    for (int i = 0; i < w.length; i++) {
      expectedByRow.add(i, Math.abs((double) w[i] * row[i % columns]));
      expectedElementwise.add(i, Math.abs(0.3 * w[i] * full[i]));
    }
    expectedByRow.check("by row", byRow);
    expectedElementwise.check("elementwise", elementwise);
  }

  @ForShapes
  default void addsAnOuterProduct(int rows, int columns, int unused) {
    float[] s = on().normal(rows * columns);
    float[] u = on().normal(rows);
    float[] v = on().normal(columns);
    Matrix sums = on().upload(rows, columns, s);
    moments().addOuterProduct(0.8, sums, 0.3, on().upload(1, rows, u), on().upload(1, columns, v));
    ExpectedSums expected = on().sums(s.length);
    for (int i = 0; i < s.length; i++) {
      expected.add(i, 0.8 * s[i]);
      expected.add(i, 0.3 * u[i / columns] * v[i % columns]);
    }
    expected.check("sums", sums);
  }

  @ForShapes
  default void writesTheSameUniformNumbersEverywhere(int rows, int columns, int unused) {
    Matrix uniform = on().zeros(rows, columns);
    moments().uniform(uniform, 42, 3);
    float[] values = on().download(uniform);
    for (int i = 0; i < values.length; i++) {
      assertEquals(CounterRandom.uniform(42, 3, i), values[i], "element " + i);
    }
  }
}
