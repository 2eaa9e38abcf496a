package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;

/// One column of another source, or all others.
///
/// @param column from 0
/// @param others whether the rows hold all columns but this one
public record ColumnSamples(SampleSource source, int column, boolean others) implements SampleSource {
  /// @throws IllegalArgumentException if there is no such column, or no other
  public ColumnSamples {
    if (column < 0 || column >= source.width() || (others && source.width() == 1)) {
      throw new IllegalArgumentException("column %d of %d, others: %s".formatted(column, source.width(), others));
    }
  }

  @Override
  public String name() {
    return others ? source.name() : "column %s of %s".formatted(column + 1, source.name());
  }

  @Override
  public long samples() {
    return source.samples();
  }

  @Override
  public int width() {
    return others ? source.width() - 1 : 1;
  }

  @Override
  public boolean isThreadConfined() {
    return source.isThreadConfined();
  }

  @Override
  public List<SourceNote> notes() {
    return others ? source.notes() : List.of();
  }

  @Override
  public Pass open() throws IOException {
    Pass pass = source.open();
    return new Pass() {
      @Override
      public int read(MatrixView target) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
          MatrixView whole = MatrixView.allocate(arena, target.rows(), source.width());
          int read = pass.read(whole);
          for (int row = 0; row < read; row++) {
            copyRow(whole, row, target);
          }
          return read;
        }
      }

      @Override
      public void close() throws IOException {
        pass.close();
      }
    };
  }

  private void copyRow(MatrixView whole, int row, MatrixView target) {
    if (!others) {
      target.set(row, 0, whole.get(row, column));
      return;
    }
    for (int to = 0; to < target.columns(); to++) {
      target.set(row, to, whole.get(row, to < column ? to : to + 1));
    }
  }
}
