package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.TwoOfFourChain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.SparseProductKernel;
import dev.espalier.kernels.SparseWeights;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/// By [SparseProductKernel] in the layers that it admits, by the backend's products in the others.
final class CudaTwoOfFourChain implements TwoOfFourChain {
  private final CudaBackend backend;
  private final CudaMemory memory;
  private final CudaNetwork network;
  private final SparseProductKernel kernel;
  private final int samples;
  private final List<Layer> layers = new ArrayList<>();
  private final Resources resources;

  /// z = x Wᵀ
  private interface Product {
    void multiply(Matrix x, Matrix z);
  }

  private record Layer(Product product, Matrix bias, Activation activation, Matrix preActivation, Matrix activated) {}

  private CudaTwoOfFourChain(Driver driver, CudaBackend backend, CudaMemory memory, CudaNetwork network,
      DenseNetwork chain, int samples, Resources resources) {
    this.backend = backend;
    this.memory = memory;
    this.network = network;
    this.samples = samples;
    this.resources = resources;
    kernel = new SparseProductKernel(driver);
    for (DenseLayer layer : chain.layers()) {
      Matrix bias = resources.own(backend.allocate(1, layer.outputs()));
      layer.bias().ifPresent(values -> backend.upload(values, bias));
      layers.add(new Layer(admits(layer) ? sparse(layer) : dense(layer), bias, layer.activation(),
          resources.own(backend.allocate(samples, layer.outputs())),
          resources.own(backend.allocate(samples, layer.outputs()))));
    }
  }

  /// Of a chain of layers, closed by the caller.
  static TwoOfFourChain of(Driver driver, CudaBackend backend, CudaMemory memory, CudaNetwork network,
      DenseNetwork chain, int samples) {
    return Resources
        .build(resources -> new CudaTwoOfFourChain(driver, backend, memory, network, chain, samples, resources));
  }

  /// @throws DeviceUnavailableException if the GPU's tensor cores take no sparse operand
  static void requireCapable(Driver driver) {
    if (!SparseProductKernel.runsOn(driver)) {
      throw new DeviceUnavailableException(
          "%s has no products of 2:4 weights, which came with compute capability 8.0".formatted(driver.name()), null);
    }
  }

  /// Whether the weights of a layer are 2:4.
  static boolean admits(DenseLayer layer) {
    return SparseWeights.admits(layer.outputs(), layer.inputs(), layer.weights().segment());
  }

  private Product sparse(DenseLayer layer) {
    int words = Math.toIntExact(SparseWeights.bytes(1, layer.inputs()) / Float.BYTES);
    int rows = Math.toIntExact(SparseWeights.bytes(layer.outputs(), 1) / SparseWeights.bytes(1, 1));
    DeviceMatrix packed = device(resources.own(backend.allocate(rows, words)));
    try (Arena arena = Arena.ofShared()) {
      MatrixView host = MatrixView.allocate(arena, rows, words);
      SparseWeights.pack(layer.name(), layer.outputs(), layer.inputs(), layer.weights().segment(), host.segment());
      backend.upload(host, backend.wrap(packed.address(), rows, words));
    }
    SparseWeights weights = new SparseWeights(new DeviceBuffer(packed.address(), packed.bytes()), layer.outputs(),
        layer.inputs());
    DeviceBuffer workspace = buffer(kernel.workspace(samples, layer.outputs(), layer.inputs()));
    return (x, z) -> kernel.multiply(device(x), weights, device(z), workspace);
  }

  private DeviceBuffer buffer(long bytes) {
    CudaMemory.Block block = memory.allocate(bytes, "2:4 products");
    resources.own(() -> memory.free(block));
    return new DeviceBuffer(block.address(), block.bytes());
  }

  private Product dense(DenseLayer layer) {
    Matrix weights = resources.own(backend.allocate(layer.outputs(), layer.inputs()));
    backend.upload(layer.weights(), weights);
    return (x, z) -> network.product(1, x, false, weights, true, 0, z);
  }

  @Override
  public void run(Matrix batch) {
    Matrix x = batch;
    for (Layer layer : layers) {
      layer.product.multiply(x, layer.preActivation);
      network.finish(layer.preActivation, layer.bias, layer.activation, layer.activated);
      x = layer.activated;
    }
  }

  @Override
  public Matrix output() {
    return layers.getLast().activated;
  }

  @Override
  public void close() {
    resources.close();
  }
}
