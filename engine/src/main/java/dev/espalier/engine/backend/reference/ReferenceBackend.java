package dev.espalier.engine.backend.reference;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.CounterRandom;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.PhaseClock;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// The right answer: double precision, plain loops, one thread, no libraries. For small networks and for
/// tests; a matrix has at most 2³¹ − 9 elements.
public final class ReferenceBackend implements Backend {
  private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

  private final PhaseClock clock = new PhaseClock();

  /// Holds nothing outside Java's heap.
  public ReferenceBackend() {}

  @Override
  public String description() {
    return "reference (plain Java, float64, 1 thread)";
  }

  @Override
  public void enter(Phase phase) {
    clock.enter(phase);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return clock.seconds();
  }

  @Override
  public Matrix allocate(int rows, int columns) {
    long elements = (long) rows * columns;
    if (elements > LARGEST_ARRAY) {
      throw new OutOfBackendMemoryException(
          "a %d × %d matrix is too large for the reference backend: use another --device".formatted(rows, columns));
    }
    try {
      return new ReferenceMatrix(new double[(int) elements], 0, rows, columns);
    } catch (OutOfMemoryError e) {
      throw new OutOfBackendMemoryException(
          "a %d × %d matrix does not fit into Java's heap: raise it with ESPALIER_JAVA_OPTIONS=-Xmx16g, for example, or use another --device"
              .formatted(rows, columns));
    }
  }

  @Override
  public Matrix rows(Matrix matrix, int first, int count) {
    ReferenceMatrix m = (ReferenceMatrix) matrix;
    return new ReferenceMatrix(m.values(), m.offset() + first * m.columns(), count, m.columns());
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    ReferenceMatrix t = (ReferenceMatrix) target;
    for (int i = 0; i < t.elements(); i++) {
      t.values()[t.offset() + i] = source.segment().getAtIndex(MatrixView.ELEMENT, i);
    }
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    ReferenceMatrix s = (ReferenceMatrix) source;
    for (int i = 0; i < s.elements(); i++) {
      target.segment().setAtIndex(MatrixView.ELEMENT, i, (float) s.values()[s.offset() + i]);
    }
  }

  /// The elements, row after row, unrounded.
  double[] values(Matrix matrix) {
    ReferenceMatrix m = (ReferenceMatrix) matrix;
    return Arrays.copyOfRange(m.values(), m.offset(), m.offset() + (int) m.elements());
  }

