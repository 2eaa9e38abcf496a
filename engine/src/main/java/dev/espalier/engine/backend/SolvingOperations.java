package dev.espalier.engine.backend;

/// The operations of least squares: sums that do not lose digits over many batches, and conjugate gradients among the
/// weights that are left.
///
/// Conjugate gradients solve (H + λI) y = r for every row by itself: H is symmetric and the same for all rows, and the
/// unknowns of a row are the elements where its weights are not 0. They are preconditioned by the diagonal d of H
/// [Hestenes and Stiefel 1952; Saad 2003, algorithm 9.1].
///
/// Where all parameters of a network are the unknowns of one system, [#dot], [#addProduct] and [#dividedByDiagonal] are
/// its steps beside [NetworkOperations#add].
public interface SolvingOperations {
  /// d = x − 1cᵀ.
  ///
  /// @param row c, 1 × columns
  /// @param difference d, as `x`, written; may be `x` itself
  void subtractRow(Matrix x, Matrix row, Matrix difference);

  /// sum + carry += x, of one shape: the sum is rounded, and the carry takes up what rounding drops [Knuth, TwoSum], so
  /// that many batches add up as exactly as one.
  void addCarrying(Matrix x, Matrix sum, Matrix carry);

  /// The diagonal of a square matrix.
  ///
  /// @param diagonal 1 × columns, written
  void diagonal(Matrix square, Matrix diagonal);

  /// y += x where y is not 0, and y stays other than 0 there: what is 0 is a removed weight. Both have one shape.
  void addWhereNonzero(Matrix x, Matrix y);

  /// The squared norm of a preconditioned residual, relative to the first one, at which a row is solved: further steps
  /// would follow rounding, and might grow again.
  double CONVERGED = 0x1p-46;

  /// The start of conjugate gradients: r = 0 where the weights are 0, p = r / (d + λ), n = n₀ = r·p.
  ///
  /// @param weights rows × columns
  /// @param diagonal d, 1 × columns, not negative
  /// @param damping λ, above 0
  /// @param residual r, as `weights`
  /// @param direction p, as `weights`, written
  /// @param norms n and n₀, rows × 2, written: the squared norms of the preconditioned residuals, now and at the start
  void startConjugateGradients(Matrix weights, Matrix diagonal, double damping, Matrix residual, Matrix direction,
      Matrix norms);

  /// A step: with q += λp and α = n / (p·q), y += αp and r −= αq where the weights are not 0, n′ = r·r / (d + λ), p = r /
  /// (d + λ) + (n′ / n) p, n = n′. A row with n ≤ [#CONVERGED] n₀ stays as it is.
  ///
  /// @param product q = p·H, as `weights`
  /// @param solution y, as `weights`; 0 at the start
  void conjugateGradientStep(Matrix weights, Matrix diagonal, double damping, Matrix product, Matrix residual,
      Matrix direction, Matrix solution, Matrix norms);

  /// Σ x∘y, of one shape; its sum in double.
  double dot(Matrix x, Matrix y);

  /// z += α x∘y, of one shape.
  void addProduct(double alpha, Matrix x, Matrix y, Matrix z);

  /// z = r / (α d + β) where w is not 0, and 0 elsewhere, of one shape.
  ///
  /// @param weights w; may be `residual` itself
  /// @param residual r
  /// @param diagonal d, not negative
  /// @param scale α, not negative
  /// @param shift β, above 0
  /// @param quotient z, written
  void dividedByDiagonal(Matrix weights, Matrix residual, Matrix diagonal, double scale, double shift, Matrix quotient);
}
