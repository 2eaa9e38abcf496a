package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.SolvingOperations;

/// The loops of the CPU backend over the first `count` elements of arrays. Each is a method of its own, small enough
/// for C2 to vectorise what can be.
final class CpuLoops {
  private CpuLoops() {}

  /// y = x ∘ y
  static void multiply(float[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] *= x[i];
    }
  }

  /// y += α x
  static void add(float alpha, float[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] += alpha * x[i];
    }
  }

  /// sum + carry += x, as [SolvingOperations#addCarrying].
  static void addCarrying(float[] x, float[] sum, float[] carry, int count) {
    for (int i = 0; i < count; i++) {
      float before = sum[i];
      float after = before + x[i];
      float rounded = after - before;
      carry[i] += (before - (after - rounded)) + (x[i] - rounded);
      sum[i] = after;
    }
  }

  /// y += x where y is not 0, as [SolvingOperations#addWhereNonzero].
  static void addWhereNonzero(float[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      float sum = y[i] + x[i];
      float kept = sum == 0 ? Math.copySign(Float.MIN_NORMAL, y[i]) : sum;
      y[i] = y[i] == 0 ? 0 : kept;
    }
  }

  /// z += α x∘y
  static void addProduct(float alpha, float[] x, float[] y, float[] z, int count) {
    for (int i = 0; i < count; i++) {
      z[i] += alpha * x[i] * y[i];
    }
  }

  /// r = r / (α d + β) where w is not 0, and 0 elsewhere.
  static void divideByDiagonal(float[] w, float[] r, float[] d, float alpha, float beta, int count) {
    for (int i = 0; i < count; i++) {
      float quotient = r[i] / (alpha * d[i] + beta);
      r[i] = w[i] == 0 ? 0 : quotient;
    }
  }

  /// y += x
  static void add(float[] x, double[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] += x[i];
    }
  }

  /// y += x
  static void add(double[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] = (float) (y[i] + x[i]);
    }
  }

  /// y += x ∘ x
  static void addSquares(float[] x, double[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] += (double) x[i] * x[i];
    }
  }

  /// y += α x ∘ x
  static void addSquares(float alpha, float[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] += alpha * x[i] * x[i];
    }
  }

  /// y += α x ∘ x ∘ squares
  static void addSquaredProducts(float alpha, float[] x, float[] squares, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] += alpha * (x[i] * x[i] * squares[i]);
    }
  }

  /// y = x ∘ y and sums += α y ∘ y
  static void multiplyAndAddSquares(float[] x, float[] y, float alpha, float[] sums, int count) {
    for (int i = 0; i < count; i++) {
      float product = y[i] * x[i];
      y[i] = product;
      sums[i] += alpha * product * product;
    }
  }

  /// a −= c and squares = a ∘ a.
  static void shift(float[] a, float[] c, float[] squares, int count) {
    for (int i = 0; i < count; i++) {
      float difference = a[i] - c[i];
      a[i] = difference;
      squares[i] = difference * difference;
    }
  }

  /// See [MomentOperations#eliminationScores]; one row, whose M0 is `total`.
  static void eliminationScores(float[] weights, double total, float[] pilotMean, float[] first, float[] second,
      double samples, int count) {
    double inverse = total == 0 ? 0 : 1 / total;
    double alive = total == 0 ? 0 : 1;
    for (int i = 0; i < count; i++) {
      double mean = first[i] * inverse;
      double variance = Math.max(0, second[i] - mean * first[i]) / samples;
      double weight = weights[i];
      second[i] = (float) (weight * weight * variance);
      first[i] = (float) (weight * (alive * pilotMean[i] + mean));
    }
  }

  /// See [MomentOperations#cancelled]; a row whose M0 is 1 / `inverse`. The sign selects what has cancelled: C2 does
  /// not vectorise a comparison.
  static void cancelled(float[] weights, float inverse, float[] first, float[] second, float fraction, float[] largest,
      int count) {
    for (int i = 0; i < count; i++) {
      float missing = fraction * second[i] - (second[i] - first[i] * inverse * first[i]);
      float size = Math.min(Float.MAX_VALUE, weights[i] * weights[i] * second[i]);
      largest[i] = Math.max(largest[i], size * Math.signum(Math.max(0, missing)));
    }
  }

  /// y = |αx ∘ y|, rounded once.
  static void absoluteProduct(double alpha, float[] x, float[] y, int count) {
    for (int i = 0; i < count; i++) {
      y[i] = (float) Math.abs(alpha * x[i] * y[i]);
    }
  }

  /// y = βy + αx, rounded once.
  static void scaleAndAdd(double beta, float[] y, double alpha, float[] x, int count) {
    for (int i = 0; i < count; i++) {
      y[i] = (float) (beta * y[i] + alpha * x[i]);
    }
  }

  /// See [TrainingOperations#crossEntropy]; one row.
  ///
  /// @return the loss
  static double crossEntropy(float[] z, float[] targets, float[] gradient, int count) {
    double logSum = CpuActivation.softmax(z, gradient, count);
    double loss = 0;
    double mass = 0;
    for (int k = 0; k < count; k++) {
      loss += targets[k] * (logSum - z[k]);
      mass += targets[k];
    }
    for (int k = 0; k < count; k++) {
      gradient[k] = (float) (gradient[k] * mass - targets[k]);
    }
    return loss;
  }

  /// See [TrainingOperations#squaredError]; one row, whose gradient takes the place of its activations.
  ///
  /// @return the loss
  static double squaredError(float[] targets, float[] activated, int count) {
    double loss = 0;
    for (int k = 0; k < count; k++) {
      double difference = (double) activated[k] - targets[k];
      loss += difference * difference / count;
      activated[k] = (float) (2 * difference / count);
    }
    return loss;
  }

  /// See [TrainingOperations#binaryCrossEntropy]; one row, whose gradient takes the place of its logits.
  ///
  /// @return the loss
  static double binaryCrossEntropy(float[] targets, float[] logits, int count) {
    double loss = 0;
    for (int k = 0; k < count; k++) {
      double z = logits[k];
      double small = Math.exp(-Math.abs(z));
      loss += (Math.max(z, 0) + Math.log1p(small) - targets[k] * z) / count;
      logits[k] = (float) (((z >= 0 ? 1 : small) / (1 + small) - targets[k]) / count);
    }
    return loss;
  }

  /// A step of Adam with its constants rounded to float32. 1 − β is formed in double: in float32 it would lose the
  /// digits that set the moments' size.
  record AdamStep(float beta1, float rest1, float beta2, float rest2, float rate, float correction2, float epsilon,
      boolean keepZeros) {
    static AdamStep of(Adam adam, double step, boolean keepZeros) {
      return new AdamStep((float) adam.beta1(), (float) (1 - adam.beta1()), (float) adam.beta2(),
          (float) (1 - adam.beta2()), (float) (adam.learningRate() / (1 - Math.pow(adam.beta1(), step))),
          (float) (1 / (1 - Math.pow(adam.beta2(), step))), (float) adam.epsilon(), keepZeros);
    }

    void run(float[] gradient, float[] parameter, float[] mean, float[] square, int count) {
      for (int i = 0; i < count; i++) {
        float slope = gradient[i];
        mean[i] = beta1 * mean[i] + rest1 * slope;
        square[i] = beta2 * square[i] + rest2 * slope * slope;
        float change = rate * mean[i] / ((float) Math.sqrt(square[i] * correction2) + epsilon);
        parameter[i] -= keepZeros && parameter[i] == 0 ? 0 : change;
      }
    }
  }
}
