package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/// Some columns of another source.
///
/// @param columns their numbers from 0, at least one
/// @param standsIn whether they have the name and the notes of the source; otherwise they are named by the first column
public record ColumnSamples(SampleSource source, List<Integer> columns, boolean standsIn) implements ForwardingSamples {
  /// @throws IllegalArgumentException if there is no such column, or none is picked
  public ColumnSamples {
    columns = List.copyOf(columns);
    if (columns.isEmpty() || columns.stream().anyMatch(column -> column < 0 || column >= source.width())) {
      throw new IllegalArgumentException("columns %s of %d".formatted(columns, source.width()));
    }
  }

  /// All columns but one.
  ///
  /// @throws IllegalArgumentException if there is no other
  public static ColumnSamples without(int column, SampleSource source) {
    return new ColumnSamples(source,
        IntStream.range(0, source.width()).filter(other -> other != column).boxed().toList(), true);
  }

  @Override
  public String name() {
    return standsIn ? source.name() : "column %s of %s".formatted(columns.getFirst() + 1, source.name());
  }

  @Override
  public int width() {
    return columns.size();
  }

  @Override
  public List<SourceNote> notes() {
    return standsIn ? source.notes() : List.of();
  }

  @Override
  public Pass open() throws IOException {
    Pass pass = source.open();
    int[] picked = columns.stream().mapToInt(Integer::intValue).toArray();
    return new Pass() {
      @Override
      public int read(MatrixView target) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
          MatrixView whole = MatrixView.allocate(arena, target.rows(), source.width());
          int read = pass.read(whole);
          for (int row = 0; row < read; row++) {
            for (int to = 0; to < picked.length; to++) {
              target.set(row, to, whole.get(row, picked[to]));
            }
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
}
