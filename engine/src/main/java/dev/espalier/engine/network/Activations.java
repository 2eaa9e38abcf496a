package dev.espalier.engine.network;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;

/// The activations of a chain of layers as a user names them: one for all hidden layers, or one for each layer.
///
/// @param named at least one
public record Activations(List<Activation> named) {
  /// Copies the list.
  public Activations {
    named = List.copyOf(named);
  }

  /// Names separated by commas.
  ///
  /// @throws IllegalArgumentException if there is no such activation
  public static Activations parse(String text) {
    return new Activations(Arrays.stream(text.split(",", -1)).map(Activation::parse).toList());
  }

  /// One for each of `layers` layers. A single name for several layers is that of the hidden ones; the last is then
  /// identity.
  ///
  /// @throws MismatchException if the numbers differ
  public List<Activation> forLayers(int layers) {
    if (named.size() == 1 && layers > 1) {
      List<Activation> all = new ArrayList<>(Collections.nCopies(layers - 1, named.getFirst()));
      all.add(Activation.IDENTITY);
      return all;
    }
    if (named.size() != layers) {
      throw new MismatchException("%s (%s) for %s; give one for each, or one for all hidden layers"
          .formatted(Nouns.counted(named.size(), "activation"), this, Nouns.counted(layers, "layer")));
    }
    return named;
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    return named.stream().map(Activation::toString).collect(Collectors.joining(","));
  }
}
