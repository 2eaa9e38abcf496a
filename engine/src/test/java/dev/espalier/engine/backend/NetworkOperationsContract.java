package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.TestBackend.ACTIVATION_ULPS;
import static dev.espalier.engine.backend.TestBackend.FLOAT_ROUNDOFF;
import static dev.espalier.engine.backend.TestBackend.filled;
import static dev.espalier.engine.backend.TestBackend.transpose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.TestBackend.ExpectedSums;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// [NetworkOperations], each against loops in double written here.
public interface NetworkOperationsContract {
  /// The backend of a test.
  TestBackend on();

  private NetworkOperations network() {
    return on().backend().network();
  }

  // ---- products and forward passes ----

  @ForShapes
  default void multiplies(int m, int n, int k) {
    for (boolean transposeA : new boolean[]{false, true}) {
      for (boolean transposeB : new boolean[]{false, true}) {
        for (double beta : new double[]{0, -0.5}) {
          float[] a = on().normal(m * k);
          float[] b = on().normal(k * n);
          float[] before = on().normal(m * n);
          Matrix c = on().upload(m, n, beta == 0 ? filled(m * n, Float.NaN) : before);
          network().product(2, transposeA ? on().upload(k, m, transpose(a, m, k)) : on().upload(m, k, a), transposeA,
              transposeB ? on().upload(n, k, transpose(b, k, n)) : on().upload(k, n, b), transposeB, beta, c);
          ExpectedSums sums = on().sums(m * n);
          for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
              int row = i;
              int column = j;
              sums.add(i * n + j, beta * before[i * n + j]);
              sums.add(i * n + j, 0, k, l -> 2.0 * a[row * k + l] * b[l * n + column]);
            }
          }
          sums.check("product", c);
        }
      }
    }
  }

  /// Odd widths, so that no slice is aligned like its matrix.
  @Test
  default void computesWithSlices() {
    int samples = 9;
    int inputs = 31;
    int outputs = 7;
    float[] x = on().normal((samples + 2) * inputs);
    float[] w = on().normal((outputs + 2) * inputs);
    float[] b = on().normal(3 * outputs);
    float[] before = on().normal((samples + 2) * outputs);
    Matrix z = on().upload(samples + 2, outputs, before);
    Matrix bias = on().upload(3, outputs, b).slice(1, 1);
    Matrix a = on().upload(samples + 2, outputs, before);
    network().denseForward(on().upload(samples + 2, inputs, x).slice(1, samples),
        on().upload(outputs + 2, inputs, w).slice(1, outputs), bias, Activation.IDENTITY, z.slice(1, samples),
        a.slice(1, samples));
    network().add(-1, bias, z.slice(0, 1));
    ExpectedSums sums = on().sums(before.length);
    for (int n = 0; n < samples + 2; n++) {
      for (int i = 0; i < outputs; i++) {
        int at = n * outputs + i;
        boolean isInside = n >= 1 && n <= samples;
        sums.add(at, isInside ? b[outputs + i] : before[at]);
        sums.add(at, n == 0 ? -b[outputs + i] : 0);
        for (int j = 0; isInside && j < inputs; j++) {
          sums.add(at, (double) x[n * inputs + j] * w[(i + 1) * inputs + j]);
        }
      }
    }
    sums.check("z", z);
    float[] found = on().download(a);
    assertArrayEquals(on().download(z.slice(1, samples)), on().download(a.slice(1, samples)));
    assertArrayEquals(Arrays.copyOf(before, outputs), Arrays.copyOf(found, outputs));
    assertArrayEquals(Arrays.copyOfRange(before, (samples + 1) * outputs, before.length),
        Arrays.copyOfRange(found, (samples + 1) * outputs, found.length));
  }

  @ForShapes
  default void computesPreActivations(int samples, int outputs, int inputs) {
    float[] x = on().normal(samples * inputs);
    float[] w = on().normal(outputs * inputs);
    float[] b = on().normal(outputs);
    Matrix z = on().upload(samples, outputs, filled(samples * outputs, Float.NaN));
    network().denseForward(on().upload(samples, inputs, x), on().upload(outputs, inputs, w), on().upload(1, outputs, b),
        z);
    expectedPreActivations(x, w, b).check("z", z);
  }

  private ExpectedSums expectedPreActivations(float[] x, float[] w, float[] b) {
    int inputs = w.length / b.length;
    ExpectedSums sums = on().sums(x.length / inputs * b.length);
    for (int n = 0; n < x.length / inputs; n++) {
      for (int i = 0; i < b.length; i++) {
        sums.add(n * b.length + i, b[i]);
        for (int j = 0; j < inputs; j++) {
          sums.add(n * b.length + i, (double) x[n * inputs + j] * w[i * inputs + j]);
        }
      }
    }
    return sums;
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#activations")
  default void activates(Activation activation) {
    for (int outputs : new int[]{1, 7, 33, 300}) {
      float[] z = on().normal(9 * outputs);
      z[outputs] = 90; // e⁹⁰ overflows float32
      z[2 * outputs] = -90;
      Matrix preActivation = on().upload(9, outputs, z);
      Matrix a = on().upload(9, outputs, filled(z.length, Float.NaN));
      network().activate(activation, preActivation, a);
      checkActivations(activation, z, a);
      assertArrayEquals(z, on().download(preActivation));
    }
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#activations")
  default void runsALayerForward(Activation activation) {
    int samples = 9;
    int inputs = 33;
    int outputs = 7;
    float[] x = on().normal(samples * inputs);
    float[] w = on().normal(outputs * inputs);
    float[] b = on().normal(outputs);
    Matrix z = on().zeros(samples, outputs);
    Matrix a = on().zeros(samples, outputs);
    network().denseForward(on().upload(samples, inputs, x), on().upload(outputs, inputs, w), on().upload(1, outputs, b),
        activation, z, a);
    expectedPreActivations(x, w, b).check("z", z);
    checkActivations(activation, on().download(z), a); // of the z that it found, so that only φ is judged
  }

  private void checkActivations(Activation activation, float[] z, Matrix activated) {
    float[] found = on().download(activated);
    double[] expected = activated(activation, z, activated.columns());
    for (int at = 0; at < z.length; at++) {
      double tolerance = ACTIVATION_ULPS * (FLOAT_ROUNDOFF + on().unitRoundoff())
          * (Math.abs(expected[at]) * (1 + Math.abs(z[at])) + FLOAT_ROUNDOFF)
          + (activation.isElementwise() ? FLOAT_ROUNDOFF * Math.abs(z[at] * activation.derivative(z[at])) : 0)
          // Behind the largest z, the logarithm of a sum of about 1 is off by that sum's roundings.
          + (activation.equals(Activation.LOG_SOFTMAX) ? activated.columns() * FLOAT_ROUNDOFF : 0);
      assertEquals(expected[at], found[at], tolerance,
          "%s(%s) at %d of %d columns".formatted(activation, z[at], at, activated.columns()));
    }
  }

  /// φ(z) of rows of `columns` elements.
  private static double[] activated(Activation activation, float[] z, int columns) {
    if (activation.isElementwise()) {
      return IntStream.range(0, z.length).mapToDouble(i -> activation.value(z[i])).toArray();
    }
    double[] exponentials = IntStream.range(0, z.length).mapToDouble(i -> Math.exp(z[i])).toArray();
    return IntStream.range(0, z.length).mapToDouble(i -> {
      int row = i - i % columns;
      double sum = Arrays.stream(exponentials, row, row + columns).sum();
      return activation.equals(Activation.LOG_SOFTMAX) ? z[i] - Math.log(sum) : exponentials[i] / sum;
    }).toArray();
  }

  /// The largest |φ′|, roughly.
  private static double steepest(Activation activation) {
    return activation.kind() == Activation.Kind.SIN ? activation.parameter() : 1;
  }

  /// No NaN and no overflow where powers of e leave float32's range, or squares of z do.
  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#elementwise")
  default void tailsAreFinite(Activation activation) {
    float[] z = {-1e30f, -1e5f, -120, -30, 30, 120, 1e5f, 1e30f};
    Matrix preActivation = on().upload(1, z.length, z);
    Matrix activated = on().zeros(1, z.length);
    Matrix gradient = on().zeros(1, z.length);
    network().activate(activation, preActivation, activated);
    network().activationBackward(activation, preActivation, activated, on().upload(1, z.length, filled(z.length, 1)),
        gradient);
    float[] values = on().download(activated);
    float[] slopes = on().download(gradient);
    double ulps = ACTIVATION_ULPS * (FLOAT_ROUNDOFF + on().unitRoundoff());
    for (int i = 0; i < z.length; i++) {
      if (activation.kind() == Activation.Kind.SIN && Math.abs(z[i]) > 1e4) { // its argument has no digits left
        assertEquals(0, values[i], 1 + ulps, activation + " at " + z[i]);
        assertEquals(0, slopes[i], steepest(activation) * (1 + ulps), activation + "' at " + z[i]);
      } else {
        double expected = activation.value(z[i]);
        assertEquals(expected, values[i], ulps * (1 + Math.abs(expected)), activation + " at " + z[i]);
        assertEquals(activation.derivative(z[i]), slopes[i], ulps * steepest(activation), activation + "' at " + z[i]);
      }
    }
  }

  // ---- backward passes ----

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#activations")
  default void takesStackedGradientsBackThroughAnActivation(Activation activation) {
    int samples = 5;
    int copies = 3;
    int outputs = 9;
    float[] z = on().normal(samples * outputs);
    double[] exact = activated(activation, z, outputs);
    float[] a = new float[z.length];
    for (int i = 0; i < a.length; i++) {
      a[i] = (float) exact[i];
    }
    float[] u = on().normal(copies * samples * outputs);
    ExpectedSums sums = on().sums(u.length);
    for (int at = 0; at < u.length; at++) {
      int sample = at % z.length;
      if (activation.isElementwise()) {
        sums.add(at, ACTIVATION_ULPS, u[at] * activation.derivative(z[sample]));
        sums.allow(at, u[at] * steepest(activation)); // the derivative may be a difference of terms this large
      } else if (activation.equals(Activation.LOG_SOFTMAX)) {
        sums.add(at, u[at]);
        for (int k = 0; k < outputs; k++) {
          sums.add(at, ACTIVATION_ULPS, -Math.exp(a[sample]) * u[at - at % outputs + k]);
        }
      } else {
        double p = a[sample];
        sums.add(at, p * u[at]);
        for (int k = 0; k < outputs; k++) {
          sums.add(at, -p * a[sample - sample % outputs + k] * u[at - at % outputs + k]);
        }
      }
    }
    Matrix preActivation = on().upload(samples, outputs, z);
    Matrix activated = on().upload(samples, outputs, a);
    Matrix upstream = on().upload(copies * samples, outputs, u);
    Matrix gradient = on().upload(copies * samples, outputs, filled(u.length, Float.NaN));
    network().activationBackward(activation, preActivation, activated, upstream, gradient);
    sums.check("gradient through " + activation, gradient);
    assertArrayEquals(u, on().download(upstream));
    network().activationBackward(activation, preActivation, activated, upstream, upstream);
    assertArrayEquals(on().download(gradient), on().download(upstream), "in place");
  }

  /// Only the Jacobian of the logarithm of softmax is not symmetric.
  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#activations")
  default void takesTangentsThroughAnActivation(Activation activation) {
    int samples = 5;
    int outputs = 9;
    float[] z = on().normal(samples * outputs);
    double[] exact = activated(activation, z, outputs);
    float[] a = new float[z.length];
    for (int i = 0; i < a.length; i++) {
      a[i] = (float) exact[i];
    }
    float[] u = on().normal(samples * outputs);
    Matrix preActivation = on().upload(samples, outputs, z);
    Matrix activated = on().upload(samples, outputs, a);
    Matrix tangent = on().upload(samples, outputs, u);
    Matrix result = on().upload(samples, outputs, filled(u.length, Float.NaN));
    network().activationTangent(activation, preActivation, activated, tangent, result);
    if (activation.equals(Activation.LOG_SOFTMAX)) {
      ExpectedSums sums = on().sums(u.length);
      for (int at = 0; at < u.length; at++) {
        sums.add(at, u[at]);
        for (int k = at - at % outputs; k < at - at % outputs + outputs; k++) {
          sums.add(at, ACTIVATION_ULPS, -Math.exp(a[k]) * u[k]);
        }
      }
      sums.check("tangent through " + activation, result);
    } else {
      Matrix transposed = on().zeros(samples, outputs);
      network().activationBackward(activation, preActivation, activated, tangent, transposed);
      assertArrayEquals(on().download(transposed), on().download(result));
    }
    assertArrayEquals(u, on().download(tangent));
    network().activationTangent(activation, preActivation, activated, tangent, tangent);
    assertArrayEquals(on().download(result), on().download(tangent), "in place");
  }

  @ForShapes
  default void takesStackedGradientsBackThroughALayer(int samples, int outputs, int above) {
    int copies = 2;
    float[] h = on().normal(copies * samples * above);
    float[] v = on().normal(above * outputs);
    float[] z = on().normal(samples * outputs);
    Matrix gradientAbove = on().upload(copies * samples, above, h);
    Matrix weightsAbove = on().upload(above, outputs, v);
    Matrix preActivation = on().upload(samples, outputs, z);
    Matrix gradient = on().upload(copies * samples, outputs, filled(copies * samples * outputs, Float.NaN));
    network().denseBackward(gradientAbove, weightsAbove, Activation.TANH, preActivation, gradient, Optional.empty());
    ExpectedSums sums = on().sums(copies * samples * outputs);
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

    float[] before = on().positive(samples * outputs);
    Matrix again = on().zeros(copies * samples, outputs);
    Matrix s = on().upload(samples, outputs, before);
    network().denseBackward(gradientAbove, weightsAbove, Activation.TANH, preActivation, again,
        Optional.of(new Squares(0.25, s, false)));
    sums.check("gradient with squares", again);
    // What is squared need not have been rounded to float32, as what is downloaded was.
    checkSquares(before, 0.25, on().download(again), 2 * FLOAT_ROUNDOFF / on().unitRoundoff(), s);

    Matrix alone = on().upload(samples, outputs, before);
    network().denseBackward(gradientAbove, weightsAbove, Activation.TANH, preActivation,
        on().zeros(copies * samples, outputs), Optional.of(new Squares(0.25, alone, true)));
    ExpectedSums squares = on().sums(samples * outputs);
    for (int at = 0; at < samples * outputs; at++) {
      squares.add(at, before[at]);
      for (int copy = at; copy < copies * samples * outputs; copy += samples * outputs) {
        double g = sums.value(copy);
        double error = sums.tolerance(copy);
        squares.add(at, 0.25 * g * g);
        squares.allow(at, 0.25 * (2 * Math.abs(g) + error) * error / on().unitRoundoff());
      }
    }
    squares.check("squares alone", alone);
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#elementwise")
  default void takesGradientsBackThroughALayerAndAnyActivationBelow(Activation activation) {
    Matrix gradientAbove = on().upload(18, 7, on().normal(18 * 7));
    Matrix weightsAbove = on().upload(7, 33, on().normal(7 * 33));
    float[] z = on().normal(9 * 33);
    Matrix product = on().zeros(18, 33);
    Matrix gradient = on().zeros(18, 33);
    network().denseBackward(gradientAbove, weightsAbove, Activation.IDENTITY, on().upload(9, 33, z), product,
        Optional.empty());
    network().denseBackward(gradientAbove, weightsAbove, activation, on().upload(9, 33, z), gradient, Optional.empty());
    float[] u = on().download(product); // rounded to float32, as what was multiplied need not have been
    double ulps = ACTIVATION_ULPS + FLOAT_ROUNDOFF / on().unitRoundoff();
    ExpectedSums sums = on().sums(u.length);
    for (int at = 0; at < u.length; at++) {
      sums.add(at, ulps, u[at] * activation.derivative(z[at % z.length]));
      sums.allow(at, u[at] * steepest(activation));
    }
    sums.check("gradient through " + activation, gradient);
  }

  @Test
  default void takesGradientsBackThroughTheWeightsAsTheyAre() {
    int samples = 9;
    int outputs = 33;
    int above = 7;
    Matrix gradientAbove = on().upload(samples, above, on().normal(samples * above));
    Matrix z = on().upload(samples, outputs, on().normal(samples * outputs));
    Matrix weights = on().upload(above + 2, outputs, on().normal((above + 2) * outputs));
    for (int first = 0; first < 3; first++) {
      Matrix rows = weights.slice(first, above);
      Matrix found = on().zeros(samples, outputs);
      network().denseBackward(gradientAbove, rows, Activation.RELU, z, found, Optional.empty());
      float[] changed = on().normal(above * outputs);
      on().upload(rows, changed);
      Matrix expected = on().zeros(samples, outputs);
      network().denseBackward(gradientAbove, on().upload(above, outputs, changed), Activation.RELU, z, expected,
          Optional.empty());
      network().denseBackward(gradientAbove, rows, Activation.RELU, z, found, Optional.empty());
      assertArrayEquals(on().download(expected), on().download(found), "rows from " + first + " on");
    }
  }

  /// That s = before + scale Σ over copies of g², where each g² may be off by `ulps` roundings.
  private void checkSquares(float[] before, double scale, float[] g, double ulps, Matrix s) {
    ExpectedSums sums = on().sums(before.length);
    for (int i = 0; i < before.length; i++) {
      sums.add(i, before[i]);
      for (int at = i; at < g.length; at += before.length) {
        sums.add(i, ulps, scale * g[at] * g[at]);
      }
    }
    sums.check("sensitivity", s);
  }

  @ForShapes
  default void addsSquaresOverCopies(int samples, int outputs, int unused) {
    int copies = 4;
    float[] g = on().normal(copies * samples * outputs);
    float[] before = on().positive(samples * outputs);
    Matrix s = on().upload(samples, outputs, before);
    network().addSquares(0.25, on().upload(copies * samples, outputs, g), s);
    checkSquares(before, 0.25, g, 0, s);
  }

  @Test
  default void writesUnitVectors() {
    Matrix upstream = on().upload(6, 4, on().normal(24));
    network().unitVectors(upstream, 3, 2);
    float[] actual = on().download(upstream);
    for (int row = 0; row < 6; row++) {
      for (int k = 0; k < 4; k++) {
        assertEquals(k == 2 + row / 3 ? 1 : 0, actual[row * 4 + k]);
      }
    }
  }

  @Test
  default void writesTheSameRademacherVectorsEverywhere() {
    Matrix upstream = on().zeros(6, 130);
    RandomOrigin origin = on().own(network().randomOrigin());
    origin.set(42, 1000);
    network().rademacherVectors(upstream, 2, 5, origin);
    float[] signs = on().download(upstream);
    for (int row = 0; row < 6; row++) {
      for (int k = 0; k < 130; k++) {
        assertEquals(CounterRandom.sign(42, 5 + row / 2, 1000 + row % 2, k, 130), signs[row * 130 + k]);
      }
    }
  }

  /// Until it is set again, and each by itself.
  @Test
  default void randomVectorsBeginWhereTheirOriginSays() {
    RandomOrigin first = on().own(network().randomOrigin());
    RandomOrigin second = on().own(network().randomOrigin());
    Matrix upstream = on().zeros(2, 130);
    for (long[] seedAndSample : new long[][]{{0, 0}, {-3, 1L << 40}, {7, 15}}) {
      if (seedAndSample[0] != 0) { // 0 and 0 at first
        first.set(seedAndSample[0], seedAndSample[1]);
        second.set(99, 99);
      }
      network().rademacherVectors(upstream, 2, 1, first);
      float[] signs = on().download(upstream);
      assertEquals(List.of(seedAndSample[0], seedAndSample[1]), List.of(first.seed(), first.firstSample()));
      for (int i = 0; i < 260; i++) {
        assertEquals(CounterRandom.sign(seedAndSample[0], 1, seedAndSample[1] + i / 130, i % 130, 130), signs[i]);
      }
    }
  }

  @Test
  default void writesFisherVectors() {
    float[] p = {0.5f, 0, 0.25f, 0.25f, 0.0625f, 0.9375f, 0, 0};
    Matrix upstream = on().upload(6, 4, on().normal(24));
    network().fisherVectors(on().upload(2, 4, p), upstream, 1, 0.5);
    float[] found = on().download(upstream);
    for (int i = 0; i < 24; i++) {
      int k = 1 + i / 8;
      double expected = 0.5 * Math.sqrt(p[i / 4 % 2 * 4 + k]) * ((i % 4 == k ? 1 : 0) - p[i % 8]);
      assertEquals(expected, found[i], 4 * FLOAT_ROUNDOFF);
    }
  }

  /// Never a class of probability 0, and each as often as its probability says. Sums of these are exact in float32.
  @Test
  default void drawsTheSameClassesEverywhere() {
    float[] p = {0, 0.5f, 0, 0.25f, 0.25f};
    Matrix probabilities = on().upload(3, 5, 0, 0.5f, 0, 0.25f, 0.25f, 0, 0.5f, 0, 0.25f, 0.25f, 0, 0.5f, 0, 0.25f,
        0.25f);
    Matrix upstream = on().zeros(3000, 5);
    RandomOrigin origin = on().own(network().randomOrigin());
    origin.set(11, 1L << 33);
    network().drawnFisherVectors(probabilities, upstream, 4, origin, 2);
    float[] found = on().download(upstream);
    int[] drawn = new int[5];
    for (int row = 0; row < 3000; row++) {
      float u = CounterRandom.uniform(11, 4 + row / 3, (1L << 33) + row % 3);
      int k = u < 0.5 ? 1 : u < 0.75 ? 3 : 4;
      drawn[k]++;
      for (int j = 0; j < 5; j++) {
        assertEquals(2 * ((j == k ? 1 : 0) - p[j]), found[row * 5 + j] + 0f); // −0 is 0
      }
    }
    for (int k = 0; k < 5; k++) {
      assertEquals(3000 * p[k], drawn[k], 5 * Math.sqrt(3000 * p[k]));
    }
  }

  // ---- joins ----

  /// Stacked copies by their samples, and all rows by one.
  @ForShapes
  default void multipliesRows(int samples, int columns, int unused) {
    for (int rows : new int[]{samples, 1}) {
      float[] x = on().normal(3 * samples * columns);
      float[] factor = on().normal(rows * columns);
      float[] before = on().normal(x.length);
      Matrix from = on().upload(3 * samples, columns, x);
      Matrix by = on().upload(rows, columns, factor);
      Matrix product = on().upload(3 * samples, columns, filled(x.length, Float.NaN));
      Matrix sum = on().upload(3 * samples, columns, before);
      network().multiply(from, by, product);
      network().addMultiplied(from, by, sum);
      ExpectedSums products = on().sums(x.length);
      ExpectedSums sums = on().sums(x.length);
      for (int at = 0; at < x.length; at++) {
        double expected = (double) x[at] * factor[at % factor.length];
        products.add(at, expected);
        sums.add(at, before[at]);
        sums.add(at, expected);
      }
      products.check("product", product);
      sums.check("sum", sum);
      network().multiply(from, by, from);
      products.check("product in place", from);
    }
  }

  // ---- normalisation ----

  @ForShapes
  default void normalizesRows(int samples, int columns, int unused) {
    for (boolean centred : new boolean[]{true, false}) {
      float[] x = on().normal(samples * columns);
      Matrix normalized = on().upload(samples, columns, filled(x.length, Float.NaN));
      network().normalize(centred, 0.25, on().upload(samples, columns, x), normalized);
      float[] found = on().download(normalized);
      Spread[] spreads = Spread.ofRows(x, columns, centred);
      for (int at = 0; at < x.length; at++) {
        Spread spread = spreads[at / columns];
        // m and v are means of `columns` terms, of which each rounding counts once.
        double tolerance = (columns + 8) * FLOAT_ROUNDOFF * (spread.largest() + 1) * spread.scale() * 2;
        assertEquals((x[at] - spread.mean()) * spread.scale(), found[at], tolerance,
            "centred %s, element %d of rows of %d".formatted(centred, at, columns));
      }
    }
  }

  /// @param scale 1 / √(v + ¼)
  record Spread(double mean, double scale, double largest) {
    static Spread[] ofRows(float[] x, int columns, boolean centred) {
      return IntStream.range(0, x.length / columns).mapToObj(row -> of(x, row * columns, columns, centred))
          .toArray(Spread[]::new);
    }

    private static Spread of(float[] x, int first, int columns, boolean centred) {
      double mean = centred ? IntStream.range(0, columns).mapToDouble(j -> x[first + j]).sum() / columns : 0;
      double squares = IntStream.range(0, columns).mapToDouble(j -> Math.pow(x[first + j] - mean, 2)).sum();
      double largest = IntStream.range(0, columns).mapToDouble(j -> Math.abs(x[first + j])).max().orElseThrow();
      return new Spread(mean, 1 / Math.sqrt(squares / columns + 0.25), largest);
    }
  }

  /// By the Jacobian, element by element: (δ − 1/n − yᵢ yⱼ / n) / √(v + ε), without 1/n if it is not centred.
  @ForShapes
  default void takesStackedGradientsBackThroughANormalisation(int samples, int columns, int unused) {
    int copies = 2;
    for (boolean centred : new boolean[]{true, false}) {
      float[] x = on().normal(samples * columns);
      float[] y = new float[x.length];
      Spread[] spreads = Spread.ofRows(x, columns, centred);
      for (int at = 0; at < x.length; at++) {
        Spread spread = spreads[at / columns];
        y[at] = (float) ((x[at] - spread.mean()) * spread.scale());
      }
      float[] u = on().normal(copies * x.length);
      Matrix values = on().upload(samples, columns, x);
      Matrix normalized = on().upload(samples, columns, y);
      Matrix upstream = on().upload(copies * samples, columns, u);
      Matrix gradient = on().upload(copies * samples, columns, filled(u.length, Float.NaN));
      network().normalizeBackward(centred, 0.25, values, normalized, upstream, gradient);
      ExpectedSums sums = on().sums(u.length);
      double mean = centred ? 1.0 / columns : 0;
      for (int row = 0; row < u.length; row += columns) {
        Spread spread = spreads[row / columns % samples];
        double ulps = 8 + columns * spread.scale() * (spread.largest() + 1) * FLOAT_ROUNDOFF / on().unitRoundoff();
        int upstreamRow = row;
        int valuesRow = row % x.length;
        double absolute = IntStream.range(0, columns).mapToDouble(j -> Math.abs(u[upstreamRow + j])).sum();
        for (int i = 0; i < columns; i++) {
          int column = i;
          double own = y[valuesRow + i];
          sums.add(row + i, ulps, columns, j -> u[upstreamRow + j] * spread.scale()
              * ((j == column ? 1 : 0) - mean - own * y[valuesRow + j] / columns));
          sums.allow(row + i, absolute * spread.scale() * (1 + Math.abs(own)));
        }
      }
      sums.check("gradient, centred " + centred, gradient);
      assertArrayEquals(u, on().download(upstream));
      network().normalizeBackward(centred, 0.25, values, normalized, upstream, upstream);
      assertArrayEquals(on().download(gradient), on().download(upstream), "in place");
    }
  }

  @ForShapes
  default void addsMatrices(int rows, int columns, int unused) {
    float[] x = on().normal(rows * columns);
    float[] y = on().normal(rows * columns);
    Matrix summand = on().upload(rows, columns, x);
    Matrix sum = on().upload(rows, columns, y);
    network().add(-0.5, summand, sum);
    ExpectedSums sums = on().sums(x.length);
    for (int i = 0; i < x.length; i++) {
      sums.add(i, y[i]);
      sums.add(i, -0.5 * x[i]);
    }
    sums.check("sum", sum);
    network().add(-0.5, summand, summand); // halves it: exact
    float[] halves = on().download(summand);
    for (int i = 0; i < x.length; i++) {
      assertEquals(x[i] / 2, halves[i], "half of element " + i);
    }
  }

  /// Blocks of whole matrices, at either end and in the middle, of widths at and beside those of vectors and tiles.
  @ParameterizedTest
  @CsvSource({"1, 1, 0, 1, 0, 1", "3, 7, 0, 9, 2, 7", "9, 31, 30, 8, 7, 1", "33, 33, 1, 65, 8, 32",
      "8, 64, 32, 96, 64, 32", "70, 300, 3, 520, 219, 297", "5, 2048, 0, 4100, 2048, 2048", "130, 140, 0, 140, 0, 140",
      "600, 300, 5, 200, 1, 199"})
  default void copiesAndAddsColumns(int rows, int fromColumns, int firstFrom, int toColumns, int firstTo, int count) {
    float[] x = on().normal(rows * fromColumns);
    float[] y = on().normal(rows * toColumns);
    Matrix from = on().upload(rows, fromColumns, x);
    Matrix copy = on().upload(rows, toColumns, y);
    Matrix sum = on().upload(rows, toColumns, y);
    network().copyColumns(from, firstFrom, copy, firstTo, count);
    network().addColumns(from, firstFrom, sum, firstTo, count);
    float[] copied = on().download(copy);
    float[] added = on().download(sum);
    for (int row = 0; row < rows; row++) {
      for (int j = 0; j < toColumns; j++) {
        int at = row * toColumns + j;
        boolean isInside = j >= firstTo && j < firstTo + count;
        float value = isInside ? x[row * fromColumns + firstFrom + j - firstTo] : 0;
        assertEquals(isInside ? value : y[at], copied[at], "copied to [%d, %d]".formatted(row, j));
        assertEquals(y[at] + value, added[at], "added to [%d, %d]".formatted(row, j)); // one rounding
      }
    }
    assertArrayEquals(x, on().download(from));
  }

  /// Some rows twice, some not at all; numbers from the middle of their matrix on.
  @ForShapes
  default void gathersRows(int rows, int columns, int unused) {
    int all = rows + 5;
    float[] x = on().normal(all * columns);
    int[] numbers = new int[rows + 9];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (int) (7L * i % all);
    }
    Matrix held = words(numbers);
    Matrix from = on().upload(all, columns, x);
    Matrix whole = on().upload(rows + 2, columns, on().normal((rows + 2) * columns));
    float[] before = on().download(whole);
    int first = 4;
    network().gatherRows(from, held, first, whole.slice(1, rows));
    float[] gathered = on().download(whole);
    for (int row = -1; row <= rows; row++) {
      for (int j = 0; j < columns; j++) {
        int at = (row + 1) * columns + j;
        boolean isInside = row >= 0 && row < rows;
        assertEquals(isInside ? x[numbers[first + row] * columns + j] : before[at], gathered[at],
            "[%d, %d]".formatted(row, j));
      }
    }
    assertArrayEquals(x, on().download(from));
  }

  private Matrix words(int... numbers) {
    MatrixView words = on().view(1, numbers.length, new float[numbers.length]);
    MemorySegment.copy(numbers, 0, words.segment(), ValueLayout.JAVA_INT, 0, numbers.length);
    Matrix held = on().zeros(1, numbers.length);
    on().backend().upload(words, held);
    return held;
  }

  /// Some columns twice, some not at all, from a matrix that is wider or narrower, in the middle of another.
  @ForShapes
  default void gathersColumns(int rows, int columns, int unused) {
    for (int all : new int[]{1, Math.ceilDiv(columns, 2), columns + 5}) {
      float[] x = on().normal(rows * all);
      int[] numbers = new int[columns];
      for (int j = 0; j < columns; j++) {
        numbers[j] = (int) ((7L * j + 3) % all);
      }
      Matrix from = on().upload(rows, all, x);
      Matrix whole = on().upload(rows + 2, columns, on().normal((rows + 2) * columns));
      float[] before = on().download(whole);
      network().gatherColumns(from, words(numbers), whole.slice(1, rows));
      float[] gathered = on().download(whole);
      for (int row = -1; row <= rows; row++) {
        for (int j = 0; j < columns; j++) {
          int at = (row + 1) * columns + j;
          boolean isInside = row >= 0 && row < rows;
          assertEquals(isInside ? x[row * all + numbers[j]] : before[at], gathered[at], "[%d, %d]".formatted(row, j));
        }
      }
      assertArrayEquals(x, on().download(from));
    }
  }

  /// One that float32 rounds, and the largest that is allowed, come back as they were.
  @Test
  default void keepsIntegersInFloats() {
    int[] numbers = {0, 1, (1 << 24) + 1, 0x7f7f_ffff};
    Matrix held = words(numbers);
    MatrixView back = on().view(1, numbers.length, new float[numbers.length]);
    on().backend().download(held, back);
    assertArrayEquals(numbers, back.segment().toArray(ValueLayout.JAVA_INT));
  }
}
