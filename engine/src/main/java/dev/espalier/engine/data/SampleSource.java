package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
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

  /// Whether a pass reads no file, so that a copy in memory would save nothing.
  default boolean isInMemory() {
    return false;
  }

  /// What a user should know of how the source is read.
  default List<SourceNote> notes() {
    return List.of();
  }

  /// The position of the first row, where the rows are a range of another source's.
  default long first() {
    return 0;
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

    /// Passes over rows that are not wanted.
    ///
    /// @param rows how many, before any is read
    /// @param width [SampleSource#width()]
    /// @throws IOException as [#read], or if there are fewer
    default void skip(long rows, int width) throws IOException {
      try (Arena arena = Arena.ofConfined()) {
        MatrixView skipped = MatrixView.allocate(arena, Math.clamp(rows, 1, 256), width);
        for (long left = rows, read; left > 0; left -= read) {
          read = read(skipped.slice(0, (int) Math.min(left, skipped.rows())));
          if (read == 0) {
            throw new IOException("a pass ended %d rows before its range".formatted(left));
          }
        }
      }
    }

    @Override
    void close() throws IOException;
  }
}
