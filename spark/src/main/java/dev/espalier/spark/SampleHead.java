package dev.espalier.spark;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.util.Iterator;
import java.util.List;

/// Samples of which the driver has the first few only.
///
/// @param samples how many there are
/// @param head the first of them
record SampleHead(String name, long samples, int width, List<float[]> head) implements SampleSource {
  @Override
  public Pass open() {
    Iterator<float[]> left = head.iterator();
    return new Pass() {
      @Override
      public int read(MatrixView target) {
        int read = 0;
        while (read < target.rows() && left.hasNext()) {
          target.store(left.next(), width, (long) read * width);
          read++;
        }
        return read;
      }

      @Override
      public void close() {
        // Holds nothing.
      }
    };
  }
}
