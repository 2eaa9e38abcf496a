package dev.espalier.bench;

import java.io.IOException;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// Scoring passes over a 16-fold range of samples, then of weights: time grows as they do where the rate stays.
@State(Scope.Thread)
public class ScalingBenchmark {
  /// Layer widths, and the number of calibration samples.
  @Param({"1024-1024-10:1024", "1024-1024-10:4096", "1024-1024-10:16384", "512-512-10:4096", "2048-2048-10:4096"})
  public String network;

  private final ScoringBenchmark pass = new ScoringBenchmark();

  /// Makes network and samples, and checks the scores.
  @Setup
  public void open() throws IOException {
    pass.network = network;
    pass.sensitivity = "probes:1";
    pass.precision = "fp32";
    pass.open();
  }

  /// One pass.
  @Benchmark
  public long score(Work work, Limit limit) throws IOException {
    return pass.score(work, limit);
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    pass.close();
  }
}
