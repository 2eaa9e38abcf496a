package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.espalier.bindings.MatrixView;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What every backend must compute, each primitive against loops in double written here. Tolerances are derived: n terms
/// summed at unit roundoff u may be off by n·u·Σ|term|, and a result is rounded to float32 when it is downloaded.
abstract class BackendContract {
  private static final double FLOAT_ROUNDOFF = 0x1p-24;

  /// Bound on the relative error of an activation or its derivative beyond a unit in the last place of its argument.
  private static final double ACTIVATION_ULPS = 8;

  private final RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(7);
  private final Arena arena = Arena.ofConfined();
  private Backend backend;

  abstract Backend open();

  /// u of the backend's arithmetic.
  abstract double unitRoundoff();

  @BeforeEach
  void openBackend() {
    backend = open();
  }

  @AfterEach
  void closeBackend() {
    backend.close();
    arena.close();
  }

  /// Sizes that straddle vector lanes and tiles, and some that are cut into tiles.
  static Stream<Arguments> shapes() {
    return Stream.of(Arguments.of(1, 1, 1), Arguments.of(1, 7, 9), Arguments.of(8, 9, 31), Arguments.of(33, 31, 7),
        Arguments.of(65, 33, 8), Arguments.of(9, 1, 33), Arguments.of(130, 300, 140), Arguments.of(70, 60, 520),
        Arguments.of(120, 9, 2048));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 8, 9, 31, 33})
  void returnsWhatWasUploaded(int size) {
    float[] values = normal(size * (size + 1));
    Matrix matrix = upload(size, size + 1, values);
    assertArrayEquals(values, download(matrix));
    if (size > 2) {
      assertArrayEquals(Arrays.copyOfRange(values, size + 1, 3 * (size + 1)), download(backend.rows(matrix, 1, 2)));
    }
  }

  @Test
  void allocatesZeros() {
    assertArrayEquals(new float[33], download(backend.allocate(3, 11)));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void multiplies(int m, int n, int k) {
    for (boolean transposeA : new boolean[]{false, true}) {
      for (boolean transposeB : new boolean[]{false, true}) {
        for (double beta : new double[]{0, -0.5}) {
          float[] a = normal(m * k);
          float[] b = normal(k * n);
          float[] before = normal(m * n);
          Matrix c = upload(m, n, beta == 0 ? filled(m * n, Float.NaN) : before);
          backend.product(2, transposeA ? upload(k, m, transpose(a, m, k)) : upload(m, k, a), transposeA,
              transposeB ? upload(n, k, transpose(b, k, n)) : upload(k, n, b), transposeB, beta, c);
          Sums sums = new Sums(m * n);
          for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
              sums.add(i * n + j, beta * before[i * n + j]);
              for (int l = 0; l < k; l++) {
                sums.add(i * n + j, 2.0 * a[i * k + l] * b[l * n + j]);
              }
            }
          }
          sums.check("product", c);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Activation.class)
  void runsALayerForward(Activation activation) {
    int samples = 9;
    int inputs = 33;
    int outputs = 7;
    float[] x = normal(samples * inputs);
    float[] w = normal(outputs * inputs);
    float[] b = normal(outputs);
    Matrix z = backend.allocate(samples, outputs);
    Matrix a = backend.allocate(samples, outputs);
    backend.denseForward(upload(samples, inputs, x), upload(outputs, inputs, w), upload(1, outputs, b), activation, z,
        a);
    Sums sums = new Sums(samples * outputs);
    for (int n = 0; n < samples; n++) {
      for (int i = 0; i < outputs; i++) {
        sums.add(n * outputs + i, b[i]);
        for (int j = 0; j < inputs; j++) {
          sums.add(n * outputs + i, (double) x[n * inputs + j] * w[i * inputs + j]);
        }
      }
    }
    sums.check("z", z);
    checkActivation(activation, samples, outputs, download(z), download(a));
  }

  /// Given the z that the backend found, so that only φ itself is judged.
  private void checkActivation(Activation activation, int samples, int outputs, float[] z, float[] a) {
    for (int n = 0; n < samples; n++) {
      double[] expected = activated(activation, Arrays.copyOfRange(z, n * outputs, (n + 1) * outputs));
      for (int i = 0; i < outputs; i++) {
        double zi = z[n * outputs + i];
        double tolerance = ACTIVATION_ULPS * (FLOAT_ROUNDOFF + unitRoundoff())
            * (Math.abs(expected[i]) * (1 + Math.abs(zi)) + FLOAT_ROUNDOFF);
        assertEquals(expected[i], a[n * outputs + i], tolerance, "%s(%s)".formatted(activation, zi));
      }
    }
  }

  private static double[] activated(Activation activation, float[] z) {
    if (activation.isElementwise()) {
      return IntStream.range(0, z.length).mapToDouble(i -> activation.value(z[i])).toArray();
    }
    double sum = IntStream.range(0, z.length).mapToDouble(i -> Math.exp(z[i])).sum();
    return IntStream.range(0, z.length).mapToDouble(i -> Math.exp(z[i]) / sum).toArray();
  }

  @ParameterizedTest
  @EnumSource(Activation.class)
  void takesStackedGradientsBackThroughAnActivation(Activation activation) {
    int samples = 5;
    int copies = 3;
    int outputs = 9;
    float[] z = normal(samples * outputs);
    Matrix preActivation = upload(samples, outputs, z);
    float[] a = new float[z.length];
    for (int n = 0; n < samples; n++) {
      double[] row = activated(activation, Arrays.copyOfRange(z, n * outputs, (n + 1) * outputs));
      for (int i = 0; i < outputs; i++) {
        a[n * outputs + i] = (float) row[i];
      }
    }
    float[] u = normal(copies * samples * outputs);
    Matrix upstream = upload(copies * samples, outputs, u);
    backend.activationBackward(activation, preActivation, upload(samples, outputs, a), upstream, upstream);
    Sums sums = new Sums(u.length);
    for (int row = 0; row < copies * samples; row++) {
      int n = row % samples;
      for (int i = 0; i < outputs; i++) {
        int at = row * outputs + i;
        if (activation.isElementwise()) {
          sums.add(at, ACTIVATION_ULPS, u[at] * activation.derivative(z[n * outputs + i]));
          sums.allow(at, u[at]); // the derivative may be a difference of terms around 1
        } else {
          double p = a[n * outputs + i];
          sums.add(at, p * u[at]);
          for (int k = 0; k < outputs; k++) {
            sums.add(at, -p * a[n * outputs + k] * u[row * outputs + k]);
          }
        }
      }
    }
    sums.check("gradient through " + activation, upstream);
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void takesStackedGradientsBackThroughALayer(int samples, int outputs, int above) {
    int copies = 2;
    float[] h = normal(copies * samples * above);
    float[] v = normal(above * outputs);
    float[] z = normal(samples * outputs);
    float[] a = new float[z.length];
    for (int i = 0; i < z.length; i++) {
      a[i] = (float) Math.tanh(z[i]);
    }
    Matrix gradient = backend.allocate(copies * samples, outputs);
    Matrix gradientAbove = upload(copies * samples, above, h);
    Matrix weightsAbove = upload(above, outputs, v);
    Matrix preActivation = upload(samples, outputs, z);
    Matrix activated = upload(samples, outputs, a);
    backend.denseBackward(gradientAbove, weightsAbove, Activation.TANH, preActivation, activated, gradient);
    Sums sums = new Sums(copies * samples * outputs);
    for (int row = 0; row < copies * samples; row++) {
      for (int i = 0; i < outputs; i++) {
        double derivative = Activation.TANH.derivative(z[row % samples * outputs + i]);
        for (int k = 0; k < above; k++) {
          sums.add(row * outputs + i, ACTIVATION_ULPS / derivative,
              h[row * above + k] * (double) v[k * outputs + i] * derivative);
        }
      }
    }
    sums.check("gradient", gradient);

    Matrix again = backend.allocate(copies * samples, outputs);
    float[] before = positive(samples * outputs);
    Matrix s = upload(samples, outputs, before);
    backend.denseBackward(gradientAbove, weightsAbove, Activation.TANH, preActivation, activated, again, 0.25, s);
    sums.check("gradient with squares", again);
    // What is squared need not have been rounded to float32, as what is downloaded was.
    checkSquares(before, 0.25, download(again), 2 * FLOAT_ROUNDOFF / unitRoundoff(), s);

    Matrix alone = upload(samples, outputs, before);
    backend.addSquaredGradient(gradientAbove, weightsAbove, Activation.TANH, preActivation, activated,
        backend.allocate(copies * samples, outputs), 0.25, alone);
    Sums squares = new Sums(samples * outputs);
    for (int at = 0; at < samples * outputs; at++) {
      squares.add(at, before[at]);
      for (int copy = at; copy < copies * samples * outputs; copy += samples * outputs) {
        double g = sums.values[copy];
        double error = sums.tolerance(copy);
        squares.add(at, 0.25 * g * g);
        squares.allow(at, 0.25 * (2 * Math.abs(g) + error) * error / unitRoundoff());
      }
    }
    squares.check("squares alone", alone);
  }

  @Test
  void takesGradientsBackThroughTheWeightsAsTheyAre() {
    int samples = 9;
    int outputs = 33;
    int above = 7;
    Matrix gradientAbove = upload(samples, above, normal(samples * above));
    Matrix z = upload(samples, outputs, normal(samples * outputs));
    Matrix weights = upload(above + 2, outputs, normal((above + 2) * outputs));
    for (int first = 0; first < 3; first++) {
      Matrix rows = backend.rows(weights, first, above);
      backend.denseBackward(gradientAbove, rows, Activation.RELU, z, z, backend.allocate(samples, outputs));
      float[] changed = normal(above * outputs);
      backend.upload(new MatrixView(arena.allocateFrom(MatrixView.ELEMENT, changed), above, outputs), rows);
      Matrix expected = backend.allocate(samples, outputs);
      backend.denseBackward(gradientAbove, upload(above, outputs, changed), Activation.RELU, z, z, expected);
      Matrix found = backend.allocate(samples, outputs);
      backend.denseBackward(gradientAbove, rows, Activation.RELU, z, z, found);
      assertArrayEquals(download(expected), download(found), "rows from " + first + " on");
    }
  }

  /// That s = before + scale Σ over copies of g², where each g² may be off by `ulps` roundings.
  private void checkSquares(float[] before, double scale, float[] g, double ulps, Matrix s) {
    Sums sums = new Sums(before.length);
    for (int i = 0; i < before.length; i++) {
      sums.add(i, before[i]);
      for (int at = i; at < g.length; at += before.length) {
        sums.add(i, ulps, scale * g[at] * g[at]);
      }
    }
    sums.check("sensitivity", s);
  }

  @Test
  void addsSquaresOverCopies() {
    int samples = 7;
    int outputs = 9;
    int copies = 4;
    float[] g = normal(copies * samples * outputs);
    float[] before = positive(samples * outputs);
    Matrix s = upload(samples, outputs, before);
    backend.addSquares(0.25, upload(copies * samples, outputs, g), s);
    checkSquares(before, 0.25, g, 0, s);
  }

  @Test
  void writesUnitVectors() {
    Matrix upstream = upload(6, 4, normal(24));
    backend.unitVectors(upstream, 3, 2);
    float[] actual = download(upstream);
    for (int row = 0; row < 6; row++) {
      for (int k = 0; k < 4; k++) {
        assertEquals(k == 2 + row / 3 ? 1 : 0, actual[row * 4 + k]);
      }
    }
  }

  @Test
  void writesTheSameRandomNumbersEverywhere() {
    Matrix upstream = backend.allocate(6, 130);
    backend.rademacherVectors(upstream, 2, 5, 1000, 42);
    float[] signs = download(upstream);
    for (int row = 0; row < 6; row++) {
      for (int k = 0; k < 130; k++) {
        assertEquals(CounterRandom.sign(42, 5 + row / 2, 1000 + row % 2, k, 130), signs[row * 130 + k]);
      }
    }
    Matrix uniform = backend.allocate(9, 31);
    backend.uniform(uniform, 42, 3);
    float[] values = download(uniform);
    for (int i = 0; i < values.length; i++) {
      assertEquals(CounterRandom.uniform(42, 3, i), values[i]);
    }
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void takesColumnMeans(int rows, int columns, int unused) {
    float[] x = normal(rows * columns);
    Matrix means = upload(1, columns, normal(columns));
    backend.columnMeans(upload(rows, columns, x), means);
    Sums sums = new Sums(columns);
    for (int i = 0; i < x.length; i++) {
      sums.add(i % columns, (double) x[i] / rows);
    }
    sums.check("means", means);
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void addsMoments(int samples, int outputs, int inputs) {
    float[] s = positive(samples * outputs);
    float[] a = normal(samples * inputs);
    float[] c = normal(inputs);
    float[] m0 = positive(outputs);
    float[] m1 = normal(outputs * inputs);
    float[] m2 = positive(outputs * inputs);
    Matrix zeroth = upload(1, outputs, m0);
    Matrix first = upload(outputs, inputs, m1);
    Matrix second = upload(outputs, inputs, m2);
    backend.addMoments(upload(samples, outputs, s), upload(samples, inputs, a), upload(1, inputs, c), zeroth, first,
        second);
    Sums sums0 = new Sums(outputs);
    Sums sums1 = new Sums(outputs * inputs);
    Sums sums2 = new Sums(outputs * inputs);
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

  @Test
  void shiftsMoments() {
    assumeFalse(backend instanceof CudaBackend, "the GPU's kernel for it is gone");
    int outputs = 7;
    int inputs = 9;
    float[] m0 = positive(outputs);
    float[] m1 = normal(outputs * inputs);
    float[] m2 = positive(outputs * inputs);
    float[] from = normal(inputs);
    float[] to = normal(inputs);
    Matrix first = upload(outputs, inputs, m1);
    Matrix second = upload(outputs, inputs, m2);
    backend.shiftMoments(upload(1, outputs, m0), first, second, upload(1, inputs, from), upload(1, inputs, to));
    Sums sums1 = new Sums(outputs * inputs);
    Sums sums2 = new Sums(outputs * inputs);
    for (int at = 0; at < outputs * inputs; at++) {
      double d = (double) from[at % inputs] - to[at % inputs];
      double size = Math.abs(from[at % inputs]) + Math.abs(to[at % inputs]);
      sums1.add(at, m1[at]);
      sums1.add(at, d * m0[at / inputs]);
      sums1.allow(at, size * m0[at / inputs]);
      sums2.add(at, m2[at]);
      sums2.add(at, 2 * d * m1[at]);
      sums2.add(at, d * d * m0[at / inputs]);
      sums2.allow(at, size * (2 * Math.abs(m1[at]) + 2 * size * m0[at / inputs]));
    }
    sums1.check("M1", first);
    sums2.check("M2", second);
  }

  @Test
  void addsMatrices() {
    float[] x = normal(33);
    float[] y = normal(33);
    Matrix sum = upload(3, 11, y);
    backend.add(-0.5, upload(3, 11, x), sum);
    Sums sums = new Sums(33);
    for (int i = 0; i < 33; i++) {
      sums.add(i, y[i]);
      sums.add(i, -0.5 * x[i]);
    }
    sums.check("sum", sum);
    backend.clear(sum);
    assertArrayEquals(new float[33], download(sum));
  }

  @Test
  void turnsMomentsIntoScores() {
    int outputs = 9;
    int inputs = 31;
    int samples = 50;
    float[] w = normal(outputs * inputs);
    float[] m0 = positive(outputs);
    float[] m1 = normal(outputs * inputs);
    float[] m2 = new float[outputs * inputs];
    for (int at = 0; at < m2.length; at++) {
      m2[at] = m1[at] * m1[at] / m0[at / inputs] + random.nextFloat();
    }
    m2[5] = 0; // rounding can make the variance negative: clamped
    m1[5] = 1e-3f;
    Arrays.fill(m1, 2 * inputs, 3 * inputs, 0);
    Arrays.fill(m2, 2 * inputs, 3 * inputs, 0);
    m0[2] = 0; // dead neuron
    float[] c = normal(inputs);
    Matrix compensation = upload(outputs, inputs, m1);
    Matrix importance = upload(outputs, inputs, m2);
    backend.eliminationScores(upload(outputs, inputs, w), upload(1, outputs, m0), compensation, importance,
        upload(1, inputs, c), samples);
    Sums expectedImportance = new Sums(m2.length);
    Sums expectedCompensation = new Sums(m2.length);
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
    assertEquals(0, download(importance)[5]);
  }

  @Test
  void multipliesAbsolutely() {
    float[] w = normal(33);
    float[] row = normal(11);
    float[] full = normal(33);
    Matrix weights = upload(3, 11, w);
    Matrix byRow = backend.allocate(3, 11);
    backend.absoluteProduct(weights, upload(1, 11, row), byRow);
    Matrix elementwise = upload(3, 11, full);
    backend.absoluteProduct(weights, elementwise, elementwise);
    Sums expectedByRow = new Sums(33);
    Sums expectedElementwise = new Sums(33);
    for (int i = 0; i < 33; i++) {
      expectedByRow.add(i, Math.abs((double) w[i] * row[i % 11]));
      expectedElementwise.add(i, Math.abs((double) w[i] * full[i]));
    }
    expectedByRow.check("by row", byRow);
    expectedElementwise.check("elementwise", elementwise);
  }

  @Test
  void ranksZerosFirstAndFindsTheFirstNonFiniteScore() {
    Matrix weights = upload(2, 3, 1, 0, -2, -0.0f, 4, 5);
    Matrix scores = upload(2, 3, 3, 2, 1, 7, 0, 5);
    assertEquals(-1, backend.rankZerosFirst(weights, scores));
    assertArrayEquals(new float[]{3, -1, 1, -1, 0, 5}, download(scores));
    assertEquals(4, backend.rankZerosFirst(weights, upload(2, 3, 3, 2, 1, 7, Float.NaN, Float.POSITIVE_INFINITY)));
    assertEquals(5, backend.rankZerosFirst(weights, upload(2, 3, 3, 2, 1, 7, 0, Float.NEGATIVE_INFINITY)));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 33, 300})
  void cutsExactlyAsManyAsAsked(int columns) {
    // Few distinct values, so that ties straddle layers.
    List<float[]> layers = List.of(ties(columns * 3), ties(columns), ties(columns * 2));
    int total = columns * 6;
    for (int count : new int[]{0, 1, total / 3, total / 2, total - 1, total}) {
      List<Matrix> scores = layers.stream().map(s -> upload(s.length / columns, columns, s)).toList();
      List<Cut> cuts = backend.cuts(scores, count);
      List<boolean[]> expected = leastByPosition(layers, count);
      for (int l = 0; l < layers.size(); l++) {
        int layer = l;
        assertEquals(IntStream.range(0, layers.get(l).length).filter(i -> expected.get(layer)[i]).count(),
            cuts.get(l).removed());
        Matrix weights = upload(scores.get(l).rows(), columns, filled(layers.get(l).length, 3));
        double sum = backend.eliminate(weights, scores.get(l), cuts.get(l));
        float[] left = download(weights);
        double expectedSum = 0;
        for (int i = 0; i < left.length; i++) {
          assertEquals(expected.get(l)[i] ? 0 : 3, left[i], "count %d, layer %d, index %d".formatted(count, l, i));
          expectedSum += expected.get(l)[i] ? Math.max(0, layers.get(l)[i]) : 0;
        }
        assertEquals(expectedSum, sum, columns * 3 * unitRoundoff() * expectedSum);
      }
    }
  }

  /// Brute force: sort all scores by score, layer, position.
  private static List<boolean[]> leastByPosition(List<float[]> layers, int count) {
    record Entry(float score, int layer, int index) {}
    List<Entry> all = new ArrayList<>();
    for (int l = 0; l < layers.size(); l++) {
      for (int i = 0; i < layers.get(l).length; i++) {
        all.add(new Entry(layers.get(l)[i], l, i));
      }
    }
    all.sort(Comparator.comparingDouble(Entry::score).thenComparingInt(Entry::layer).thenComparingInt(Entry::index));
    List<boolean[]> removed = layers.stream().map(layer -> new boolean[layer.length]).toList();
    all.subList(0, count).forEach(entry -> removed.get(entry.layer)[entry.index] = true);
    return removed;
  }

  @Test
  void removesTheLeastOfEachGroup() {
    float[] s = {4, 1, 3, 2, 5, 5, /* next row */ 1, 1, 1, 1, -1, 9};
    Matrix scores = upload(2, 6, s);
    assertEquals(4, backend.keepPerGroup(scores, 4, 2)); // 2:4, the narrow last group keeps both
    float inf = Float.POSITIVE_INFINITY;
    assertArrayEquals(new float[]{inf, 1, inf, 2, inf, inf, 1, 1, inf, inf, inf, inf}, download(scores));
    Matrix rows = upload(3, 4, ties(12));
    assertEquals(5, backend.keepPerGroup(rows, 4, 5.0 / 3)); // rounds to 2, 1, 2 of the rows
    float[] left = download(rows);
    int[] removed = new int[3];
    for (int i = 0; i < 12; i++) {
      removed[i / 4] += left[i] < inf ? 1 : 0;
    }
    assertArrayEquals(new int[]{2, 1, 2}, removed);
  }

  @Test
  void compensatesWhatACutRemoves() {
    Matrix bias = upload(1, 2, 10, 20);
    Matrix scores = upload(2, 3, 1, 2, 3, 2, 2, 0);
    Matrix compensation = upload(2, 3, 0.5f, 0.25f, 100, 1, 100, 4);
    backend.compensate(bias, scores, compensation, new Cut(2, 2, 2));
    assertArrayEquals(new float[]{10.75f, 25}, download(bias));
    backend.compensate(bias, scores, compensation, Cut.NOTHING);
    assertArrayEquals(new float[]{10.75f, 25}, download(bias));
  }

  @Test
  void computesCrossEntropy() {
    int samples = 7;
    int outputs = 9;
    float[] z = normal(samples * outputs);
    z[3] = 80; // overflows float32 unless the largest is subtracted first
    z[4] = 100;
    float[] t = positive(samples * outputs);
    Matrix gradient = backend.allocate(samples, outputs);
    Matrix losses = backend.allocate(samples, 1);
    backend.crossEntropy(upload(samples, outputs, z), upload(samples, outputs, t), gradient, losses);
    Sums expectedLosses = new Sums(samples);
    Sums expectedGradient = new Sums(samples * outputs);
    for (int n = 0; n < samples; n++) {
      int row = n * outputs;
      double max = IntStream.range(0, outputs).mapToDouble(k -> z[row + k]).max().orElseThrow();
      double sum = IntStream.range(0, outputs).mapToDouble(k -> Math.exp(z[row + k] - max)).sum();
      double mass = IntStream.range(0, outputs).mapToDouble(k -> t[row + k]).sum();
      for (int k = 0; k < outputs; k++) {
        expectedLosses.add(n, t[row + k] * (max + Math.log(sum) - z[row + k]));
        expectedLosses.allow(n, t[row + k] * (Math.abs(max) + Math.abs(z[row + k])));
        expectedGradient.add(row + k, ACTIVATION_ULPS * (1 + Math.abs(z[row + k] - max)),
            mass * Math.exp(z[row + k] - max) / sum);
        expectedGradient.add(row + k, -t[row + k]);
      }
    }
    expectedLosses.check("losses", losses);
    expectedGradient.check("gradient", gradient);
  }

  @Test
  void computesSquaredError() {
    float[] a = normal(21);
    float[] t = normal(21);
    Matrix gradient = backend.allocate(7, 3);
    Matrix losses = backend.allocate(7, 1);
    backend.squaredError(upload(7, 3, a), upload(7, 3, t), gradient, losses);
    Sums expectedLosses = new Sums(7);
    Sums expectedGradient = new Sums(21);
    for (int i = 0; i < 21; i++) {
      double difference = (double) a[i] - t[i];
      expectedLosses.add(i / 3, 2, difference * difference / 3);
      expectedGradient.add(i, 2 * difference / 3);
    }
    expectedLosses.check("losses", losses);
    expectedGradient.check("gradient", gradient);
  }

  @Test
  void stepsAdamAndKeepsZeros() {
    float[] p = {1, 0, -2, 0.5f};
    float[] g = {0.5f, 1, 0, -3};
    Adam adam = Adam.of(0.01);
    Matrix parameter = upload(1, 4, p);
    Matrix first = backend.allocate(1, 4);
    Matrix second = backend.allocate(1, 4);
    double[] expected = {1, 0, -2, 0.5};
    double[] m = new double[4];
    double[] v = new double[4];
    for (int step = 1; step <= 3; step++) {
      backend.adamStep(parameter, upload(1, 4, g), first, second, adam, step, true);
      for (int i = 0; i < 4; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
        double change = 0.01 * m[i] / (1 - Math.pow(0.9, step))
            / (Math.sqrt(v[i] / (1 - Math.pow(0.999, step))) + 1e-8);
        expected[i] -= expected[i] == 0 ? 0 : change;
      }
    }
    float[] actual = download(parameter);
    for (int i = 0; i < 4; i++) {
      assertEquals(expected[i], actual[i], 64 * (FLOAT_ROUNDOFF + unitRoundoff()) * (Math.abs(expected[i]) + 0.03));
    }
    assertEquals(0, actual[1]);
    backend.adamStep(parameter, upload(1, 4, g), first, second, adam, 4, false);
    assertTrue(download(parameter)[1] < 0);
  }

  @Test
  void countsTimeByPhase() {
    backend.enter(Phase.FORWARD);
    backend.enter(Phase.BACKWARD);
    assertTrue(backend.seconds().get(Phase.FORWARD) >= 0);
    assertTrue(backend.seconds().keySet().containsAll(List.of(Phase.FORWARD, Phase.BACKWARD)));
  }

  // ---- helpers ----

  /// Expected sums, with what rounding each term may cost.
  private final class Sums {
    private final double[] values;
    private final double[] magnitudes;
    private final int[] terms;

    Sums(int length) {
      values = new double[length];
      magnitudes = new double[length];
      terms = new int[length];
    }

    void add(int at, double term) {
      values[at] += term;
      magnitudes[at] += Math.abs(term);
      terms[at]++;
    }

    /// A term that is itself off by up to `ulps` roundings.
    void add(int at, double ulps, double term) {
      add(at, term);
      magnitudes[at] += ulps * Math.abs(term);
    }

    /// Allows one rounding of something as large as `magnitude` that is not a term.
    void allow(int at, double magnitude) {
      magnitudes[at] += Math.abs(magnitude);
    }

    void check(String what, Matrix actual) {
      float[] found = download(actual);
      for (int i = 0; i < values.length; i++) {
        if (!(Math.abs(found[i] - values[i]) <= tolerance(i))) {
          fail("%s, %d × %d, index %d: expected %s ± %s, found %s".formatted(what, actual.rows(), actual.columns(), i,
              values[i], tolerance(i), found[i]));
        }
      }
    }

    double tolerance(int at) {
      return (terms[at] + 4) * unitRoundoff() * magnitudes[at] + FLOAT_ROUNDOFF * Math.abs(values[at]) + 1e-44;
    }
  }

  private Matrix upload(int rows, int columns, float... values) {
    Matrix matrix = backend.allocate(rows, columns);
    backend.upload(MatrixView.of(arena, rows, columns, values), matrix);
    return matrix;
  }

  private float[] download(Matrix matrix) {
    MatrixView view = MatrixView.allocate(arena, matrix.rows(), matrix.columns());
    backend.download(matrix, view);
    return view.toArray();
  }

  private float[] normal(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  private float[] positive(int length) {
    float[] values = normal(length);
    for (int i = 0; i < length; i++) {
      values[i] = Math.abs(values[i]) + 0.01f;
    }
    return values;
  }

  private float[] ties(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = random.nextInt(-1, 5) * 0.5f;
    }
    return values;
  }

  private static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  private static float[] transpose(float[] matrix, int rows, int columns) {
    float[] transposed = new float[matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      transposed[i % columns * rows + i / columns] = matrix[i];
    }
    return transposed;
  }
}
