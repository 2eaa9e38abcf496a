package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.SolvingOperations;

/// One row of [SolvingOperations#conjugateGradientStep] in arrays, which C2 vectorises. Dot products are summed in
/// double.
final class CpuConjugateGradients {
  final float[] weights;
  final float[] diagonal;
  final float[] product;
  final float[] residual;
  final float[] direction;
  final float[] solution;

  CpuConjugateGradients(int columns) {
    weights = new float[columns];
    diagonal = new float[columns];
    product = new float[columns];
    residual = new float[columns];
    direction = new float[columns];
    solution = new float[columns];
  }

  /// @return n
  double start(float damping, int columns) {
    for (int j = 0; j < columns; j++) {
      residual[j] = weights[j] == 0 ? 0 : residual[j];
      direction[j] = residual[j] / (diagonal[j] + damping);
    }
    return dot(residual, direction, columns);
  }

  /// @return n′, or `norm` where rounding has left no curvature
  double step(float damping, float norm, int columns) {
    for (int j = 0; j < columns; j++) {
      product[j] += damping * direction[j];
    }
    double curvature = dot(direction, product, columns);
    if (!(curvature > 0)) {
      return norm;
    }
    float alpha = (float) (norm / curvature);
    for (int j = 0; j < columns; j++) {
      solution[j] += alpha * direction[j];
      residual[j] -= weights[j] == 0 ? 0 : alpha * product[j];
      product[j] = residual[j] / (diagonal[j] + damping);
    }
    double next = dot(residual, product, columns);
    float beta = (float) (next / norm);
    for (int j = 0; j < columns; j++) {
      direction[j] = product[j] + beta * direction[j];
    }
    return next;
  }

  /// In four sums, which the processor adds to at the same time.
  static double dot(float[] x, float[] y, int count) {
    double[] sums = new double[4];
    int j = 0;
    for (; j <= count - 4; j += 4) {
      for (int lane = 0; lane < 4; lane++) {
        sums[lane] += (double) x[j + lane] * y[j + lane];
      }
    }
    for (; j < count; j++) {
      sums[0] += (double) x[j] * y[j];
    }
    return sums[0] + sums[1] + (sums[2] + sums[3]);
  }
}
