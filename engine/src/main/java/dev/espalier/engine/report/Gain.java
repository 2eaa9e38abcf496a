package dev.espalier.engine.report;

/// What the zeros of a network are worth. Biases are not counted.
///
/// @param denseBytes         of the weights in the file, with their zeros
/// @param sparseBytes        of the weights in a sparse form; at most `denseBytes`
/// @param sparseForm         the form that takes the fewest bytes
/// @param multiplyAdds       of a sample, where zeros are multiplied too
/// @param nonzeroMultiplyAdds of a sample, where zeros are skipped
/// @param shrunkMultiplyAdds of a sample in the network without removable neurons, where zeros are multiplied too
public record Gain(long denseBytes, long sparseBytes, String sparseForm, long multiplyAdds, long nonzeroMultiplyAdds,
    long shrunkMultiplyAdds) {
  /// @throws IllegalArgumentException if something became larger
  public Gain {
    if (sparseBytes < 0 || sparseBytes > denseBytes || nonzeroMultiplyAdds < 0 || nonzeroMultiplyAdds > multiplyAdds
        || shrunkMultiplyAdds < 0 || shrunkMultiplyAdds > multiplyAdds) {
      throw new IllegalArgumentException("bytes %d, %d, multiply-adds %d, %d, %d".formatted(denseBytes, sparseBytes,
          multiplyAdds, nonzeroMultiplyAdds, shrunkMultiplyAdds));
    }
  }
}
