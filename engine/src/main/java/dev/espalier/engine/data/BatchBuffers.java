package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;

/// Memory that [Batches] reads samples into, and what becomes of a batch then: it stays there, or goes to a device.
public interface BatchBuffers extends AutoCloseable {
  /// How many buffers there are. With several, and a source that any thread may read, a thread reads the next batches
  /// while one is used.
  int count();

  /// Most samples of a batch × inputs, written by the thread that reads.
  MatrixView buffer(int number);

  /// Takes the batch in the first rows of a buffer, which may be filled again on return if there are several.
  ///
  /// @return the index of the first element, in row-major order, that is NaN or infinite; −1 if all are finite
  long take(int number, int rows);

  /// Gives the memory back; may be called twice.
  @Override
  void close();
}
