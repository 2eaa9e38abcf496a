package dev.espalier.engine.backend;

import dev.espalier.engine.matrix.MatrixView;
import java.util.BitSet;

/// The weights of one layer that a selection removes.
public sealed interface Cut {
  /// Removes nothing.
  Below NOTHING = new Below(Float.NEGATIVE_INFINITY, 0, 0, 0);

  /// Every weight whose score is below the threshold, and the first in row-major order of those whose score equals it.
  ///
  /// @param threshold score; +∞ stands above every score of a weight that may be removed
  /// @param below how many scores are below the threshold
  /// @param ties how many scores equal to the threshold are removed
  /// @param equal how many scores equal the threshold
  record Below(float threshold, long below, long ties, long equal) implements Cut {
    /// @throws IllegalArgumentException if the threshold is NaN, a count is negative, or fewer scores are equal to it
    ///                                  than are removed
    public Below {
      if (Float.isNaN(threshold) || below < 0 || ties < 0 || equal < ties) {
        throw new IllegalArgumentException(
            "threshold=%s, below=%d, ties=%d, equal=%d".formatted(threshold, below, ties, equal));
      }
    }

    /// How many weights are removed.
    public long removed() {
      return below + ties;
    }
  }

  /// The weights of least score of each group of neighbours in a row, as [SelectionOperations#keepPerGroup] counts
  /// them.
  ///
  /// @param groupWidth 1 up to the columns
  /// @param removedPerGroup 0 up to the width; a fraction is spread over the groups
  record PerGroup(int groupWidth, double removedPerGroup) implements Cut {
    /// @throws IllegalArgumentException if a number is out of its range
    public PerGroup {
      if (groupWidth < 1 || !(removedPerGroup >= 0 && removedPerGroup <= groupWidth)) {
        throw new IllegalArgumentException("groupWidth=%d, removedPerGroup=%s".formatted(groupWidth, removedPerGroup));
      }
    }
  }

  /// The weights at which a mask is 0, whatever their score.
  ///
  /// @param mask as the weights
  record Mask(MatrixView mask) implements Cut {}

  /// All weights of some rows and some columns, whatever their score.
  ///
  /// @param rows of neurons that go: their weights count for nothing, because nothing reads them any more
  /// @param columns of inputs that go
  record Neurons(BitSet rows, BitSet columns) implements Cut {
    /// Copies the sets.
    public Neurons {
      rows = (BitSet) rows.clone();
      columns = (BitSet) columns.clone();
    }
  }
}
