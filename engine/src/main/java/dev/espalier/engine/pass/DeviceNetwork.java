package dev.espalier.engine.pass;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.LayerShape;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// A network's weights and biases in the memory of a backend. A layer without a bias has one of zeros here.
public final class DeviceNetwork implements Architecture, Resource {
  /// A layer's matrices.
  ///
  /// @param weights outputs × inputs
  /// @param bias 1 × outputs; zeros of a layer without one
  /// @param hasBias whether the layer has a bias of its own
  public record Layer(String name, Matrix weights, Matrix bias, boolean hasBias,
      Activation activation) implements LayerShape {
    @Override
    public int outputs() {
      return weights.rows();
    }

    @Override
    public int inputs() {
      return weights.columns();
    }
  }

  private final Backend backend;
  private final Graph graph;
  private final List<Layer> layers;
  private final Resources resources;

  private DeviceNetwork(Backend backend, Graph graph, List<Layer> layers, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.layers = List.copyOf(layers);
    this.resources = resources;
  }

  /// A network whose matrices are the caller's, who closes them after it: a chain of layers.
  ///
  /// @throws MismatchException if the layers make no network, or a bias is not 1 × outputs
  public DeviceNetwork(Backend backend, List<Layer> layers) {
    this(backend, Graph.chain(layers), layers, new Resources());
    for (Layer layer : layers) {
      if (layer.bias().rows() != 1 || layer.bias().columns() != layer.outputs()) {
        throw new MismatchException("layer %s: the bias is %d × %d, not 1 × %d".formatted(layer.name(),
            layer.bias().rows(), layer.bias().columns(), layer.outputs()));
      }
    }
  }

  /// A copy of `network` in the memory of `backend`, closed by the caller.
  ///
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  public static DeviceNetwork copyOf(Backend backend, DenseNetwork network) {
    return Resources.build(resources -> {
      List<Layer> layers = new ArrayList<>();
      for (DenseLayer layer : network.layers()) {
        Matrix weights = resources.own(backend.allocateWeights(layer.outputs(), layer.inputs()));
        Matrix bias = resources.own(backend.allocate(1, layer.outputs()));
        layers.add(new Layer(layer.name(), weights, bias, layer.hasBias(), layer.activation()));
      }
      DeviceNetwork copy = new DeviceNetwork(backend, network.graph(), layers, resources);
      copy.load(network);
      return copy;
    });
  }

  /// A copy of another network in the memory of the same backend, closed by the caller.
  ///
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  public static DeviceNetwork copyOf(Backend backend, DeviceNetwork network) {
    return Resources.build(resources -> {
      List<Layer> layers = new ArrayList<>();
      for (Layer layer : network.layers) {
        Matrix weights = resources.own(backend.allocateWeights(layer.outputs(), layer.inputs()));
        Matrix bias = resources.own(backend.allocate(1, layer.outputs()));
        backend.network().add(1, layer.weights(), weights);
        backend.network().add(1, layer.bias(), bias);
        layers.add(new Layer(layer.name(), weights, bias, layer.hasBias(), layer.activation()));
      }
      return new DeviceNetwork(backend, network.graph, layers, resources);
    });
  }

  /// A copy of a network in the memory of another backend, closed by the caller.
  ///
  /// @param backend takes the copy
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  static DeviceNetwork replica(Backend backend, DeviceNetwork network) {
    return Resources.build(resources -> {
      List<Layer> layers = new ArrayList<>();
      for (Layer layer : network.layers) {
        layers.add(new Layer(layer.name(), resources.own(backend.allocateWeights(layer.outputs(), layer.inputs())),
            resources.own(backend.allocate(1, layer.outputs())), layer.hasBias(), layer.activation()));
      }
      DeviceNetwork copy = new DeviceNetwork(backend, network.graph, layers, resources);
      for (int l = 0; l < layers.size(); l++) {
        copy.loadAcross(network, l);
      }
      return copy;
    });
  }

  /// Takes layer `l` of a network of the same graph and shapes in the memory of another backend.
  void loadAcross(DeviceNetwork network, int l) {
    try (Arena arena = Arena.ofShared()) { // several threads copy what is large
      backend.upload(network.backend.onHost(network.layers.get(l).weights(), arena), layers.get(l).weights());
      backend.upload(network.backend.onHost(network.layers.get(l).bias(), arena), layers.get(l).bias());
    }
  }

  /// Takes the weights and biases of a network of the same graph and shapes.
  public void load(DenseNetwork network) {
    for (int l = 0; l < layers.size(); l++) {
      DenseLayer from = network.layers().get(l);
      Layer to = layers.get(l);
      backend.upload(from.weights(), to.weights());
      if (from.bias().isPresent()) {
        backend.upload(from.bias().get(), to.bias());
      } else {
        backend.clear(to.bias());
      }
    }
  }

  /// Takes the weights and biases of a network of the same graph and shapes, in the memory of the same backend.
  public void load(DeviceNetwork network) {
    for (int l = 0; l < layers.size(); l++) {
      Layer from = network.layers.get(l);
      Layer to = layers.get(l);
      backend.network().copyColumns(from.weights(), 0, to.weights(), 0, to.inputs());
      backend.network().copyColumns(from.bias(), 0, to.bias(), 0, to.outputs());
    }
  }

  /// The part that computes one of several outputs, in the matrices of this network, which closes them.
  ///
  /// @throws MismatchException if no output has the name
  public DeviceNetwork head(String name) {
    Graph part = graph.head(name);
    return new DeviceNetwork(backend, part,
        part.layers().stream().flatMap(of -> layers.stream().filter(layer -> layer.name().equals(of.name()))).toList(),
        new Resources());
  }

  @Override
  public Graph graph() {
    return graph;
  }

  @Override
  public List<Layer> layers() {
    return layers;
  }

  /// The network as it is now, in memory of `arena`. A layer that had no bias has one if its bias is no longer zero.
  ///
  /// @throws dev.espalier.engine.NonFiniteException if a weight or bias is NaN or infinite
  public DenseNetwork download(Arena arena) {
    List<DenseLayer> downloaded = new ArrayList<>();
    for (int l = 0; l < layers.size(); l++) {
      Layer layer = layers.get(l);
      downloaded.add(new DenseLayer(layer.name(), backend.download(layer.weights(), arena),
          isBiased(l) ? Optional.of(backend.download(layer.bias(), arena)) : Optional.empty(), layer.activation()));
    }
    return new DenseNetwork(graph, downloaded);
  }

  /// Whether a layer has a bias now: one of its own, or one that is no longer zero.
  public boolean isBiased(int l) {
    try (Arena arena = Arena.ofConfined()) {
      Layer layer = layers.get(l);
      return layer.hasBias() || backend.download(layer.bias(), arena).zeros() < layer.bias().elements();
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
