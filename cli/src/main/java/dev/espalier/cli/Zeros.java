package dev.espalier.cli;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;

/// Counts weights that are zero.
final class Zeros {
  private Zeros() {}

  static long in(DenseLayer layer) {
    MatrixView weights = layer.weights();
    long zeros = 0;
    for (long i = 0; i < weights.elements(); i++) {
      if (weights.segment().getAtIndex(MatrixView.ELEMENT, i) == 0) {
        zeros++;
      }
    }
    return zeros;
  }

  static long in(DenseNetwork network) {
    return network.layers().stream().mapToLong(Zeros::in).sum();
  }

  static double sparsity(DenseLayer layer) {
    return (double) in(layer) / layer.weights().elements();
  }

  static double sparsity(DenseNetwork network) {
    return (double) in(network) / network.weights();
  }
}
