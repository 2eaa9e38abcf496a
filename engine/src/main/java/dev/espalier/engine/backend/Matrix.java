package dev.espalier.engine.backend;

/// A matrix in the memory of a [Backend], which alone can read it. A vector is a matrix of one row.
public interface Matrix extends Resource {
  /// At least 1.
  int rows();

  /// At least 1.
  int columns();

  /// The number of elements.
  default long elements() {
    return (long) rows() * columns();
  }

  /// Gives the memory back once the work that uses it is done. May be called twice; of a view made by
  /// [Backend#rows] it does nothing.
  @Override
  void close();
}
