package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/// The rows of several sources side by side.
///
/// @param name  what messages call them together
/// @param parts from the first column on, at least one
public record JoinedSamples(String name, List<SampleSource> parts) implements SampleSource {
  /// @throws MismatchException if they differ in number
  public JoinedSamples {
    parts = List.copyOf(parts);
    SampleSource first = parts.getFirst();
    for (SampleSource part : parts) {
      if (part.samples() != first.samples()) {
        throw new MismatchException("%s has %s, and %s has %d".formatted(first.name(),
            Nouns.counted(first.samples(), "sample"), part.name(), part.samples()));
      }
    }
  }

  @Override
  public long samples() {
    return parts.getFirst().samples();
  }

  @Override
  public int width() {
    return parts.stream().mapToInt(SampleSource::width).reduce(0, Math::addExact);
  }

  @Override
  public boolean isThreadConfined() {
    return parts.stream().anyMatch(SampleSource::isThreadConfined);
  }

  @Override
  public List<SourceNote> notes() {
    return parts.stream().flatMap(part -> part.notes().stream()).toList();
  }

  @Override
  public Pass open() throws IOException {
    List<Pass> passes = new ArrayList<>();
    try {
      for (SampleSource part : parts) {
        passes.add(part.open());
      }
    } catch (IOException | RuntimeException e) {
      close(passes, e);
      throw e;
    }
    return new JoinedPass(passes);
  }

  private static void close(List<Pass> passes, Exception cause) {
    for (Pass pass : passes) {
      try {
        pass.close();
      } catch (IOException e) {
        cause.addSuppressed(e);
      }
    }
  }

  private final class JoinedPass implements Pass {
    private final List<Pass> passes;

    JoinedPass(List<Pass> passes) {
      this.passes = passes;
    }

    @Override
    public int read(MatrixView target) throws IOException {
      int rows = target.rows();
      int column = 0;
      for (int p = 0; p < passes.size(); p++) {
        int width = parts.get(p).width();
        try (Arena arena = Arena.ofConfined()) {
          MatrixView part = MatrixView.allocate(arena, target.rows(), width);
          int read = fill(passes.get(p), part, rows);
          if (p > 0 && read < rows) {
            throw new IOException("%s ends before %s".formatted(parts.get(p).name(), parts.getFirst().name()));
          }
          rows = read;
          for (int row = 0; row < rows; row++) {
            MatrixView from = part.slice(row, 1);
            target.segment().asSlice(((long) row * target.columns() + column) * Float.BYTES, (long) width * Float.BYTES)
                .copyFrom(from.segment());
          }
        }
        column += width;
      }
      return rows;
    }

    /// @return how many of so many rows there were
    private static int fill(Pass pass, MatrixView target, int rows) throws IOException {
      int read = 0;
      int more = -1;
      while (read < rows && more != 0) {
        more = pass.read(target.slice(read, rows - read));
        read += more;
      }
      return read;
    }

    @Override
    public void skip(long rows, int width) throws IOException {
      for (int p = 0; p < passes.size(); p++) {
        passes.get(p).skip(rows, parts.get(p).width());
      }
    }

    @Override
    public void close() throws IOException {
      IOException failure = null;
      for (Pass pass : passes) {
        try {
          pass.close();
        } catch (IOException e) {
          failure = failure == null ? e : failure;
        }
      }
      if (failure != null) {
        throw failure;
      }
    }
  }
}
