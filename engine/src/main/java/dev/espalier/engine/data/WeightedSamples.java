package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.Stream;

/// The inputs of a layer, and behind them in each row the roots √s of the sensitivities of its outputs.
///
/// @param inputs        a, samples × inputs
/// @param sensitivities s, samples × outputs, ≥ 0
public record WeightedSamples(SampleSource inputs, SampleSource sensitivities) implements SampleSource {
  /// @throws MismatchException if they differ in number
  public WeightedSamples {
    if (inputs.samples() != sensitivities.samples()) {
      throw new MismatchException("%s has %s, but %s has %d".formatted(inputs.name(),
          Nouns.counted(inputs.samples(), "sample"), sensitivities.name(), sensitivities.samples()));
    }
  }

  @Override
  public String name() {
    return inputs.name();
  }

  @Override
  public long samples() {
    return inputs.samples();
  }

  @Override
  public int width() {
    return Math.addExact(inputs.width(), sensitivities.width());
  }

  @Override
  public boolean isThreadConfined() {
    return inputs.isThreadConfined() || sensitivities.isThreadConfined();
  }

  @Override
  public List<SourceNote> notes() {
    return Stream.concat(inputs.notes().stream(), sensitivities.notes().stream()).toList();
  }

  @Override
  public Pass open() throws IOException {
    Pass left = inputs.open();
    try {
      return new SideBySide(left, sensitivities.open(), inputs.width(), sensitivities);
    } catch (IOException | RuntimeException e) {
      left.close();
      throw e;
    }
  }

  private static final class SideBySide implements Pass {
    /// Rows that are read at a time.
    private static final int ROWS = 64;

    private final Pass left;
    private final Pass right;
    private final SampleSource sensitivities;
    private final Arena arena = Arena.ofShared(); // of any thread that reads
    private final MatrixView inputRows;
    private final MatrixView sensitivityRows;
    private long done;

    SideBySide(Pass left, Pass right, int inputs, SampleSource sensitivities) {
      this.left = left;
      this.right = right;
      this.sensitivities = sensitivities;
      inputRows = MatrixView.allocate(arena, ROWS, inputs);
      sensitivityRows = MatrixView.allocate(arena, ROWS, sensitivities.width());
    }

    @Override
    public int read(MatrixView target) throws IOException {
      int rows = 0;
      while (rows < target.rows()) {
        int wanted = Math.min(ROWS, target.rows() - rows);
        int read = left.read(inputRows.slice(0, wanted));
        if (read == 0) {
          break;
        }
        if (right.read(sensitivityRows.slice(0, read)) != read) {
          throw new IOException(sensitivities.name() + ": ends early; write it again");
        }
        for (int n = 0; n < read; n++) {
          join(n, target, rows + n);
        }
        rows += read;
      }
      done += rows;
      return rows;
    }

    private void join(int from, MatrixView target, int to) throws IOException {
      for (int j = 0; j < inputRows.columns(); j++) {
        target.set(to, j, inputRows.get(from, j));
      }
      for (int i = 0; i < sensitivityRows.columns(); i++) {
        float s = sensitivityRows.get(from, i);
        if (!(s >= 0 && Float.isFinite(s))) {
          throw new IOException(
              "%s is %s at [%d, %d] (sample, output): sensitivities are squares, finite and not below 0"
                  .formatted(sensitivities.name(), s, done + to, i));
        }
        target.set(to, inputRows.columns() + i, (float) Math.sqrt(s));
      }
    }

    @Override
    public void skip(long rows, int width) throws IOException {
      left.skip(rows, inputRows.columns());
      right.skip(rows, sensitivityRows.columns());
      done += rows;
    }

    @Override
    public void close() throws IOException {
      if (arena.scope().isAlive()) {
        arena.close();
      }
      try (left; right) {
        // Closes both.
      }
    }
  }
}
