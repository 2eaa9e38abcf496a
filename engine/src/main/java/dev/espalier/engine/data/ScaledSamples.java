package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.util.List;

/// Another source, each number times numerator / denominator.
public record ScaledSamples(SampleSource source, double numerator, double denominator) implements ForwardingSamples {
  /// @throws IllegalArgumentException if a factor is not finite, or zero
  public ScaledSamples {
    double factor = numerator / denominator;
    if (!Double.isFinite(factor) || factor == 0) {
      throw new IllegalArgumentException("%s/%s: must be finite, and not 0".formatted(numerator, denominator));
    }
  }

  @Override
  public List<SourceNote> notes() {
    return source.notes().stream().filter(note -> note.topic() != SourceNote.Topic.SCALE).toList();
  }

  @Override
  public Pass open() throws IOException {
    Pass pass = source.open();
    return new Pass() {
      @Override
      public int read(MatrixView target) throws IOException {
        int read = pass.read(target);
        for (long i = 0; i < (long) read * target.columns(); i++) {
          double value = target.segment().getAtIndex(MatrixView.ELEMENT, i);
          float scaled = (float) (value * numerator / denominator);
          if (Float.isInfinite(scaled) && Double.isFinite(value)) {
            throw new IOException("%s: %s is beyond float32's range once it is scaled".formatted(name(), value));
          }
          target.segment().setAtIndex(MatrixView.ELEMENT, i, scaled);
        }
        return read;
      }

      @Override
      public void skip(long rows, int width) throws IOException {
        pass.skip(rows, width);
      }

      @Override
      public void close() throws IOException {
        pass.close();
      }
    };
  }
}
