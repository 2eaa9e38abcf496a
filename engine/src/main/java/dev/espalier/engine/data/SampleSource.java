package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.util.List;

/// Rows of numbers read in order and in batches, as often as wanted: calibration samples, labels, a test set.
/// A source is a description; nothing is held between passes, and several passes may run at once.
public interface SampleSource {
  /// What an error message calls the source, for example the file and the tensor in it.
  String name();

  /// Rows in one pass, at least 1.
  long samples();

  /// Numbers in each row, at least 1.
  int width();

  /// Whether only the thread that opens a pass may read it; otherwise any may, one at a time.
  default boolean isThreadConfined() {
    return true;
  }

  /// What a user should know of how the source is read.
  default List<SourceNote> notes() {
    return List.of();
  }

  /// Starts a pass at the first row.
  ///
  /// @throws IOException if the source cannot be read
  Pass open() throws IOException;

  /// One reading from the first row to the last; closed by who opened it.
  interface Pass extends AutoCloseable {
    /// Fills rows of `target` from its first on, with as many rows as fit and are left.
    ///
    /// @param target any rows × [SampleSource#width()]
    /// @return rows filled; 0 at the end
    /// @throws IOException if the source cannot be read or is damaged; the message names it
    int read(MatrixView target) throws IOException;

    @Override
    void close() throws IOException;
  }
}
