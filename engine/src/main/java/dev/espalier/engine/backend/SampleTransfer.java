package dev.espalier.engine.backend;

import dev.espalier.engine.data.BatchBuffers;

/// The buffers of a pass, from which batches come into a backend's memory.
public interface SampleTransfer extends BatchBuffers, Resource {
  /// Copies the batch that was [taken][#take] last into the first rows of a matrix, once earlier work is done. It may be
  /// copied several times.
  ///
  /// @param target as many rows × inputs
  void load(Matrix target);

  @Override
  void close();
}
