package dev.espalier.engine.backend.reference;

import static dev.espalier.engine.backend.reference.ReferenceMatrix.entries;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.SolvingOperations;

/// Least squares by plain loops.
final class ReferenceSolving implements SolvingOperations {
  @Override
  public void subtractRow(Matrix x, Matrix row, Matrix difference) {
    for (int n = 0; n < x.rows(); n++) {
      for (int j = 0; j < x.columns(); j++) {
        entries(difference).set(n, j, entries(x).get(n, j) - entries(row).get(0, j));
      }
    }
  }

  /// A sum in double needs no carry.
  @Override
  public void addCarrying(Matrix x, Matrix sum, Matrix carry) {
    for (int i = 0; i < x.elements(); i++) {
      entries(sum).set(i, entries(sum).get(i) + entries(x).get(i));
    }
  }

  @Override
  public void diagonal(Matrix square, Matrix diagonal) {
    for (int j = 0; j < square.columns(); j++) {
      entries(diagonal).set(0, j, entries(square).get(j, j));
    }
  }

  @Override
  public void addWhereNonzero(Matrix x, Matrix y) {
    for (int i = 0; i < y.elements(); i++) {
      double before = entries(y).get(i);
      if (before != 0) {
        double sum = before + entries(x).get(i);
        entries(y).set(i, sum == 0 ? Math.copySign(Float.MIN_NORMAL, before) : sum);
      }
    }
  }

  @Override
  public void startConjugateGradients(Matrix weights, Matrix diagonal, double damping, Matrix residual,
      Matrix direction, Matrix norms) {
    ReferenceMatrix r = entries(residual);
    for (int i = 0; i < weights.rows(); i++) {
      double norm = 0;
      for (int j = 0; j < weights.columns(); j++) {
        if (entries(weights).get(i, j) == 0) {
          r.set(i, j, 0);
        }
        double scaled = r.get(i, j) / (entries(diagonal).get(0, j) + damping);
        entries(direction).set(i, j, scaled);
        norm += r.get(i, j) * scaled;
      }
      entries(norms).set(i, 0, norm);
      entries(norms).set(i, 1, norm);
    }
  }

  @Override
  public void conjugateGradientStep(Matrix weights, Matrix diagonal, double damping, Matrix product, Matrix residual,
      Matrix direction, Matrix solution, Matrix norms) {
    ReferenceMatrix r = entries(residual);
    ReferenceMatrix p = entries(direction);
    ReferenceMatrix q = entries(product);
    for (int i = 0; i < weights.rows(); i++) {
      double norm = entries(norms).get(i, 0);
      double curvature = 0;
      for (int j = 0; j < weights.columns(); j++) {
        curvature += p.get(i, j) * (q.get(i, j) + damping * p.get(i, j));
      }
      if (!(curvature > 0 && norm > CONVERGED * entries(norms).get(i, 1))) {
        continue;
      }
      double alpha = norm / curvature;
      double next = 0;
      for (int j = 0; j < weights.columns(); j++) {
        if (entries(weights).get(i, j) != 0) {
          entries(solution).add(i, j, alpha * p.get(i, j));
          r.add(i, j, -alpha * (q.get(i, j) + damping * p.get(i, j)));
          next += r.get(i, j) * r.get(i, j) / (entries(diagonal).get(0, j) + damping);
        }
      }
      for (int j = 0; j < weights.columns(); j++) {
        p.set(i, j, r.get(i, j) / (entries(diagonal).get(0, j) + damping) + next / norm * p.get(i, j));
      }
      entries(norms).set(i, 0, next);
    }
  }

  @Override
  public double dot(Matrix x, Matrix y) {
    double sum = 0;
    for (int i = 0; i < x.elements(); i++) {
      sum += entries(x).get(i) * entries(y).get(i);
    }
    return sum;
  }

  @Override
  public void addProduct(double alpha, Matrix x, Matrix y, Matrix z) {
    for (int i = 0; i < z.elements(); i++) {
      entries(z).set(i, entries(z).get(i) + alpha * entries(x).get(i) * entries(y).get(i));
    }
  }

  @Override
  public void dividedByDiagonal(Matrix weights, Matrix residual, Matrix diagonal, double scale, double shift,
      Matrix quotient) {
    for (int i = 0; i < quotient.elements(); i++) {
      entries(quotient).set(i,
          entries(weights).get(i) == 0 ? 0 : entries(residual).get(i) / (scale * entries(diagonal).get(i) + shift));
    }
  }
}
