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

  /// A view of `count` rows from `first` on; its owner must outlive it.
  Matrix slice(int first, int count);

  /// Gives the memory back once the work that uses it is done. May be called twice; does nothing to a [slice][#slice].
  @Override
  void close();
}
