package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.util.List;

/// The first samples of another source.
///
/// @param limit how many at the most, at least 1
public record LimitedSamples(SampleSource source, long limit) implements SampleSource {
  /// @throws IllegalArgumentException if the limit is below 1
  public LimitedSamples {
    if (limit < 1) {
      throw new IllegalArgumentException("limit=%d: must be at least 1".formatted(limit));
    }
  }

  @Override
  public String name() {
    return source.name();
  }

  @Override
  public long samples() {
    return Math.min(limit, source.samples());
  }

  @Override
  public int width() {
    return source.width();
  }

  @Override
  public boolean isThreadConfined() {
    return source.isThreadConfined();
  }

  @Override
  public List<SourceNote> notes() {
    return source.notes();
  }

  @Override
  public Pass open() throws IOException {
    Pass pass = source.open();
    return new Pass() {
      private long left = limit;

      @Override
      public int read(MatrixView target) throws IOException {
        if (left == 0) {
          return 0;
        }
        int read = pass.read(target.slice(0, (int) Math.min(target.rows(), left)));
        left -= read;
        return read;
      }

      @Override
      public void close() throws IOException {
        pass.close();
      }
    };
  }
}
