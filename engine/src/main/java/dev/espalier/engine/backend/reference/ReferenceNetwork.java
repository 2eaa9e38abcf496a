package dev.espalier.engine.backend.reference;

import static dev.espalier.engine.backend.reference.ReferenceMatrix.entries;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.RandomOrigin;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.network.Activation;
import java.util.Optional;
import java.util.stream.IntStream;

/// Forward and backward passes by plain loops.
final class ReferenceNetwork implements NetworkOperations {
  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c) {
    ReferenceMatrix left = transposeA ? entries(a).transposed() : entries(a);
    ReferenceMatrix right = transposeB ? entries(b).transposed() : entries(b);
    ReferenceMatrix result = entries(c);
    for (int i = 0; i < result.rows(); i++) {
      for (int j = 0; j < result.columns(); j++) {
        result.set(i, j, beta == 0 ? 0 : beta * result.get(i, j));
      }
      for (int k = 0; k < left.columns(); k++) {
        double factor = alpha * left.get(i, k);
        if (factor != 0) {
          result.addRow(i, factor, right, k);
        }
      }
    }
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Matrix preActivation) {
    ReferenceMatrix z = entries(preActivation);
    product(1, input, false, weights, true, 0, preActivation);
    for (int n = 0; n < z.rows(); n++) {
      z.addRow(n, 1, entries(bias), 0);
    }
  }

  @Override
  public void activate(Activation activation, Matrix preActivation, Matrix activated) {
    ReferenceMatrix z = entries(preActivation);
    ReferenceMatrix a = entries(activated);
    for (int n = 0; n < z.rows(); n++) {
      if (activation.isElementwise()) {
        for (int i = 0; i < z.columns(); i++) {
          a.set(n, i, activation.value(z.get(n, i)));
        }
      } else {
        double logSum = softmax(z, a, n);
        for (int i = 0; i < z.columns() && activation.equals(Activation.LOG_SOFTMAX); i++) {
          a.set(n, i, z.get(n, i) - logSum);
        }
      }
    }
  }

  /// Row n of p becomes the softmax of row n of z.
  ///
  /// @return ln Σ eᶻ
  static double softmax(ReferenceMatrix z, ReferenceMatrix p, int n) {
    double max = IntStream.range(0, z.columns()).mapToDouble(k -> z.get(n, k)).max().orElseThrow();
    double sum = 0;
    for (int k = 0; k < z.columns(); k++) {
      p.set(n, k, Math.exp(z.get(n, k) - max));
      sum += p.get(n, k);
    }
    for (int k = 0; k < z.columns(); k++) {
      p.set(n, k, p.get(n, k) / sum);
    }
    return max + Math.log(sum);
  }

  @Override
  public void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient) {
    if (activation.isElementwise()) {
      multiplyByDerivative(activation, entries(preActivation), entries(upstream), entries(gradient));
    } else if (activation.equals(Activation.LOG_SOFTMAX)) {
      logSoftmaxBackward(entries(activated), entries(upstream), entries(gradient));
    } else {
      softmaxBackward(entries(activated), entries(upstream), entries(gradient));
    }
  }

  @Override
  public void activationTangent(Activation activation, Matrix preActivation, Matrix activated, Matrix tangent,
      Matrix result) {
    if (!activation.equals(Activation.LOG_SOFTMAX)) {
      activationBackward(activation, preActivation, activated, tangent, result);
      return;
    }
    ReferenceMatrix a = entries(activated);
    ReferenceMatrix u = entries(tangent);
    ReferenceMatrix t = entries(result);
    for (int n = 0; n < a.rows(); n++) {
      double mean = 0;
      for (int i = 0; i < a.columns(); i++) {
        mean += Math.exp(a.get(n, i)) * u.get(n, i);
      }
      for (int i = 0; i < a.columns(); i++) {
        t.set(n, i, u.get(n, i) - mean);
      }
    }
  }

  private static void logSoftmaxBackward(ReferenceMatrix a, ReferenceMatrix u, ReferenceMatrix g) {
    for (int row = 0; row < u.rows(); row++) {
      double sum = 0;
      for (int i = 0; i < a.columns(); i++) {
        sum += u.get(row, i);
      }
      for (int i = 0; i < a.columns(); i++) {
        g.set(row, i, u.get(row, i) - Math.exp(a.get(row % a.rows(), i)) * sum);
      }
    }
  }

  private static void multiplyByDerivative(Activation activation, ReferenceMatrix z, ReferenceMatrix u,
      ReferenceMatrix g) {
    for (int row = 0; row < u.rows(); row++) {
      for (int i = 0; i < z.columns(); i++) {
        g.set(row, i, u.get(row, i) * activation.derivative(z.get(row % z.rows(), i)));
      }
    }
  }

  private static void softmaxBackward(ReferenceMatrix a, ReferenceMatrix u, ReferenceMatrix g) {
    for (int row = 0; row < u.rows(); row++) {
      int n = row % a.rows();
      double mean = 0;
      for (int i = 0; i < a.columns(); i++) {
        mean += a.get(n, i) * u.get(row, i);
      }
      for (int i = 0; i < a.columns(); i++) {
        g.set(row, i, a.get(n, i) * (u.get(row, i) - mean));
      }
    }
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix gradient, Optional<Squares> squares) {
    product(1, gradientAbove, false, weightsAbove, false, 0, gradient);
    multiplyByDerivative(activation, entries(preActivation), entries(gradient), entries(gradient));
    squares.ifPresent(s -> addSquares(s.scale(), gradient, s.sensitivity()));
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    ReferenceMatrix g = entries(gradient);
    ReferenceMatrix s = entries(sensitivity);
    for (int row = 0; row < g.rows(); row++) {
      for (int i = 0; i < g.columns(); i++) {
        s.add(row % s.rows(), i, scale * g.get(row, i) * g.get(row, i));
      }
    }
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    for (int i = 0; i < x.rows(); i++) {
      entries(y).addRow(i, alpha, entries(x), i);
    }
  }

  @Override
  public void multiply(Matrix x, Matrix factor, Matrix product) {
    for (int row = 0; row < x.rows(); row++) {
      for (int j = 0; j < x.columns(); j++) {
        entries(product).set(row, j, entries(x).get(row, j) * entries(factor).get(row % factor.rows(), j));
      }
    }
  }

  @Override
  public void addMultiplied(Matrix x, Matrix factor, Matrix sum) {
    for (int row = 0; row < x.rows(); row++) {
      for (int j = 0; j < x.columns(); j++) {
        entries(sum).add(row, j, entries(x).get(row, j) * entries(factor).get(row % factor.rows(), j));
      }
    }
  }

  @Override
  public void normalize(boolean centred, double epsilon, Matrix x, Matrix normalized) {
    for (int row = 0; row < x.rows(); row++) {
      double mean = centred ? mean(entries(x), row) : 0;
      double scale = scale(entries(x), row, mean, epsilon);
      for (int j = 0; j < x.columns(); j++) {
        entries(normalized).set(row, j, (entries(x).get(row, j) - mean) * scale);
      }
    }
  }

  private static double mean(ReferenceMatrix x, int row) {
    return IntStream.range(0, x.columns()).mapToDouble(j -> x.get(row, j)).sum() / x.columns();
  }

  /// 1 / √(v + ε) of a row.
  private static double scale(ReferenceMatrix x, int row, double mean, double epsilon) {
    double squares = IntStream.range(0, x.columns()).mapToDouble(j -> Math.pow(x.get(row, j) - mean, 2)).sum();
    return 1 / Math.sqrt(squares / x.columns() + epsilon);
  }

  @Override
  public void normalizeBackward(boolean centred, double epsilon, Matrix x, Matrix normalized, Matrix upstream,
      Matrix gradient) {
    ReferenceMatrix y = entries(normalized);
    ReferenceMatrix u = entries(upstream);
    for (int row = 0; row < upstream.rows(); row++) {
      int n = row % x.rows();
      int copy = row;
      double scale = scale(entries(x), n, centred ? mean(entries(x), n) : 0, epsilon);
      double mean = centred ? mean(u, row) : 0;
      double along = IntStream.range(0, x.columns()).mapToDouble(j -> y.get(n, j) * u.get(copy, j)).sum() / x.columns();
      for (int j = 0; j < x.columns(); j++) {
        entries(gradient).set(row, j, (u.get(row, j) - mean - y.get(n, j) * along) * scale);
      }
    }
  }

  @Override
  public void copyColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    for (int row = 0; row < from.rows(); row++) {
      for (int j = 0; j < count; j++) {
        entries(to).set(row, firstTo + j, entries(from).get(row, firstFrom + j));
      }
    }
  }

  @Override
  public void addColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count) {
    for (int row = 0; row < from.rows(); row++) {
      for (int j = 0; j < count; j++) {
        entries(to).add(row, firstTo + j, entries(from).get(row, firstFrom + j));
      }
    }
  }

  @Override
  public void gatherRows(Matrix from, Matrix numbers, int first, Matrix to) {
    for (int i = 0; i < to.rows(); i++) {
      int row = Float.floatToRawIntBits((float) entries(numbers).get(first + i));
      for (int j = 0; j < to.columns(); j++) {
        entries(to).set(i, j, entries(from).get(row, j));
      }
    }
  }

  @Override
  public void gatherColumns(Matrix from, Matrix numbers, Matrix to) {
    for (int j = 0; j < to.columns(); j++) {
      int column = Float.floatToRawIntBits((float) entries(numbers).get(j));
      for (int i = 0; i < to.rows(); i++) {
        entries(to).set(i, j, entries(from).get(i, column));
      }
    }
  }

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    ReferenceMatrix u = entries(upstream);
    for (int row = 0; row < u.rows(); row++) {
      for (int k = 0; k < u.columns(); k++) {
        u.set(row, k, k == firstOutput + row / samples ? 1 : 0);
      }
    }
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, RandomOrigin origin) {
    ReferenceMatrix u = entries(upstream);
    for (int row = 0; row < u.rows(); row++) {
      int probe = firstProbe + row / samples;
      for (int k = 0; k < u.columns(); k++) {
        u.set(row, k, CounterRandom.sign(origin.seed(), probe, origin.firstSample() + row % samples, k, u.columns()));
      }
    }
  }

  @Override
  public void fisherVectors(Matrix probabilities, Matrix upstream, int firstClass, double scale) {
    ReferenceMatrix p = entries(probabilities);
    for (int row = 0; row < upstream.rows(); row++) {
      int k = firstClass + row / p.rows();
      fisherRow(p, entries(upstream), row, k, scale * Math.sqrt(p.get(row % p.rows(), k)));
    }
  }

  @Override
  public void drawnFisherVectors(Matrix probabilities, Matrix upstream, int firstDraw, RandomOrigin origin,
      double scale) {
    ReferenceMatrix p = entries(probabilities);
    for (int row = 0; row < upstream.rows(); row++) {
      int sample = row % p.rows();
      float drawn = CounterRandom.uniform(origin.seed(), firstDraw + row / p.rows(), origin.firstSample() + sample);
      int k = 0;
      for (double sum = p.get(sample, 0); k < p.columns() - 1 && !(sum > drawn); sum += p.get(sample, k)) {
        k++;
      }
      fisherRow(p, entries(upstream), row, k, scale);
    }
  }

  /// factor · (e_k − p).
  private static void fisherRow(ReferenceMatrix p, ReferenceMatrix u, int row, int k, double factor) {
    for (int j = 0; j < u.columns(); j++) {
      u.set(row, j, factor * ((j == k ? 1 : 0) - p.get(row % p.rows(), j)));
    }
  }
}
