package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.SparseNetwork;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/// A [SparseNetwork] for one sample, on the thread that runs it: each weight is used once, so that loops over arrays
/// are as fast as oneDNN's kernels, which work on many samples at once.
final class CpuSparseSample implements SparseNetwork {
  @SuppressWarnings("ArrayRecordComponent") // not compared
  private record Layer(CpuCompressedRows weights, float[] bias) {
    static Layer of(DenseLayer layer) {
      return new Layer(CpuCompressedRows.of(layer),
          layer.bias().map(MatrixView::toArray).orElseGet(() -> new float[layer.outputs()]));
    }
  }

  /// Of the nodes.
  private final List<float[]> values;
  private final List<Runnable> work = new ArrayList<>();

  CpuSparseSample(DenseNetwork network) {
    Graph graph = network.graph();
    Map<String, Layer> layers = network.layers().stream().collect(Collectors.toMap(DenseLayer::name, Layer::of));
    values = CpuSparseNetwork.values(graph, float[]::new);
    for (int n = 1; n < values.size(); n++) {
      work.add(work(graph.nodes().get(n), values.get(n), layers));
    }
  }

  @Override
  public void run(MatrixView batch, MatrixView output) {
    batch.load(0, values.getFirst(), batch.columns());
    work.forEach(Runnable::run);
    output.store(values.getLast(), output.columns(), 0);
  }

  private Runnable work(Node node, float[] y, Map<String, Layer> layers) {
    List<float[]> inputs = node.inputs().stream().map(values::get).toList();
    float[] x = inputs.getFirst();
    return switch (node) {
      case Node.Dense dense -> {
        Layer layer = layers.get(dense.name());
        yield () -> multiply(layer.weights.first(), layer.weights.columns(), layer.weights.values(), layer.bias, x, y);
      }
      case Node.Activate(_, Activation activation, _) -> activation.isElementwise()
          ? () -> activate(activation, x, y)
          : () -> CpuActivation.rowForward(activation, x, y, y.length);
      case Node.Normalize(_, boolean centred, double epsilon, _) ->
        () -> CpuNormalization.of(x, centred, epsilon).normalize(copy(x, y));
      case Node.Add _ -> () -> {
        copy(x, y);
        inputs.subList(1, inputs.size()).forEach(other -> CpuLoops.add(1, other, y, y.length));
      };
      case Node.Multiply _ -> () -> CpuLoops.multiply(inputs.getLast(), copy(x, y), y.length);
      case Node.Scale scale -> {
        float[] factors = CpuSparseNetwork.array(scale.factors());
        float[] shifts = CpuSparseNetwork.array(scale.shifts());
        yield () -> {
          CpuLoops.multiply(factors, copy(x, y), y.length);
          CpuLoops.add(1, shifts, y, y.length);
        };
      }
      case Node.Slice slice -> () -> System.arraycopy(x, slice.first(), y, 0, y.length);
      case Node.Sum _ -> () -> {
        double sum = 0;
        for (float feature : x) {
          sum += feature;
        }
        y[0] = (float) sum;
      };
      case Node.Concat _ -> () -> {
        int first = 0;
        for (float[] part : inputs) {
          System.arraycopy(part, 0, y, first, part.length);
          first += part.length;
        }
      };
      case Node.Input _ -> throw new IllegalArgumentException("the input is given");
    };
  }

  private static float[] copy(float[] x, float[] y) {
    System.arraycopy(x, 0, y, 0, y.length);
    return y;
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

  private static void activate(Activation activation, float[] z, float[] a) {
    CpuTile tile = CpuTile.ofThread();
    for (int first = 0; first < z.length; first += CpuTile.LENGTH) {
      int count = Math.min(CpuTile.LENGTH, z.length - first);
      System.arraycopy(z, first, tile.a, 0, count);
      CpuActivation.forward(activation, tile.a, tile.b, count);
      System.arraycopy(tile.b, 0, a, first, count);
    }
  }

  @Override
  public void close() {
    // Arrays only.
  }
}
