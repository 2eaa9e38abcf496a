package dev.espalier.bench;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.network.Activation;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// z = x·Wᵀ + b and φ(z); the product alone is the limit of what the layer can reach.
@State(Scope.Thread)
public class DenseForwardBenchmark {
  /// samples × outputs × inputs
  @Param({"512x300x784", "512x2048x2048"})
  public String shape;

  /// φ
  @Param({"relu", "tanh", "gelu"})
  public String activation;

  private Activation function;
  private Matrix x;
  private Matrix weights;
  private Matrix bias;
  private Matrix z;
  private Matrix a;

  /// Makes a layer and checks an element.
  @Setup
  public void open(OnCpu cpu) {
    int[] sizes = Inputs.numbers(shape);
    function = Activation.parse(activation);
    x = cpu.normal(1, sizes[0], sizes[2]);
    weights = cpu.normal(2, sizes[1], sizes[2]);
    bias = cpu.normal(3, 1, sizes[1]);
    z = cpu.zeros(sizes[0], sizes[1]);
    a = cpu.zeros(sizes[0], sizes[1]);
    cpu.backend().network().denseForward(x, weights, bias, function, z, a);
    float[] samples = Inputs.download(cpu.backend(), x);
    float[] first = Inputs.download(cpu.backend(), weights);
    double expected = Inputs.download(cpu.backend(), bias)[0];
    for (int j = 0; j < sizes[2]; j++) {
      expected += (double) samples[j] * first[j];
    }
    Inputs.requireClose("activation", new float[]{(float) function.value(expected)},
        new float[]{Inputs.download(cpu.backend(), a)[0]}, 1e-3);
  }

  /// The layer.
  @Benchmark
  public Matrix layer(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().denseForward(x, weights, bias, function, z, a);
    work.flops(2.0 * x.elements() * weights.rows());
    return a;
  }

  /// Its product alone.
  @Benchmark
  public Matrix product(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().product(1, x, false, weights, true, 0, z);
    work.flops(2.0 * x.elements() * weights.rows());
    return z;
  }
}
