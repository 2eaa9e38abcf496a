package dev.espalier.bench;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// What a benchmark has done; JMH divides it by the time.
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.OPERATIONS)
public class Work {
  /// Floating-point operations, in 10⁹.
  public double gflop;
  /// Bytes read and written at least, in 10⁹.
  public double gbyte;

  /// Starts an iteration.
  @Setup(Level.Iteration)
  public void clear() {
    gflop = 0;
    gbyte = 0;
  }

  void flops(double count) {
    gflop += count * 1e-9;
  }

  void bytes(double count) {
    gbyte += count * 1e-9;
  }
}
