package dev.espalier.engine.backend;

import java.util.List;
import java.util.Optional;

/// The operations of selection and removal.
public interface SelectionOperations {
  /// Gives the weights that are already zero the score −1, below every other, so that they count as removed first.
  ///
  /// @return the row-major index of the first score that is NaN or infinite, −1 if there is none; with one, the scores
  ///         are of no further use
  long rankZerosFirst(Matrix weights, Matrix scores);

  /// The cuts that remove exactly `count` weights of least score over all matrices together; ties break by matrix, row,
  /// column.
  ///
  /// @param scores one matrix a layer, as left by [#rankZerosFirst]
  /// @param count 0 up to the number of all scores
  /// @return a cut for each matrix
  List<Cut.Below> cuts(List<Matrix> scores, long count);

  /// Marks with +∞ the scores that stay when the least of each group of neighbours in a row are removed: a cut below +∞
  /// of the marked scores then removes the others. Group g of the matrix, counted in row-major order, loses
  /// round((g+1)·q) − round(g·q) of its scores with q = `removedPerGroup` (halves up), less by as many as the last
  /// group of a row lacks; ties break by column.
  ///
  /// @param scores as left by [#rankZerosFirst]
  /// @param groupWidth 1 up to the columns
  /// @param marked as `scores`, written: the score where it is removed, else +∞
  /// @return how many scores are left to remove
  long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup, Matrix marked);

  /// Zeroes the weights that a cut removes and, where a bias is given, adds to it the compensations of its row's
  /// removed weights: b += Σⱼ Δbᵢⱼ.
  ///
  /// @param scores as left by [#rankZerosFirst] or marked by [#keepPerGroup]
  /// @return the sum of the removed weights' scores, without those of weights that were zero before
  double remove(Matrix weights, Matrix scores, Cut.Below cut, Optional<BiasChange> compensated);
}
