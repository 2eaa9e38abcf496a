package dev.espalier.engine.backend.cpu;

/// The normalisation y = (x − m) / √(v + ε) of one row. Sums are in double.
///
/// @param mean m
/// @param scale 1 / √(v + ε)
record CpuNormalization(boolean centred, double mean, double scale) {
  /// That of the row x.
  ///
  /// @param centred whether m is the mean of x; otherwise it is 0
  static CpuNormalization of(float[] x, boolean centred, double epsilon) {
    double sum = 0;
    for (int i = 0; centred && i < x.length; i++) {
      sum += x[i];
    }
    double mean = sum / x.length;
    double squares = 0;
    for (float value : x) {
      squares += (value - mean) * (value - mean);
    }
    return new CpuNormalization(centred, mean, 1 / Math.sqrt(squares / x.length + epsilon));
  }

  /// x becomes y.
  void normalize(float... x) {
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) ((x[i] - mean) * scale);
    }
  }

  /// u becomes (u − mean(u) − y mean(y∘u)) / √(v + ε), without mean(u) if it is not centred.
  void multiplyByJacobian(float[] y, float... u) {
    double sum = 0;
    double along = 0;
    for (int i = 0; i < u.length; i++) {
      sum += u[i];
      along += (double) y[i] * u[i];
    }
    double meanOfRow = centred ? sum / u.length : 0;
    along /= u.length;
    for (int i = 0; i < u.length; i++) {
      u[i] = (float) ((u[i] - meanOfRow - y[i] * along) * scale);
    }
  }
}
