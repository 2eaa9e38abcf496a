package dev.espalier.bench;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.network.Activation;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// The loops between the products, on stacked gradients of 10 outputs.
@State(Scope.Thread)
public class ElementwiseBenchmark {
  private static final int SAMPLES = 512;
  private static final int WIDTH = 1024;
  private static final int COPIES = 10;

  /// φ
  @Param({"relu", "tanh", "gelu"})
  public String activation;

  private Activation function;
  private Matrix z;
  private Matrix upstream;
  private Matrix gradient;
  private Matrix sensitivity;

  /// Makes gradients and checks an element.
  @Setup
  public void open(OnCpu cpu) {
    function = Activation.parse(activation);
    z = cpu.normal(1, SAMPLES, WIDTH);
    upstream = cpu.normal(2, COPIES * SAMPLES, WIDTH);
    gradient = cpu.zeros(COPIES * SAMPLES, WIDTH);
    sensitivity = cpu.zeros(SAMPLES, WIDTH);
    cpu.backend().network().activationBackward(function, z, z, upstream, gradient);
    double slope = function.derivative(Inputs.download(cpu.backend(), z)[5]);
    Inputs.requireClose("gradient", new float[]{(float) (slope * Inputs.download(cpu.backend(), upstream)[5])},
        new float[]{Inputs.download(cpu.backend(), gradient)[5]}, 1e-5);
  }

  /// u ∘ φ′(z): reads u, writes g.
  @Benchmark
  public Matrix activationBackward(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().activationBackward(function, z, z, upstream, gradient);
    work.bytes(2.0 * Float.BYTES * upstream.elements());
    return gradient;
  }

  /// s += Σ g²: reads g.
  @Benchmark
  public Matrix addSquares(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().addSquares(1, upstream, sensitivity);
    work.bytes((double) Float.BYTES * upstream.elements());
    return sensitivity;
  }
}
