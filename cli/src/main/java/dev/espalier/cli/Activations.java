package dev.espalier.cli;

import dev.espalier.engine.network.Activation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;

/// What `--activations` names: one for all hidden layers, or one for each layer.
record Activations(List<Activation> named) {
  Activations {
    named = List.copyOf(named);
  }

  /// @throws IllegalArgumentException if there is no such activation
  static Activations parse(String text) {
    return new Activations(Arrays.stream(text.split(",", -1)).map(Activation::parse).toList());
  }

  /// One for each of `layers` layers; one name alone is that of the hidden layers, and the last is then identity.
  ///
  /// @throws IllegalArgumentException if the numbers differ
  List<Activation> forLayers(int layers) {
    if (named.size() == 1) {
      List<Activation> all = new ArrayList<>(Collections.nCopies(layers - 1, named.getFirst()));
      all.add(Activation.IDENTITY);
      return all;
    }
    if (named.size() != layers) {
      throw new IllegalArgumentException(
          "--activations names %d, but there are %d layers; name one for all hidden layers or one for each layer"
              .formatted(named.size(), layers));
    }
    return named;
  }

  @Override
  public String toString() {
    return named.stream().map(Activation::toString).collect(Collectors.joining(","));
  }
}
