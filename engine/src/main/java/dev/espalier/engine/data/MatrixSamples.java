package dev.espalier.engine.data;

import dev.espalier.engine.matrix.HostCopy;
import dev.espalier.engine.matrix.MatrixView;

/// Samples that are in memory: the rows of a matrix, whose memory must outlive all passes.
public record MatrixSamples(String name, MatrixView values) implements SampleSource {
  @Override
  public long samples() {
    return values.rows();
  }

  @Override
  public int width() {
    return values.columns();
  }

  @Override
  public boolean isThreadConfined() {
    return values.isThreadConfined();
  }

  @Override
  public boolean isInMemory() {
    return true;
  }

  @Override
  public Pass open() {
    return new Pass() {
      private int position;

      @Override
      public int read(MatrixView target) {
        if (target.columns() != width()) {
          throw new IllegalArgumentException(
              "%s has rows of %d, the target of %d".formatted(name, width(), target.columns()));
        }
        int rows = Math.min(target.rows(), values.rows() - position);
        if (rows > 0) {
          HostCopy.copy(values.slice(position, rows).segment(), target.segment());
          position += rows;
        }
        return rows;
      }

      @Override
      public void close() {}
    };
  }
}
