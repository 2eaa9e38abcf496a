package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
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

  private final Resources resources = new Resources();
  private final List<Layer> layers = new ArrayList<>();

  /// A copy of `network` in the memory of `backend`.
  ///
  /// @throws OutOfBackendMemoryException if it does not fit
  public DeviceNetwork(Backend backend, DenseNetwork network) {
    this.backend = backend;

    try {
      for (DenseLayer layer : network.layers()) {
        Matrix weights = resources.own(backend.allocateWeights(layer.outputs(), layer.inputs()));
        Matrix bias = resources.own(backend.allocate(1, layer.outputs()));
        layers.add(new Layer(layer.name(), weights, bias, layer.hasBias(), layer.activation()));
        backend.upload(layer.weights(), weights);
        layer.bias().ifPresent(b -> backend.upload(b, bias));
      }
    } catch (OutOfBackendMemoryException e) {
      close();
      throw e;
    }
  }

  @Override
  public List<Layer> layers() {
    return List.copyOf(layers);
  }

  /// A network whose matrices are the caller's, who closes them after it.
  ///
  /// @throws IllegalArgumentException if the layers make no network, or a bias is not 1 × outputs
  public DeviceNetwork(Backend backend, List<Layer> layers) {
    Architecture.requireNetwork(layers);
    for (Layer layer : layers) {
      if (layer.bias().rows() != 1 || layer.bias().columns() != layer.outputs()) {
        throw new IllegalArgumentException("layer %s: the bias is %d × %d, not 1 × %d".formatted(layer.name(),
            layer.bias().rows(), layer.bias().columns(), layer.outputs()));
      }
    }
    this.backend = backend;
    this.layers.addAll(layers);
  }

  /// The widest layer's outputs.
  public int widestOutput() {
    return layers.stream().mapToInt(Layer::outputs).max().orElseThrow();
  }

  /// The network as it is now, in memory of `arena`. A layer that had no bias has one if its bias is no
  /// longer zero.
  public DenseNetwork download(Arena arena) {
    List<DenseLayer> downloaded = new ArrayList<>();
    for (Layer layer : layers) {
      MatrixView weights = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      MatrixView bias = MatrixView.allocate(arena, 1, layer.outputs());
      backend.download(layer.weights(), weights);
      backend.download(layer.bias(), bias);
      boolean biased = layer.hasBias() || !isZero(bias);
      downloaded.add(
          new DenseLayer(layer.name(), weights, biased ? Optional.of(bias) : Optional.empty(), layer.activation()));
    }
    return new DenseNetwork(downloaded);
  }

  private static boolean isZero(MatrixView bias) {
    for (int i = 0; i < bias.columns(); i++) {
      if (bias.get(0, i) != 0) {
        return false;
      }
    }
    return true;
  }

  @Override
  public void close() {
    resources.close();
  }
}
