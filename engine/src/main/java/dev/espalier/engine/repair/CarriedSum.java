package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;

/// A sum over batches of products aᵀb whose rounding does not grow with the number of batches.
final class CarriedSum implements Resource {
  private final Backend backend;
  private final Matrix sum;
  private final Matrix carry;
  private final Matrix term;
  private final Resources resources;

  private CarriedSum(Backend backend, int rows, int columns, Resources resources) {
    this.backend = backend;
    this.resources = resources;
    sum = resources.own(backend.allocate(rows, columns));
    carry = resources.own(backend.allocate(rows, columns));
    term = resources.own(backend.allocate(rows, columns));
  }

  static CarriedSum allocate(Backend backend, int rows, int columns) {
    return Resources.build(resources -> new CarriedSum(backend, rows, columns, resources));
  }

  /// Elements that a sum takes.
  static long elements(int rows, int columns) {
    return 3L * rows * columns;
  }

  /// Adds aᵀb.
  ///
  /// @param a samples × rows
  /// @param b samples × columns
  void add(Matrix a, Matrix b) {
    backend.network().product(1, a, true, b, false, 0, term);
    backend.solving().addCarrying(term, sum, carry);
  }

  /// Adds the squares of the columns of a batch, to a sum of one row.
  ///
  /// @param x samples × columns
  void addSquares(Matrix x) {
    backend.clear(term);
    backend.moments().addColumnSquares(x, term);
    backend.solving().addCarrying(term, sum, carry);
  }

  /// Copies the sum, rounded once, into `target`.
  void copyTo(Matrix target) {
    backend.clear(target);
    backend.network().add(1, carry, target);
    backend.network().add(1, sum, target);
  }

  @Override
  public void close() {
    resources.close();
  }
}
