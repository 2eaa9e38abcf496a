package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.SparseChain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.util.ArrayList;
import java.util.List;

/// A [SparseChain] for one sample, on the thread that runs it: each weight is used once, so that loops over arrays are
/// as fast as oneDNN's kernels, which work on many samples at once.
final class CpuSparseSample implements SparseChain {
  /// A layer.
  ///
  /// @param input of the layer
  /// @param output its pre-activation, then its activation, which is the input of the next layer
  @SuppressWarnings("ArrayRecordComponent") // not compared
  private record Layer(CpuCompressedRows weights, float[] bias, Activation activation, float[] input, float[] output) {}

  private final List<Layer> layers = new ArrayList<>();

  CpuSparseSample(DenseNetwork network) {
    float[] input = new float[network.inputs()];
    for (DenseLayer layer : network.layers()) {
      float[] output = new float[layer.outputs()];
      layers.add(new Layer(CpuCompressedRows.of(layer),
          layer.bias().map(MatrixView::toArray).orElseGet(() -> new float[layer.outputs()]), layer.activation(), input,
          output));
      input = output;
    }
  }

  @Override
  public void run(MatrixView batch, MatrixView output) {
    batch.load(0, layers.getFirst().input, batch.columns());
    for (Layer layer : layers) {
      multiply(layer.weights.first(), layer.weights.columns(), layer.weights.values(), layer.bias, layer.input,
          layer.output);
      activate(layer.activation, layer.output);
    }
    output.store(layers.getLast().output, output.columns(), 0);
  }

  /// z = W·x + b, in four sums that do not wait for each other.
  private static void multiply(int[] first, int[] columns, float[] values, float[] bias, float[] x, float[] z) {
    for (int i = 0; i < z.length; i++) {
      int end = first[i + 1];
      int p = first[i];
      float a = bias[i];
      float b = 0;
      float c = 0;
      float d = 0;
      for (; p + 4 <= end; p += 4) {
        a += values[p] * x[columns[p]];
        b += values[p + 1] * x[columns[p + 1]];
        c += values[p + 2] * x[columns[p + 2]];
        d += values[p + 3] * x[columns[p + 3]];
      }
      for (; p < end; p++) {
        a += values[p] * x[columns[p]];
      }
      z[i] = a + b + (c + d);
    }
  }

  private static void activate(Activation activation, float[] z) {
    if (!activation.isElementwise()) {
      CpuActivation.rowForward(activation, z, z, z.length);
      return;
    }
    CpuTile tile = CpuTile.ofThread();
    for (int first = 0; first < z.length; first += CpuTile.LENGTH) {
      int count = Math.min(CpuTile.LENGTH, z.length - first);
      System.arraycopy(z, first, tile.a, 0, count);
      CpuActivation.forward(activation, tile.a, tile.b, count);
      System.arraycopy(tile.b, 0, z, first, count);
    }
  }

  @Override
  public void close() {
    // Arrays only.
  }
}
