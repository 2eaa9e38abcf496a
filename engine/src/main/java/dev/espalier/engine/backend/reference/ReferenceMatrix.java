package dev.espalier.engine.backend.reference;

import dev.espalier.engine.backend.Matrix;
import java.util.Arrays;

/// A matrix of the reference backend, or a slice of one.
final class ReferenceMatrix implements Matrix {
  private final double[] values;
  private final int offset;
  private final int rows;
  private final int columns;

  /// @param values holds the matrix, row after row from `offset` on
  ReferenceMatrix(double[] values, int offset, int rows, int columns) {
    this.values = values;
    this.offset = offset;
    this.rows = rows;
    this.columns = columns;
  }

  /// A matrix of this backend as what it is.
  static ReferenceMatrix entries(Matrix matrix) {
    return (ReferenceMatrix) matrix;
  }

  /// A matrix of zeros.
  static ReferenceMatrix zeros(int rows, int columns) {
    return new ReferenceMatrix(new double[Math.multiplyExact(rows, columns)], 0, rows, columns);
  }

  @Override
  public int rows() {
    return rows;
  }

  @Override
  public int columns() {
    return columns;
  }

  @Override
  public Matrix slice(int first, int count) {
    return new ReferenceMatrix(values, offset + first * columns, count, columns);
  }

  double get(int row, int column) {
    return values[offset + row * columns + column];
  }

  void set(int row, int column, double value) {
    values[offset + row * columns + column] = value;
  }

  void add(int row, int column, double value) {
    values[offset + row * columns + column] += value;
  }

  /// The element at a row-major index.
  double get(int index) {
    return values[offset + index];
  }

  void set(int index, double value) {
    values[offset + index] = value;
  }

  void fill(double value) {
    Arrays.fill(values, offset, offset + (int) elements(), value);
  }

  /// Adds `factor` times row `from` of `x` to row `row`.
  void addRow(int row, double factor, ReferenceMatrix x, int from) {
    int source = x.offset + from * x.columns;
    int target = offset + row * columns;
    for (int j = 0; j < columns; j++) {
      values[target + j] += factor * x.values[source + j];
    }
  }

  ReferenceMatrix transposed() {
    ReferenceMatrix t = zeros(columns, rows);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        t.set(j, i, get(i, j));
      }
    }
    return t;
  }

  /// The elements, row after row.
  double[] toArray() {
    return Arrays.copyOfRange(values, offset, offset + (int) elements());
  }

  @Override
  public void close() {
    // The garbage collector frees the array.
  }
}
