package dev.espalier.bench;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// What the machine can do, measured right before each iteration, so that a share of it says the same on a machine that
/// others use too: oneDNN's sgemm of 2048³ on all cores, and copying 256 MiB in memory on one core.
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.EVENTS)
public class Limit {
  private static final int WIDTH = 2048;
  private static final long COPY_BYTES = 128L << 20;
  private static final int TRIES = 3;

  // Read through methods: JMH clears counters that are fields after measure().
  private double sgemm;
  private double copy;

  private Arena arena;
  private MatrixView a;
  private MatrixView b;
  private MatrixView c;
  private MemorySegment from;
  private MemorySegment to;

  /// Allocates.
  @Setup
  @SuppressWarnings("MustBeClosedChecker") // closed in close()
  public void open() {
    OneDnn.load();
    arena = Arena.ofShared();
    a = Inputs.normal(arena, 1, WIDTH, WIDTH);
    b = Inputs.normal(arena, 2, WIDTH, WIDTH);
    c = MatrixView.allocate(arena, WIDTH, WIDTH);
    from = arena.allocate(COPY_BYTES);
    to = arena.allocate(COPY_BYTES);
  }

  /// Measures.
  @Setup(Level.Iteration)
  public void measure() {
    sgemm = 0;
    copy = 0;
    OneDnn.setThreads(BackendOptions.availableThreads());
    for (int i = 0; i < TRIES; i++) {
      sgemm = Math.max(sgemm, 2e-9 * WIDTH * WIDTH * WIDTH / seconds(() -> OneDnn.sgemm(false, false, WIDTH, WIDTH,
          WIDTH, 1, a.segment(), WIDTH, b.segment(), WIDTH, 0, c.segment(), WIDTH)));
      copy = Math.max(copy, 2e-9 * COPY_BYTES / seconds(() -> to.copyFrom(from)));
    }
  }

  /// GFLOP/s of sgemm, best of three.
  public double sgemm() {
    return sgemm;
  }

  /// GB/s of a copy, read and written, best of three.
  public double copy() {
    return copy;
  }

  private static double seconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return (System.nanoTime() - start) * 1e-9;
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    arena.close();
  }
}