  @Override
  public void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c) {
    ReferenceMatrix left = (ReferenceMatrix) (transposeA ? transposed(a) : a);
    ReferenceMatrix right = (ReferenceMatrix) (transposeB ? transposed(b) : b);
    ReferenceMatrix result = (ReferenceMatrix) c;
    for (int i = 0; i < result.rows(); i++) {
      for (int j = 0; j < result.columns(); j++) {
        result.set(i, j, beta == 0 ? 0 : beta * result.get(i, j));
      }
      for (int k = 0; k < left.columns(); k++) {
        double factor = alpha * left.get(i, k);
        if (factor != 0) {
          addRow(factor, right, k, result, i);
        }
      }
    }
  }

  /// Row i of y += factor · row k of x.
  private static void addRow(double factor, ReferenceMatrix x, int k, ReferenceMatrix y, int i) {
    double[] from = x.values();
    double[] to = y.values();
    int source = x.offset() + k * x.columns();
    int target = y.offset() + i * y.columns();
    for (int j = 0; j < y.columns(); j++) {
      to[target + j] += factor * from[source + j];
    }
  }

  private ReferenceMatrix transposed(Matrix matrix) {
    ReferenceMatrix m = (ReferenceMatrix) matrix;
    ReferenceMatrix t = (ReferenceMatrix) allocate(m.columns(), m.rows());
    for (int i = 0; i < m.rows(); i++) {
      for (int j = 0; j < m.columns(); j++) {
        t.set(j, i, m.get(i, j));
      }
    }
    return t;
  }

  @Override
  public void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated) {
    ReferenceMatrix b = (ReferenceMatrix) bias;
    ReferenceMatrix z = (ReferenceMatrix) preActivation;
    ReferenceMatrix a = (ReferenceMatrix) activated;
    product(1, input, false, weights, true, 0, preActivation);
    for (int n = 0; n < z.rows(); n++) {
      for (int i = 0; i < z.columns(); i++) {
        z.add(n, i, b.get(0, i));
      }
      if (activation.isElementwise()) {
        for (int i = 0; i < z.columns(); i++) {
          a.set(n, i, activation.value(z.get(n, i)));
        }
      } else {
        softmax(z, a, n);
      }
    }
  }

  /// Row n of p becomes the softmax of row n of z.
  ///
  /// @return ln Σ eᶻ
  private static double softmax(ReferenceMatrix z, ReferenceMatrix p, int n) {
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
    ReferenceMatrix z = (ReferenceMatrix) preActivation;
    ReferenceMatrix a = (ReferenceMatrix) activated;
    ReferenceMatrix u = (ReferenceMatrix) upstream;
    ReferenceMatrix g = (ReferenceMatrix) gradient;
    for (int row = 0; row < u.rows(); row++) {
      int n = row % z.rows();
      if (activation.isElementwise()) {
        for (int i = 0; i < z.columns(); i++) {
          g.set(row, i, u.get(row, i) * activation.derivative(z.get(n, i)));
        }
      } else {
        double mean = 0;
        for (int i = 0; i < z.columns(); i++) {
          mean += a.get(n, i) * u.get(row, i);
        }
        for (int i = 0; i < z.columns(); i++) {
          g.set(row, i, a.get(n, i) * (u.get(row, i) - mean));
        }
      }
    }
  }

  @Override
  public void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix activated, Matrix gradient) {
    product(1, gradientAbove, false, weightsAbove, false, 0, gradient);
    activationBackward(activation, preActivation, activated, gradient, gradient);
  }

  @Override
  public void addSquares(double scale, Matrix gradient, Matrix sensitivity) {
    ReferenceMatrix g = (ReferenceMatrix) gradient;
    ReferenceMatrix s = (ReferenceMatrix) sensitivity;
    for (int row = 0; row < g.rows(); row++) {
      for (int i = 0; i < g.columns(); i++) {
        s.add(row % s.rows(), i, scale * g.get(row, i) * g.get(row, i));
      }
    }
  }

  @Override
  public void clear(Matrix matrix) {
    ReferenceMatrix m = (ReferenceMatrix) matrix;
    Arrays.fill(m.values(), m.offset(), m.offset() + (int) m.elements(), 0);
  }

  @Override
  public void unitVectors(Matrix upstream, int samples, int firstOutput) {
    ReferenceMatrix u = (ReferenceMatrix) upstream;
    for (int row = 0; row < u.rows(); row++) {
      for (int k = 0; k < u.columns(); k++) {
        u.set(row, k, k == firstOutput + row / samples ? 1 : 0);
      }
    }
  }

  @Override
  public void rademacherVectors(Matrix upstream, int samples, int firstProbe, long firstSample, long seed) {
    ReferenceMatrix u = (ReferenceMatrix) upstream;
    for (int row = 0; row < u.rows(); row++) {
      for (int k = 0; k < u.columns(); k++) {
        int probe = firstProbe + row / samples;
        u.set(row, k, CounterRandom.sign(seed, probe, firstSample + row % samples, k, u.columns()));
      }
    }
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    ReferenceMatrix m = (ReferenceMatrix) matrix;
    for (int i = 0; i < m.elements(); i++) {
      m.values()[m.offset() + i] = CounterRandom.uniform(seed, stream, i);
    }
  }

  @Override
  public void columnMeans(Matrix x, Matrix means) {
    ReferenceMatrix m = (ReferenceMatrix) means;
    ReferenceMatrix rows = (ReferenceMatrix) x;
    clear(means);
    for (int n = 0; n < x.rows(); n++) {
      for (int j = 0; j < x.columns(); j++) {
        m.add(0, j, rows.get(n, j) / x.rows());
      }
    }
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2) {
    ReferenceMatrix s = (ReferenceMatrix) sensitivity;
    ReferenceMatrix a = (ReferenceMatrix) activation;
    ReferenceMatrix c = (ReferenceMatrix) pilotMean;
    ReferenceMatrix shifted = (ReferenceMatrix) allocate(1, a.columns());
    ReferenceMatrix squared = (ReferenceMatrix) allocate(1, a.columns());
    for (int n = 0; n < a.rows(); n++) {
      for (int j = 0; j < a.columns(); j++) {
        double x = a.get(n, j) - c.get(0, j);
        shifted.set(0, j, x);
        squared.set(0, j, x * x);
      }
      for (int i = 0; i < s.columns(); i++) {
        double weight = s.get(n, i);
        if (weight != 0) {
          ((ReferenceMatrix) m0).add(0, i, weight);
          addRow(weight, shifted, 0, (ReferenceMatrix) m1, i);
          addRow(weight, squared, 0, (ReferenceMatrix) m2, i);
        }
      }
    }
  }

  @Override
  public void shiftMoments(Matrix m0, Matrix m1, Matrix m2, Matrix from, Matrix to) {
    ReferenceMatrix zeroth = (ReferenceMatrix) m0;
    ReferenceMatrix first = (ReferenceMatrix) m1;
    ReferenceMatrix second = (ReferenceMatrix) m2;
    for (int i = 0; i < first.rows(); i++) {
      for (int j = 0; j < first.columns(); j++) {
        double d = ((ReferenceMatrix) from).get(0, j) - ((ReferenceMatrix) to).get(0, j);
        second.add(i, j, 2 * d * first.get(i, j) + d * d * zeroth.get(0, i));
        first.add(i, j, d * zeroth.get(0, i));
      }
    }
  }

  @Override
  public void add(double alpha, Matrix x, Matrix y) {
    for (int i = 0; i < x.rows(); i++) {
      addRow(alpha, (ReferenceMatrix) x, i, (ReferenceMatrix) y, i);
    }
  }

  @Override
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples) {
    ReferenceMatrix w = (ReferenceMatrix) weights;
    ReferenceMatrix first = (ReferenceMatrix) m1;
    ReferenceMatrix second = (ReferenceMatrix) m2;
    for (int i = 0; i < w.rows(); i++) {
      double total = ((ReferenceMatrix) m0).get(0, i);
      for (int j = 0; j < w.columns(); j++) {
        double weight = w.get(i, j);
        double mean = total == 0 ? 0 : first.get(i, j) / total;
        double variance = Math.max(0, second.get(i, j) - mean * first.get(i, j)) / samples;
        double center = total == 0 ? 0 : ((ReferenceMatrix) pilotMean).get(0, j) + mean;
        second.set(i, j, weight * weight * variance);
        first.set(i, j, weight * center);
      }
    }
  }

  @Override
  public void absoluteProduct(Matrix weights, Matrix factor, Matrix scores) {
    for (int i = 0; i < weights.rows(); i++) {
      for (int j = 0; j < weights.columns(); j++) {
        double f = ((ReferenceMatrix) factor).get(factor.rows() == 1 ? 0 : i, j);
        ((ReferenceMatrix) scores).set(i, j, Math.abs(((ReferenceMatrix) weights).get(i, j) * f));
      }
    }
  }

  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    ReferenceMatrix w = (ReferenceMatrix) weights;
    ReferenceMatrix s = (ReferenceMatrix) scores;
    for (int i = 0; i < s.elements(); i++) {
      // Scores compare as float32, as they do on every backend and in the threshold that a Cut carries.
      float score = (float) s.values()[s.offset() + i];
      if (!Float.isFinite(score)) {
        return i;
      }
      s.values()[s.offset() + i] = w.values()[w.offset() + i] == 0 ? -1 : score;
    }
    return -1;
  }

  @Override
  public List<Cut> cuts(List<Matrix> scores, long count) {
    double[] sorted = scores.stream().map(this::values).flatMapToDouble(Arrays::stream).sorted().toArray();
    if (count == 0) {
      return scores.stream().map(_ -> Cut.NOTHING).toList();
    }
    double threshold = sorted[Math.toIntExact(count - 1)];
    long ties = count - Arrays.stream(sorted).filter(score -> score < threshold).count();
    List<Cut> cuts = new ArrayList<>();
    for (Matrix matrix : scores) {
      double[] values = values(matrix);
      long below = Arrays.stream(values).filter(score -> score < threshold).count();
      long equal = Arrays.stream(values).filter(score -> score == threshold).count();
      cuts.add(new Cut((float) threshold, below, Math.min(ties, equal)));
      ties -= cuts.getLast().ties();
    }
    return cuts;
  }

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup) {
    ReferenceMatrix s = (ReferenceMatrix) scores;
    long removed = 0;
    long group = 0;
    for (int i = 0; i < s.rows(); i++) {
      int row = i;
      for (int start = 0; start < s.columns(); start += groupWidth) {
        int width = Math.min(groupWidth, s.columns() - start);
        long quota = Math.round((group + 1.0) * removedPerGroup) - Math.round((double) group * removedPerGroup);
        long kept = Math.min(width, groupWidth - quota);
        IntStream.range(start, start + width).boxed().sorted(Comparator.comparingDouble(j -> s.get(row, j)))
            .skip(width - kept).forEach(j -> s.set(row, j, Double.POSITIVE_INFINITY));
        removed += width - kept;
        group++;
      }
    }
    return removed;
  }

  @Override
  public double eliminate(Matrix weights, Matrix scores, Cut cut) {
    ReferenceMatrix w = (ReferenceMatrix) weights;
    ReferenceMatrix s = (ReferenceMatrix) scores;
    double[] sum = {0};
    forEachRemoved(s, cut, (i, j) -> {
      w.set(i, j, 0);
      sum[0] += Math.max(0, s.get(i, j));
    });
    return sum[0];
  }

  @Override
  public void compensate(Matrix bias, Matrix scores, Matrix compensation, Cut cut) {
    forEachRemoved((ReferenceMatrix) scores, cut,
        (i, j) -> ((ReferenceMatrix) bias).add(0, i, ((ReferenceMatrix) compensation).get(i, j)));
  }

  private interface Element {
    void at(int row, int column);
  }

  private static void forEachRemoved(ReferenceMatrix scores, Cut cut, Element action) {
    long ties = cut.ties();
    for (int i = 0; i < scores.rows(); i++) {
      for (int j = 0; j < scores.columns(); j++) {
        double score = scores.get(i, j);
        if (score < cut.threshold() || (score == cut.threshold() && ties-- > 0)) {
          action.at(i, j);
        }
      }
    }
  }

  @Override
  public void crossEntropy(Matrix preActivation, Matrix targets, Matrix gradient, Matrix losses) {
    ReferenceMatrix z = (ReferenceMatrix) preActivation;
    ReferenceMatrix t = (ReferenceMatrix) targets;
    ReferenceMatrix g = (ReferenceMatrix) gradient;
    for (int n = 0; n < z.rows(); n++) {
      double logSum = softmax(z, g, n);
      double loss = 0;
      double mass = 0;
      for (int k = 0; k < z.columns(); k++) {
        loss += t.get(n, k) * (logSum - z.get(n, k));
        mass += t.get(n, k);
      }
      for (int k = 0; k < z.columns(); k++) {
        g.set(n, k, g.get(n, k) * mass - t.get(n, k));
      }
      ((ReferenceMatrix) losses).set(n, 0, loss);
    }
  }

  @Override
  public void squaredError(Matrix activated, Matrix targets, Matrix gradient, Matrix losses) {
    ReferenceMatrix a = (ReferenceMatrix) activated;
    for (int n = 0; n < a.rows(); n++) {
      double loss = 0;
      for (int k = 0; k < a.columns(); k++) {
        double difference = a.get(n, k) - ((ReferenceMatrix) targets).get(n, k);
        loss += difference * difference / a.columns();
        ((ReferenceMatrix) gradient).set(n, k, 2 * difference / a.columns());
      }
      ((ReferenceMatrix) losses).set(n, 0, loss);
    }
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
    ReferenceMatrix p = (ReferenceMatrix) parameter;
    ReferenceMatrix m = (ReferenceMatrix) firstMoment;
    ReferenceMatrix v = (ReferenceMatrix) secondMoment;
    double correction1 = 1 - Math.pow(adam.beta1(), (double) step);
    double correction2 = 1 - Math.pow(adam.beta2(), (double) step);
    for (int i = 0; i < p.rows(); i++) {
      for (int j = 0; j < p.columns(); j++) {
        double g = ((ReferenceMatrix) gradient).get(i, j);
        m.set(i, j, adam.beta1() * m.get(i, j) + (1 - adam.beta1()) * g);
        v.set(i, j, adam.beta2() * v.get(i, j) + (1 - adam.beta2()) * g * g);
        if (!keepZeros || p.get(i, j) != 0) {
          double mean = m.get(i, j) / correction1;
          double root = Math.sqrt(v.get(i, j) / correction2);
          p.add(i, j, -adam.learningRate() * mean / (root + adam.epsilon()));
        }
      }
    }
  }

  @Override
  public void close() {
    // Holds nothing.
  }
}
