package dev.espalier.engine.backend;

/// A chain of dense layers on a GPU whose 2:4 weights, at most two of each four neighbours in a row not zero, are multiplied
/// without their zeros, in bfloat16; layers of other weights as the backend multiplies them. For batches of one size, by one
/// thread at a time.
public interface TwoOfFourChain extends Resource {
  /// Queues the network.
  ///
  /// @param batch samples × inputs, as many samples as it was made for
  void run(Matrix batch);

  /// The network's output, samples × outputs, of the last batch.
  Matrix output();
}
