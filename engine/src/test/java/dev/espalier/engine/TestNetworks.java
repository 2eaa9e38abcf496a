package dev.espalier.engine;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Random networks and samples, and a plain evaluation of networks in double that shares no code with the engine.
public final class TestNetworks {
  private TestNetworks() {}

  /// The seeded generator of tests.
  public static RandomGenerator random(long seed) {
    return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
  }

  /// A network of normal weights, scaled by 1/√inputs, and biases.
  public static DenseNetwork network(Arena arena, long seed, List<Integer> widths, List<Activation> activations) {
    RandomGenerator random = random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < activations.size(); l++) {
      int inputs = widths.get(l);
      layers.add(new DenseLayer("layer" + l, normal(arena, random, widths.get(l + 1), inputs, 1 / Math.sqrt(inputs), 0),
          Optional.of(normal(arena, random, 1, widths.get(l + 1), 0.3, 0)), activations.get(l)));
    }
    return new DenseNetwork(layers);
  }

  /// Normal numbers.
  public static MatrixView normal(Arena arena, RandomGenerator random, int rows, int columns, double spread,
      double mean) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        matrix.set(i, j, (float) (mean + spread * random.nextGaussian()));
      }
    }
    return matrix;
  }

  /// Samples in memory.
  public static Dataset source(MatrixView samples) {
    return Dataset.of(new MatrixSamples("samples", samples));
  }

  /// Samples with labels in memory.
  public static Dataset source(MatrixView samples, MatrixView labels) {
    return Dataset.of(new MatrixSamples("samples", samples), new MatrixSamples("labels", labels));
  }

  /// Parameters of a network in double: `weights[l][i][j]` and `bias[l][i]`.
  @SuppressWarnings("ArrayRecordComponent")
  public record Plain(double[][][] weights, double[][] biases, List<Activation> activations) {
    /// A copy of `network`'s parameters.
    public static Plain of(DenseNetwork network) {
      double[][][] weights = new double[network.layers().size()][][];
      double[][] biases = new double[weights.length][];
      for (int l = 0; l < weights.length; l++) {
        DenseLayer layer = network.layers().get(l);
        weights[l] = new double[layer.outputs()][layer.inputs()];
        biases[l] = new double[layer.outputs()];
        for (int i = 0; i < layer.outputs(); i++) {
          for (int j = 0; j < layer.inputs(); j++) {
            weights[l][i][j] = layer.weights().get(i, j);
          }
          int neuron = i;
          biases[l][i] = layer.bias().map(b -> (double) b.get(0, neuron)).orElse(0.0);
        }
      }
      return new Plain(weights, biases, network.layers().stream().map(DenseLayer::activation).toList());
    }

    /// y of one sample.
    public double[] output(double[] x) {
      return output(x, weights.length);
    }

    /// The activation after the first `layers` layers.
    public double[] output(double[] x, int layers) {
      double[] a = x;
      for (int l = 0; l < layers; l++) {
        double[] z = new double[biases[l].length];
        for (int i = 0; i < z.length; i++) {
          z[i] = biases[l][i];
          for (int j = 0; j < a.length; j++) {
            z[i] += weights[l][i][j] * a[j];
          }
        }
        a = activate(activations.get(l), z);
      }
      return a;
    }

    private static double[] activate(Activation activation, double[] z) {
      double[] a = new double[z.length];
      double sum = 0;
      for (int i = 0; i < z.length; i++) {
        a[i] = activation == Activation.SOFTMAX ? Math.exp(z[i]) : activation.value(z[i]);
        sum += a[i];
      }
      if (activation == Activation.SOFTMAX) {
        for (int i = 0; i < z.length; i++) {
          a[i] /= sum;
        }
      }
      return a;
    }
  }

  /// Row n of a matrix in double.
  public static double[] row(MatrixView matrix, int n) {
    double[] row = new double[matrix.columns()];
    for (int j = 0; j < row.length; j++) {
      row[j] = matrix.get(n, j);
    }
    return row;
  }
}
