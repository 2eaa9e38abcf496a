package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;

/// Every n-th sample of another source, the first of them the n-th, or all others. Unlike the end of a file, such a
/// part holds all classes of samples that are sorted by class.
///
/// @param n at least 2
/// @param others whether these are left out, and not the others
public record EveryNth(SampleSource source, int n, boolean others) implements ForwardingSamples {
  /// @throws IllegalArgumentException if n is below 2
  /// @throws MismatchException if there are fewer than n samples
  public EveryNth {
    if (n < 2) {
      throw new IllegalArgumentException("n=%d: must be at least 2".formatted(n));
    }
    if (source.samples() < n) {
      throw new MismatchException("%s has %s: too few to hold out one of every %d".formatted(source.name(),
          Nouns.counted(source.samples(), "sample"), n));
    }
  }

  @Override
  public String name() {
    return "%d in %d samples of %s".formatted(others ? n - 1 : 1, n, source.name());
  }

  @Override
  public long samples() {
    return others ? source.samples() - source.samples() / n : source.samples() / n;
  }

  /// They are no range.
  @Override
  public long first() {
    return 0;
  }

  @Override
  public Pass open() throws IOException {
    return new Picked(source.open(), n, others, source.width());
  }

  private static final class Picked implements Pass {
    private final Pass pass;
    private final int n;
    private final boolean others;
    private final Arena arena = Arena.ofShared(); // of any thread that reads
    private final MatrixView skipped;
    private int place; // in a group of n

    Picked(Pass pass, int n, boolean others, int width) {
      this.pass = pass;
      this.n = n;
      this.others = others;
      skipped = MatrixView.allocate(arena, n - 1, width);
    }

    @Override
    public int read(MatrixView target) throws IOException {
      int rows = 0;
      while (rows < target.rows()) {
        boolean isLast = place == n - 1;
        boolean isPicked = isLast != others;
        int group = isLast ? 1 : n - 1 - place;
        int read = pass
            .read(isPicked ? target.slice(rows, Math.min(group, target.rows() - rows)) : skipped.slice(0, group));
        if (read == 0) {
          break;
        }
        place = (place + read) % n;
        rows += isPicked ? read : 0;
      }
      return rows;
    }

    @Override
    public void close() throws IOException {
      if (arena.scope().isAlive()) {
        arena.close();
      }
      pass.close();
    }
  }
}
