package dev.espalier.engine.backend;

import dev.espalier.engine.matrix.MatrixView;

/// A network whose weights are kept in compressed rows, without their zeros, for batches of one size. One thread uses it
/// at a time.
public interface SparseNetwork extends Resource {
  /// Runs the network. All threads must be allowed to read and write the matrices.
  ///
  /// @param batch  samples × inputs, as many samples as it was made for
  /// @param output samples × outputs, written
  void run(MatrixView batch, MatrixView output);
}
