package dev.espalier.engine.backend.reference;

import dev.espalier.engine.backend.Matrix;

/// A matrix, or some rows of one, of the reference backend.
final class ReferenceMatrix implements Matrix {
  private final double[] values;
  private final int offset;
  private final int rows;
  private final int columns;

  ReferenceMatrix(double[] values, int offset, int rows, int columns) {
    this.values = values;
    this.offset = offset;
    this.rows = rows;
    this.columns = columns;
  }

  @Override
  public int rows() {
    return rows;
  }

  @Override
  public int columns() {
    return columns;
  }

  /// The array that holds this matrix, row after row from [#offset] on.
  double[] values() {
    return values;
  }

  int offset() {
    return offset;
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

  @Override
  public void close() {
    // The garbage collector's.
  }
}
