package dev.espalier.engine.backend.reference;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;

/// Lets tests in other packages see the reference backend's unrounded elements.
public final class ReferenceValues {
  private ReferenceValues() {}

  /// The elements of `matrix`, row after row.
  public static double[] of(Backend backend, Matrix matrix) {
    return ReferenceMatrix.entries(matrix).toArray();
  }
}
