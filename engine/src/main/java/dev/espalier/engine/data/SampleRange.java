package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;

/// Neighbouring samples of another source.
///
/// @param first the position of the first of them there
/// @param samples how many, at least 1
public record SampleRange(SampleSource source, long first, long samples) implements ForwardingSamples {
  /// @throws IllegalArgumentException if there are none, or fewer in the source
  public SampleRange {
    if (first < 0 || samples < 1 || first > source.samples() - samples) {
      throw new IllegalArgumentException("first=%d, samples=%d of %d".formatted(first, samples, source.samples()));
    }
  }

  @Override
  public Pass open() throws IOException {
    Pass pass = source.open();
    try {
      pass.skip(first, width());
    } catch (IOException | RuntimeException e) {
      pass.close();
      throw e;
    }
    return new Pass() {
      private long left = samples;

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
