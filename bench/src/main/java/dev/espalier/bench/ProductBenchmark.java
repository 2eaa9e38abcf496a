package dev.espalier.bench;

import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnMatmul;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// C = A·B: the backend's, oneDNN's sgemm and oneDNN's matmul primitive.
@State(Scope.Thread)
public class ProductBenchmark {
  /// m × n × k
  @Param({"2048x2048x2048", "2048x2048x512", "5120x300x100"})
  public String shape;

  private int m;
  private int n;
  private int k;
  private Arena arena;
  private MatrixView a;
  private MatrixView b;
  private MatrixView c;
  private OneDnnMatmul matmul;
  private Matrix first;
  private Matrix second;
  private Matrix result;

  /// Makes the factors and compares the three.
  @Setup
  @SuppressWarnings("MustBeClosedChecker") // closed in close()
  public void open(OnCpu cpu) {
    int[] sizes = Inputs.numbers(shape);
    m = sizes[0];
    n = sizes[1];
    k = sizes[2];
    OneDnn.load();
    OneDnn.setThreads(BackendOptions.availableThreads());
    arena = Arena.ofShared();
    a = Inputs.normal(arena, 1, m, k);
    b = Inputs.normal(arena, 2, k, n);
    c = MatrixView.allocate(arena, m, n);
    matmul = new OneDnnMatmul(new OneDnnMatmul.Shape(false, false, m, n, k, k, n, n, false));
    first = cpu.normal(1, m, k);
    second = cpu.normal(2, k, n);
    result = cpu.zeros(m, n);
    sgemm();
    float[] expected = c.toArray();
    matmul.multiply(a.segment(), b.segment(), c.segment());
    Inputs.requireClose("matmul", expected, c.toArray(), 1e-5);
    cpu.backend().network().product(1, first, false, second, false, 0, result);
    Inputs.requireClose("backend", expected, Inputs.download(cpu.backend(), result), 1e-5);
  }

  /// The product of the backend.
  @Benchmark
  public Matrix backend(OnCpu cpu, Work work, Limit limit) {
    cpu.backend().network().product(1, first, false, second, false, 0, result);
    work.flops(2.0 * m * n * k);
    return result;
  }

  /// `dnnl_sgemm` with OpenMP's threads.
  @Benchmark
  public MatrixView oneDnnSgemm(Work work, Limit limit) {
    sgemm();
    work.flops(2.0 * m * n * k);
    return c;
  }

  private void sgemm() {
    OneDnn.sgemm(false, false, m, n, k, 1, a.segment(), k, b.segment(), n, 0, c.segment(), n);
  }

  /// The matmul primitive with OpenMP's threads.
  @Benchmark
  public MatrixView oneDnnMatmul(Work work, Limit limit) {
    matmul.multiply(a.segment(), b.segment(), c.segment());
    work.flops(2.0 * m * n * k);
    return c;
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    matmul.close();
    arena.close();
  }
}
