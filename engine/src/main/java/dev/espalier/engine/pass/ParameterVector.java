package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

/// A number for each weight and bias of a network that may change: a direction, a gradient.
public final class ParameterVector implements Resource {
  /// The part of a layer.
  ///
  /// @param number of the layer in its network, from 0
  /// @param weights outputs × inputs
  /// @param bias 1 × outputs; empty where the bias stays as it is
  public record Part(int number, Matrix weights, Optional<Matrix> bias) {}

  private final Backend backend;
  private final List<Part> parts;
  private final Resources resources;

  private ParameterVector(Backend backend, List<Part> parts, Resources resources) {
    this.backend = backend;
    this.parts = List.copyOf(parts);
    this.resources = resources;
  }

  /// Zeros for the layers that `of` has, closed by the caller.
  ///
  /// @param backend has their memory
  public static ParameterVector zeros(Backend backend, ParameterVector of) {
    return Resources.build(resources -> {
      List<Part> parts = new ArrayList<>();
      for (Part part : of.parts) {
        parts.add(new Part(part.number, zeros(backend, part.weights, resources),
            part.bias.map(bias -> zeros(backend, bias, resources))));
      }
      return new ParameterVector(backend, parts, resources);
    });
  }

  private static Matrix zeros(Backend backend, Matrix of, Resources resources) {
    return resources.own(backend.allocateWeights(of.rows(), of.columns()));
  }

  /// A view of the parameters of a network.
  ///
  /// @param parts which of them, ascending
  public static ParameterVector of(Backend backend, List<Part> parts) {
    return new ParameterVector(backend, parts, new Resources());
  }

  /// By layer, ascending.
  public List<Part> parts() {
    return parts;
  }

  /// Weights and biases by layer, ascending.
  public List<Matrix> matrices() {
    return parts.stream()
        .flatMap(
            part -> part.bias().map(bias -> Stream.of(part.weights, bias)).orElseGet(() -> Stream.of(part.weights)))
        .toList();
  }

  /// Becomes 0.
  public void clear() {
    matrices().forEach(backend::clear);
  }

  /// Takes the numbers of another vector of the same parameters.
  public void load(ParameterVector from) {
    forEach(from, (x, y) -> backend.network().copyColumns(x, 0, y, 0, x.columns()));
  }

  /// Adds a multiple of another vector of the same parameters.
  public void add(double factor, ParameterVector x) {
    forEach(x, (from, to) -> backend.network().add(factor, from, to));
  }

  /// Takes the numbers of another vector of the same parameters, in the memory of another backend.
  public void loadAcross(ParameterVector from) {
    forEach(from, (x, y) -> {
      try (Arena arena = Arena.ofShared()) { // several threads copy what is large
        backend.upload(from.backend.onHost(x, arena), y);
      }
    });
  }

  /// Adds another vector of the same parameters, in the memory of another backend.
  public void addAcross(ParameterVector x) {
    forEach(x, (from, to) -> {
      try (Arena arena = Arena.ofShared(); Matrix copy = backend.allocateWeights(from.rows(), from.columns())) {
        backend.upload(x.backend.onHost(from, arena), copy);
        backend.network().add(1, copy, to);
      }
    });
  }

  /// Adds a multiple of x∘y, of vectors of the same parameters.
  public void addProduct(double factor, ParameterVector x, ParameterVector y) {
    List<Matrix> right = y.matrices();
    List<Matrix> to = matrices();
    for (int i = 0; i < to.size(); i++) {
      backend.solving().addProduct(factor, x.matrices().get(i), right.get(i), to.get(i));
    }
  }

  /// The scalar product with another vector of the same parameters.
  public double dot(ParameterVector other) {
    double sum = 0;
    for (int i = 0; i < matrices().size(); i++) {
      sum += backend.solving().dot(matrices().get(i), other.matrices().get(i));
    }
    return sum;
  }

  private void forEach(ParameterVector from, BiConsumer<Matrix, Matrix> work) {
    List<Matrix> to = matrices();
    for (int i = 0; i < to.size(); i++) {
      work.accept(from.matrices().get(i), to.get(i));
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
