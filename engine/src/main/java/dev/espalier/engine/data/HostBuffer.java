package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;

/// A buffer in host memory, in which batches are used where they were read.
public class HostBuffer implements BatchBuffers {
  private final Arena arena = Arena.ofShared(); // of the thread that makes this and the one that uses it
  private final MatrixView samples;

  /// @param rows most samples of a batch
  public HostBuffer(int rows, int columns) {
    samples = MatrixView.allocate(arena, rows, columns);
  }

  @Override
  public final int count() {
    return 1;
  }

  @Override
  public final MatrixView buffer(int number) {
    return samples;
  }

  @Override
  public final long take(int number, int rows) {
    return samples.slice(0, rows).firstNonFinite();
  }

  @Override
  public final void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
