package dev.espalier.bench;

import dev.espalier.engine.backend.Matrix;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// M0, M1 and M2 of a batch, against two plain products of the same shapes.
@State(Scope.Thread)
public class MomentsBenchmark {
  /// samples × outputs × inputs
  @Param({"512x300x784", "512x2048x2048", "2048x2048x2048"})
  public String shape;

  private Matrix sensitivity;
  private Matrix activation;
  private Matrix pilotMean;
  private Matrix m0;
  private Matrix m1;
  private Matrix m2;
  private Matrix weights;
  private Matrix largest;

  /// Makes a batch and compares M1 with the plain product, which is the same for a mean of 0.
  @Setup
  public void open(OnCpu cpu) {
    int[] sizes = Inputs.numbers(shape);
    sensitivity = cpu.normal(1, sizes[0], sizes[1]);
    activation = cpu.normal(2, sizes[0], sizes[2]);
    pilotMean = cpu.zeros(1, sizes[2]);
    m0 = cpu.zeros(1, sizes[1]);
    m1 = cpu.zeros(sizes[1], sizes[2]);
    m2 = cpu.zeros(sizes[1], sizes[2]);
    weights = cpu.normal(3, sizes[1], sizes[2]);
    largest = cpu.zeros(1, sizes[2]);
    cpu.backend().network().product(1, sensitivity, true, activation, false, 0, m2);
    float[] expected = Inputs.download(cpu.backend(), m2);
    cpu.backend().moments().addMoments(sensitivity, activation, pilotMean, m0, m1, m2);
    Inputs.requireClose("M1", expected, Inputs.download(cpu.backend(), m1), 1e-4);
  }

  /// The moments.
  @Benchmark
  public Matrix moments(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().moments().addMoments(sensitivity, activation, pilotMean, m0, m1, m2);
    work.flops(4.0 * sensitivity.elements() * activation.columns());
    return m2;
  }

  /// The search for variances that have cancelled, once a scoring pass.
  @Benchmark
  public Matrix cancelled(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().moments().cancelled(weights, m0, m1, m2, 1e-3, largest);
    work.bytes(12.0 * m2.elements());
    return largest;
  }

  /// Two products into M1 and M2, of the activations as they are.
  @Benchmark
  public Matrix twoProducts(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().product(1, sensitivity, true, activation, false, 1, m1);
    cpu.backend().network().product(1, sensitivity, true, activation, false, 1, m2);
    work.flops(4.0 * sensitivity.elements() * activation.columns());
    return m2;
  }
}
