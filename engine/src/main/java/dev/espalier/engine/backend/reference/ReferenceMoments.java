package dev.espalier.engine.backend.reference;

import static dev.espalier.engine.backend.reference.ReferenceMatrix.entries;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;

/// Sums over samples, and scores, by plain loops.
final class ReferenceMoments implements MomentOperations {
  @Override
  public void columnMeans(Matrix x, Matrix means) {
    entries(means).fill(0);
    for (int n = 0; n < x.rows(); n++) {
      for (int j = 0; j < x.columns(); j++) {
        entries(means).add(0, j, entries(x).get(n, j) / x.rows());
      }
    }
  }

  @Override
  public void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2) {
    ReferenceMatrix s = entries(sensitivity);
    ReferenceMatrix a = entries(activation);
    ReferenceMatrix c = entries(pilotMean);
    ReferenceMatrix shifted = ReferenceMatrix.zeros(1, a.columns());
    ReferenceMatrix squared = ReferenceMatrix.zeros(1, a.columns());
    for (int n = 0; n < a.rows(); n++) {
      for (int j = 0; j < a.columns(); j++) {
        double x = a.get(n, j) - c.get(0, j);
        shifted.set(0, j, x);
        squared.set(0, j, x * x);
      }
      for (int i = 0; i < s.columns(); i++) {
        double weight = s.get(n, i);
        if (weight != 0) {
          entries(m0).add(0, i, weight);
          entries(m1).addRow(i, weight, shifted, 0);
          entries(m2).addRow(i, weight, squared, 0);
        }
      }
    }
  }

  @Override
  public double roundoff() {
    return 0x1p-53;
  }

  @Override
  public void cancelled(Matrix weights, Matrix m0, Matrix m1, Matrix m2, double fraction, Matrix largest) {
    entries(largest).fill(0);
    for (int i = 0; i < weights.rows(); i++) {
      double total = entries(m0).get(0, i);
      for (int j = 0; j < weights.columns(); j++) {
        double first = entries(m1).get(i, j);
        double second = entries(m2).get(i, j);
        if (total != 0 && second - first * first / total < fraction * second) {
          double weight = entries(weights).get(i, j);
          entries(largest).set(0, j, Math.max(entries(largest).get(0, j), weight * weight * second));
        }
      }
    }
  }

  @Override
  public void addColumnSquares(Matrix x, Matrix squares) {
    for (int n = 0; n < x.rows(); n++) {
      for (int j = 0; j < x.columns(); j++) {
        double value = entries(x).get(n, j);
        entries(squares).add(0, j, value * value);
      }
    }
  }

  @Override
  public void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples) {
    ReferenceMatrix w = entries(weights);
    ReferenceMatrix first = entries(m1);
    ReferenceMatrix second = entries(m2);
    for (int i = 0; i < w.rows(); i++) {
      double total = entries(m0).get(0, i);
      for (int j = 0; j < w.columns(); j++) {
        double weight = w.get(i, j);
        double mean = total == 0 ? 0 : first.get(i, j) / total;
        double variance = Math.max(0, second.get(i, j) - mean * first.get(i, j)) / samples;
        double center = total == 0 ? 0 : entries(pilotMean).get(0, j) + mean;
        second.set(i, j, weight * weight * variance);
        first.set(i, j, weight * center);
      }
    }
  }

  @Override
  public void absoluteProduct(double scale, Matrix weights, Matrix factor, Matrix scores) {
    for (int i = 0; i < weights.rows(); i++) {
      for (int j = 0; j < weights.columns(); j++) {
        double f = scale * entries(factor).get(factor.rows() == 1 ? 0 : i, j);
        entries(scores).set(i, j, Math.abs(entries(weights).get(i, j) * f));
      }
    }
  }

  @Override
  public void addOuterProduct(double kept, Matrix sums, double scale, Matrix column, Matrix row) {
    for (int i = 0; i < sums.rows(); i++) {
      for (int j = 0; j < sums.columns(); j++) {
        double added = scale * entries(column).get(0, i) * entries(row).get(0, j);
        entries(sums).set(i, j, kept * entries(sums).get(i, j) + added);
      }
    }
  }

  @Override
  public void uniform(Matrix matrix, long seed, long stream) {
    for (int i = 0; i < matrix.elements(); i++) {
      entries(matrix).set(i, CounterRandom.uniform(seed, stream, i));
    }
  }
}
